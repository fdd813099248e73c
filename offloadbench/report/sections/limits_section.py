"""Why the sender waits: the verdict on every watched trial, theory beside it, and its send queue as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from offloadbench.analysis.sender import limit_tables
from offloadbench.analysis.sender.limit_tables import Judged
from offloadbench.base.units import format_rate
from offloadbench.model import Run
from offloadbench.report.cells import Cell, Head, Table
from offloadbench.report.material import Material
from offloadbench.report.section import Block, CaseVerdict, LimitVerdict, Section, SenderLimits


def watched(runs: Sequence[Run], found: Sequence[Judged] | None = None) -> tuple[list[CaseVerdict], Table]:
    """The verdicts by case, in the order of the trials, and the theory beside them.

    Args:
        found: the diagnoses of these runs, where they are known already.
    """
    found = limit_tables.judged(runs) if found is None else found
    several = len(runs) > 1
    told: dict[tuple[str, ...], list[Judged]] = {}
    for one in found:
        names, _, verdict, _ = one
        key = (*(str(names[name]) for name in ("run", "workload", "case")), str(verdict.limit))
        told.setdefault(key, []).append(one)
    verdicts = [_verdict(alike, several=several) for alike in told.values()]
    return verdicts, _theory(limit_tables.bounds(runs, found), several=several)


def _verdict(alike: Sequence[Judged], *, several: bool) -> CaseVerdict:
    first, *others = [
        LimitVerdict(_title(names, several=several), *limit_tables.sentences(names, verdict))
        for names, _, verdict, _ in alike
    ]
    repeats = ", ".join(str(names["repeat"]) for names, *_ in alike[1:])
    again = f"the same limit in repeat{'s' if len(others) > 1 else ''} {repeats}" if others else ""
    return CaseVerdict(first, others, again)


def _title(trial: Mapping[str, object], *, several: bool) -> str:
    """`several`: runs, so that the trial's own is to be told."""
    where = f"run {trial['run']}, " if several else ""
    return f"{where}{trial['workload']}, case {trial['case']}, repeat {trial['repeat']}"


def _theory(bounds: pd.DataFrame, *, several: bool) -> Table:
    """Every bound of every watched trial beside what was measured."""
    rows = [
        [
            Cell((f"{row['run']}, " if several else "") + f"{row['workload']}, {row['case']}, {row['repeat']}"),
            Cell(str(row["bound"])),
            Cell(str(row["formula"])),
            Cell(format_rate(row["bound_bits_per_s"]), repr(float(row["bound_bits_per_s"]))),
            Cell(format_rate(row["goodput_bits_per_s"]), repr(float(row["goodput_bits_per_s"]))),
            Cell(_of_bound(row), repr(float(row["of_bound_ratio"]))),
        ]
        for row in bounds.to_dict("records")
    ]
    heads = [
        Head("Trial"), Head("Bound"), Head("Formula", words=True), Head("Allows", True), Head("Measured", True),
        Head("Of it", True),
    ]  # fmt: skip
    exceeded = int(bounds["exceeded"].sum())
    title = "Theory beside the measurement: each bound is the most that this limit allows"
    if exceeded:
        title = (
            f"Theory beside the measurement: {exceeded} of {len(bounds)} bounds were exceeded, so they do not hold here"
        )
    return Table(title, heads, rows)


def _of_bound(row: Mapping[Any, Any]) -> str:
    return f"{row['of_bound_ratio']:.0%}" + (" (exceeded)" if row["exceeded"] else "")


def _write(material: Material) -> Iterator[Block]:
    verdicts, theory = watched(material.results.runs, material.watched)
    if verdicts:
        yield SenderLimits(verdicts)
    if theory.rows:
        yield theory


SECTION = Section(
    "limits",
    "Why the sender waits",
    90,
    _write,
    nav="why the sender waits",
    rows=("limits", "bounds", "evidence"),
    measured=True,
)
