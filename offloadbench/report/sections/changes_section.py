"""What changed between the runs: every comparable run against the first, and what differs besides."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from functools import partial

from offloadbench.analysis.comparison.judging import COST
from offloadbench.analysis.statistics.holm import CHANGED, INDICATION
from offloadbench.base.sentence import Sentence, join, say
from offloadbench.report.material import Material
from offloadbench.report.plot import Plot
from offloadbench.report.plots.forest import forest
from offloadbench.report.plots.intervals import LEGEND
from offloadbench.report.run_changes import RunChanges
from offloadbench.report.section import Block, Bullet, Bullets, RowsFrom, Section


def headlines(changes: Sequence[RunChanges]) -> list[Bullet]:
    """The changes of CPU per GB, those that were shown first, then the largest."""
    found = [
        (one, row, sentence)
        for one in changes
        for row, sentence in zip(one.rows, one.sentences, strict=True)
        if row.question.metric == COST
    ]
    found.sort(key=lambda item: (item[1].judgement.verdict != CHANGED, -abs(item[1].judgement.estimate.change)))
    return [Bullet(sentence, one.where) for one, _, sentence in found]


def _write(material: Material) -> Iterator[Block]:
    changes, remarks = material.changes
    if not changes and not remarks:
        return
    if changes:
        yield RowsFrom(shlex.join(["offloadbench", "compare", *material.names, "--format", "csv"]))
    if remarks:
        yield Bullets([Bullet(text) for text in remarks], kind="basis")
    for one in changes:
        yield Bullets([Bullet(text) for text in one.sentences], of=one.where)


def plots(material: Material) -> Iterator[Plot]:
    """Every comparison with its intervals."""
    for one in material.changes[0]:
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


def _drawn(changes: RunChanges) -> Sentence:
    """What squares, circles and lines are; two runs alone have no verdicts, and their intervals hold less."""
    if all(row.judgement.verdict == INDICATION for row in changes.rows):
        return say("Open circles are indications: a line is the 95 % interval of the scatter inside the two runs only")
    return say("{legend}", legend=LEGEND)


SECTION = Section("changed", "What changed between the runs", 20, _write, nav="between the runs")
