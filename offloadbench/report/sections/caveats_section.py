"""What a reader must know before believing the rest."""

from __future__ import annotations

from collections.abc import Iterator

from offloadbench.analysis.findings import caveats
from offloadbench.report.material import Material
from offloadbench.report.section import Block, Bullet, Bullets, Section


def _write(material: Material) -> Iterator[Block]:
    found = caveats.collect(material.results, material.foreign)
    if found:
        yield Bullets([Bullet(caveat.text) for caveat in found], kind="boxed")


SECTION = Section(
    "caveats",
    "Caveats",
    150,
    _write,
    nav="{count} caveats",
    rows=("benches", "trials", "quality", "counts", "doubts", "proofs", "processes"),
)
