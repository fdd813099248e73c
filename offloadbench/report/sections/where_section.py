"""Where it is saved: the way from the dearer to the cheaper case, and the cost of every module and layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from offloadbench.analysis.findings.finding_tables import TOTAL, falls
from offloadbench.analysis.findings.findings import Finding
from offloadbench.analysis.findings.savings import Fall, by_the_clock
from offloadbench.base import words
from offloadbench.base.sentence import Quantity, Source, join, say
from offloadbench.base.words import figure
from offloadbench.report.material import Material
from offloadbench.report.plot import Plot
from offloadbench.report.plots import modules_plot as module_bars
from offloadbench.report.plots.waterfall_plot import signed
from offloadbench.report.plots.waterfall_plot import waterfall as draw_waterfall
from offloadbench.report.section import Block, Section


def _write(material: Material) -> Iterator[Block]:
    for finding, found in falls(material.results, material.headlines):
        yield _waterfall(material, finding, found)


def _waterfall(material: Material, finding: Finding, found: Fall) -> Plot:
    where = {"nic": finding.nic, "workload": finding.workload, "dearer": found.dearer, "cheaper": found.cheaper}
    named = {step.module for step in found.steps}
    rest = tuple(module for module, _, _ in found.modules if module not in named)

    def cells(column: str, *modules: str) -> Source:
        return Source("waterfall", column, {**where, "module": modules}, sum)

    steps = [
        say(
            "{module} {change}",
            module=words.module_label(step.module) if step.module else module_bars.REST,
            change=Quantity(step.change, signed, cells("change_per_byte", *([step.module] if step.module else rest))),
        )
        for step in found.steps
    ]
    way = say("from case {dearer} to case {cheaper}", dearer=found.dearer, cheaper=found.cheaper)
    of = {"nic": finding.nic, "workload": finding.workload}
    saved = Source("findings", "saved_cpu_s_per_gb", {**of, "on": finding.on, "off": finding.off})
    clock = by_the_clock(found, finding.size).traced(
        {"whole": _turned(cells("change_per_byte", TOTAL)), "saved": saved}
    )
    return material.plot(
        partial(draw_waterfall, found),
        say(
            "Waterfall {way}, {nic}, {workload}: {start}, {steps}, {end}",
            way=way,
            start=Quantity(found.start, figure, cells("dearer_per_byte", TOTAL)),
            steps=join(", ", steps),
            end=Quantity(found.end, figure, cells("cheaper_per_byte", TOTAL)),
            **of,
        ),
        say(
            "{nic}, {workload}: where the saving comes from, {way}. Each bar is what the module costs less (or more, "
            "with a plus) per byte of payload, in brackets its part of the whole; means over the repeats, idle time "
            "left out.{clock}",
            way=way,
            clock=clock,
            **of,
        ),
    )


def _turned(source: Source) -> Source:
    """What became less, as a saving."""
    return replace(source, derive=_saved)


def _saved(cells: Sequence[float]) -> float:
    return -sum(cells)


SECTION = Section("where", "Where it is saved", 60, _write, nav="where", rows=("waterfall", "modules"))
