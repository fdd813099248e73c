"""Why the sender waits: the verdict on every watched trial, theory beside it, and its send queue as a picture."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from offloadbench.analysis.sender import command_times, limit_tables
from offloadbench.analysis.sender.send_queue import Queue, queue
from offloadbench.analysis.sender.sent_packets import Packets, packets
from offloadbench.analysis.tables.results import Results
from offloadbench.base.units import format_rate
from offloadbench.model import Run
from offloadbench.report.sections.table_views import Cell, Head, Table

# pictures of more trials would be a film; the tables have them all
_PICTURES_MAX = 6


@dataclass(frozen=True, slots=True)
class LimitVerdict:
    """One watched trial, in words."""

    title: str
    sentence: str
    evidence: str


@dataclass(frozen=True, slots=True)
class CaseVerdict:
    """The trials of one case and run that came to one limit.

    Attributes:
        first: of them; `others` follow in the order of the trials.
        again: that the others came to the same limit, "" without any.
    """

    first: LimitVerdict
    others: list[LimitVerdict]
    again: str


def watched(runs: Sequence[Run]) -> tuple[list[CaseVerdict], Table]:
    """The verdicts by case, in the order of the trials, and the theory beside them."""
    found = limit_tables.judged(runs)
    told: dict[tuple[str, ...], list[Mapping[Hashable, object]]] = {}
    for row in limit_tables.limits(runs, found).to_dict("records"):
        told.setdefault(tuple(str(row[name]) for name in ("run", "workload", "case", "limit")), []).append(row)
    several = len(runs) > 1
    verdicts = [_verdict(rows, several=several) for rows in told.values()]
    return verdicts, _theory(limit_tables.bounds(runs, found), several=several)


def _verdict(rows: Sequence[Mapping[Hashable, object]], *, several: bool) -> CaseVerdict:
    first, *others = [
        LimitVerdict(_title(row, several=several), str(row["sentence"]), str(row["evidence"])) for row in rows
    ]
    repeats = ", ".join(str(row["repeat"]) for row in rows[1:])
    again = f"the same limit in repeat{'s' if len(others) > 1 else ''} {repeats}" if others else ""
    return CaseVerdict(first, others, again)


def _title(row: Mapping[Hashable, object], *, several: bool) -> str:
    """`several`: runs, so that the trial's own is to be told."""
    where = f"run {row['run']}, " if several else ""
    return f"{where}{row['workload']}, case {row['case']}, repeat {row['repeat']}"


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


def _of_bound(row: Mapping[Hashable, Any]) -> str:
    return f"{row['of_bound_ratio']:.0%}" + (" (exceeded)" if row["exceeded"] else "")


@dataclass(frozen=True, slots=True)
class TrialSender:
    """What the sender of one trial told.

    Attributes:
        queue: of the connection that sent most.
        packets: of its capture; None without one.
        mss_bytes: of the connection.
        has_commands: whether what it sent were write commands.
    """

    title: str
    queue: Queue
    packets: Packets | None
    mss_bytes: int = 0
    has_commands: bool = False


def accounts(results: Results) -> list[TrialSender]:
    """Of the first watched trial of each workload and case."""
    found: dict[tuple[str, str, str], TrialSender] = {}
    for run in results.runs:
        for trial in run.trials:
            key = (run.run_id, trial.workload, trial.case)
            if key in found or len(found) == _PICTURES_MAX:
                continue
            traces = [queue(trace) for trace in trial.tcp if trace.rows > 1]
            if traces:
                busiest = max(traces, key=lambda one: one.change("sent_bytes"))
                captured = packets(trial.packets) if trial.packets else None
                found[key] = TrialSender(
                    f"{trial.workload}, case {trial.case}",
                    busiest,
                    captured,
                    command_times.mss_bytes(trial),
                    command_times.has_commands(trial),
                )
    return list(found.values())
