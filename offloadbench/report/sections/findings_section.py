"""What is advised for each bench and workload, and what each offload does."""

from __future__ import annotations

from collections.abc import Iterator

from offloadbench.report.material import Material
from offloadbench.report.section import Block, Findings, Section


def _write(material: Material) -> Iterator[Block]:
    found = [*material.headlines, *material.explaining]
    if found:
        yield Findings(found, material.several)


SECTION = Section("findings", "Offload by offload", 30, _write, nav="offload by offload", rows=("findings",))
