"""What a reader must know before believing the rest."""

from __future__ import annotations

from collections.abc import Iterator

from offloadbench.report.material import Material
from offloadbench.report.section import Block, Bullet, Bullets, Layer, Section


def _write(material: Material) -> Iterator[Block]:
    if material.caveats:
        yield Bullets([Bullet(one.first, more=one.more) for one in material.caveats], kind="boxed")


SECTION = Section(
    "caveats",
    "All caveats",
    180,
    _write,
    nav="{count} caveats",
    rows=("benches", "trials", "quality", "counts", "doubts", "proofs", "processes"),
    layer=Layer.FOLDED,
)
