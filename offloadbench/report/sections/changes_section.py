"""What changed between the runs: every comparable run against the first, and what differs besides."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from offloadbench.analysis.comparison.changes import Comparison, Row, between
from offloadbench.analysis.comparison.compatibility import obstacles
from offloadbench.analysis.statistics.holm import INDICATION
from offloadbench.base.errors import StatisticError
from offloadbench.base.sentence import Quantity, Sentence, join, say
from offloadbench.base.units import format_ratio
from offloadbench.model import Profile, Run
from offloadbench.report import basis
from offloadbench.report.compare_text import interval_words, traces, words
from offloadbench.report.material import Material
from offloadbench.report.plots.effects_plot import TITLES
from offloadbench.report.plots.forest import forest
from offloadbench.report.plots.intervals import LEGEND
from offloadbench.report.section import Block, Bullet, Bullets, RowsFrom, Section


@dataclass(frozen=True, slots=True)
class RunChanges:
    """The cases of one workload, from one run to another."""

    where: str
    rows: list[Row]
    sentences: list[Sentence]


def run_changes(runs: Sequence[Run], names: Sequence[str], profile: Profile) -> tuple[list[RunChanges], list[Sentence]]:
    """Every comparable run against the first, by workload; and sentences on what differs and what is not compared.

    Args:
        runs: each once.
        names: of the runs, in the same order.
    """
    base = runs[0]
    remarks, chosen = [], [0]
    for index, run in enumerate(runs[1:], 1):
        hindrances = obstacles(base, run)
        if hindrances:
            remarks.append(
                say(
                    "{other} is not compared with {base}: {hindrances}.",
                    other=names[index],
                    base=names[0],
                    hindrances=join("; ", hindrances),
                )
            )
        else:
            chosen.append(index)
    if len(chosen) < 2:
        return [], remarks
    try:
        comparison = between([runs[i] for i in chosen], [names[i] for i in chosen], profile)
    except StatisticError as error:
        return [], [*remarks, say("No changes between the runs are shown: {reason}.", reason=error.message)]
    differs = [say("Differs: {what}.", what=text) for text in comparison.differences]
    missing = [say("Missing: {what}.", what=text) for text in comparison.missing]
    return _by_workload(comparison), [*basis.sentences(comparison.rows), *differs, *remarks, *missing]


def _by_workload(comparison: Comparison) -> list[RunChanges]:
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in comparison.rows:
        question = row.question
        groups.setdefault((question.b, question.a, question.workload), []).append(row)
    return [
        RunChanges(f"{b} against {a}, {workload}", rows, [_sentence(row) for row in rows])
        for (b, a, workload), rows in groups.items()
    ]


def _sentence(row: Row) -> Sentence:
    return say(
        "{case}: {metric} {ratio} ({interval}): {verdict}.",
        case=row.question.case,
        metric=TITLES[row.question.metric].split(" (")[0],
        ratio=Quantity(row.judgement.ratios()[0], format_ratio),
        interval=interval_words(row),
        verdict=words(row.judgement),
    ).traced(traces(row))


def _write(material: Material) -> Iterator[Block]:
    changes, remarks = run_changes(material.results.runs, material.run_names, material.profile)
    if not changes and not remarks:
        return
    if changes:
        yield RowsFrom(shlex.join(["offloadbench", "compare", *material.names, "--format", "csv"]))
    if remarks:
        yield Bullets([Bullet(text) for text in remarks], kind="basis")
    for one in changes:
        yield material.plot(
            partial(forest, one.rows),
            say(
                "Changes of CPU seconds per GB and throughput with intervals, {where}: {sentences}",
                where=one.where,
                sentences=join(" ", one.sentences),
            ),
            say(
                "{where}, case by case. {drawn}. Method: {methods}.",
                where=one.where,
                drawn=_drawn(one),
                methods="; ".join(sorted({row.judgement.estimate.method for row in one.rows})),
            ),
        )
        yield Bullets([Bullet(text) for text in one.sentences], of=one.where)


def _drawn(changes: RunChanges) -> Sentence:
    """What squares, circles and lines are; two runs alone have no verdicts, and their intervals hold less."""
    if all(row.judgement.verdict == INDICATION for row in changes.rows):
        return say("Open circles are indications: a line is the 95 % interval of the scatter inside the two runs only")
    return say("{legend}", legend=LEGEND)


SECTION = Section("changed", "What changed between the runs", 20, _write, nav="between the runs")
