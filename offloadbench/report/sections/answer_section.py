"""What a reader takes away in ten seconds: the answer, one picture, and what speaks against it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from offloadbench.analysis.comparison.change_words import whole
from offloadbench.analysis.findings.answer import answer
from offloadbench.analysis.findings.findings import Finding
from offloadbench.analysis.findings.sweep_finding import sweep_finding
from offloadbench.base.sentence import COUNTED, Quantity, say
from offloadbench.report import sweep_picture
from offloadbench.report.material import Material
from offloadbench.report.plot import Plot
from offloadbench.report.plots.finding_intervals import finding_intervals
from offloadbench.report.section import Block, Bullet, Bullets, Layer, NoFinding, ReportAnswer, Section
from offloadbench.report.sections import changes_section, savings_section

_TOLD_MOST = 4
_CAVEATS_SHOWN = 3


def _write(material: Material) -> Iterator[Block]:
    told = _answers(material)
    yield ReportAnswer(told) if told else _nothing(material)
    yield from _picture(material)
    found = sorted(material.caveats, key=lambda caveat: caveat.weight)[:_CAVEATS_SHOWN]
    if found:
        yield Bullets([Bullet(caveat.first) for caveat in found], kind="boxed")


def _answers(material: Material) -> list[Bullet]:
    """What changed, where runs are compared; what a sweep found; else what the offloads do to each workload."""
    changes, _ = material.changes
    if changes:
        return changes_section.headlines(changes)[:_TOLD_MOST]
    if material.grid:
        return [Bullet(text) for text in sweep_finding(material.grid, material.results.runs)]
    told = [_line(material, found) for found in material.headlines]
    left = len(told) - _TOLD_MOST
    if left > 1:
        more = say("{count} more benches and workloads follow below.", count=Quantity(left, whole, COUNTED))
        return [*told[:_TOLD_MOST], Bullet(more)]
    return told


def _line(material: Material, found: Finding) -> Bullet:
    told = answer(found, material.results.answers[found.nic].seen)
    name = f"{found.nic}, {found.workload}" if material.several else ""
    return Bullet(told.text, name, (told.detail,) if told.detail else ())


def _picture(material: Material) -> Iterator[Plot]:
    changes, _ = material.changes
    if changes:
        yield from changes_section.plots(material)
    elif material.grid:
        yield from sweep_picture.plots(material)
    elif savings_section.fit(material):
        yield from savings_section.plots(material)
    elif material.headlines:
        yield material.plot(
            partial(finding_intervals, material.headlines),
            say("CPU seconds per GB and throughput with intervals, by bench and workload"),
            say("What the biggest comparison of each bench and workload shows; a line is the interval of its test."),
        )


def _nothing(material: Material) -> NoFinding:
    outcomes = material.results.trials["outcome"]

    def count(*names: str) -> Quantity:
        chosen = outcomes[outcomes.isin(names)] if names else outcomes
        return Quantity(len(chosen), whole, COUNTED)

    if not count("ok").value:
        return NoFinding(
            say("No trial gave a result: there is nothing to compare."),
            say(
                "{failed} failed, {skipped} skipped; the reasons are below.",
                failed=count("failed"),
                skipped=count("skipped"),
            ),
        )
    return NoFinding(
        say("No two cases can be compared here."),
        say(
            "An offload is judged by two usable trials that differ in it. {ok} of {all} trials ended well; the caveats "
            "below say what was left out.",
            ok=count("ok"),
            all=count(),
        ),
    )


SECTION = Section("answer", "In short", 5, _write, layer=Layer.TOP)
