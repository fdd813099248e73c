"""How each run was measured, and on what."""

from __future__ import annotations

from collections.abc import Iterator

from offloadbench.report import machine
from offloadbench.report.material import Material
from offloadbench.report.section import Block, Section, Subheading


def _write(material: Material) -> Iterator[Block]:
    for run in material.results.runs:
        yield Subheading(f"{material.results.benches[run.run_id]}, run {run.run_id}, {run.created_utc}")
        yield machine.methods(run)
        yield from machine.machine(run)


SECTION = Section("methods", "Methods and machine", 160, _write, nav="methods and machine")
