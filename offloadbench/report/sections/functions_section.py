"""Which functions make the difference: a flame graph of two cases."""

from __future__ import annotations

from collections.abc import Iterator

from offloadbench.report.flame import flame
from offloadbench.report.material import Material
from offloadbench.report.section import Block, FlameGraph, Section


def _write(material: Material) -> Iterator[Block]:
    if len(material.results.busy_modules):
        yield FlameGraph(flame(material.results))


SECTION = Section("flame", "Which functions make the difference", 80, _write, nav="functions", rows=("stacks",))
