"""Why the sender waits: the verdict on every watched trial, theory beside it, and its send queue as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from offloadbench.analysis.sender import command_times, limit_tables
from offloadbench.analysis.sender.limit_tables import Judged
from offloadbench.analysis.sender.send_queue import Queue, queue
from offloadbench.analysis.sender.sent_packets import Packets, packets
from offloadbench.analysis.tables.results import Results
from offloadbench.base.sentence import say
from offloadbench.base.units import format_rate
from offloadbench.model import Run
from offloadbench.report.cells import Cell, Head, Table
from offloadbench.report.material import Material
from offloadbench.report.plot import Plot
from offloadbench.report.plots.packets_plot import packets_over_time
from offloadbench.report.plots.queue_plot import magnified, queue_over_time
from offloadbench.report.plots.write_commands_plot import write_commands
from offloadbench.report.section import Block, CaseVerdict, LimitVerdict, Section, SenderLimits

# pictures of more trials would be a film; the tables have them all
_PICTURES_MAX = 6


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


def _senders(results: Results) -> list[TrialSender]:
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


def _queues(material: Material) -> Iterator[Plot]:
    """E3: the send queue of watched senders and their packets, whole and magnified, two trials side by side."""
    found = _senders(material.results)
    for pair in (found[at : at + 2] for at in range(0, len(found), 2)):
        names = " and ".join(one.title for one in pair)
        traces = [(one.title, one.queue) for one in pair]
        captured = [(one.title, one.packets) for one in pair if one.packets]
        stretches = [magnified(one.queue, one.queue.gaps()) for one in pair]
        beside = [stretch for one, stretch in zip(pair, stretches, strict=True) if one.packets]
        yield material.plot(
            partial(queue_over_time, traces),
            say("Send queue and segments sent over the window: {names}", names=names),
            say(
                "{names}: above, the send queue (sent and not acknowledged, and not yet sent), the congestion "
                "window and what the send buffer holds; below, segments sent.",
                names=names,
            ),
        )
        yield material.plot(
            partial(queue_over_time, traces, stretches=stretches),
            say("The same, some round trips magnified: {names}", names=names),
            say("{names}: the same, some round trips magnified.", names=names),
        )
        if captured:
            yield material.plot(
                partial(packets_over_time, captured, stretches=beside),
                say("Bytes sent and acknowledged, packet by packet: {names}", names=names),
                say(
                    "{names}: packets sent and their acknowledgements over the same round trips, as captured at the "
                    "sender.",
                    names=names,
                ),
            )
        yield from _write_commands(material, pair)


def _write_commands(material: Material, pair: Sequence[TrialSender]) -> Iterator[Plot]:
    """Packets per write command, of captured trials."""
    traces = [
        (one.title, one.packets, one.mss_bytes)
        for one in pair
        if one.packets and one.has_commands and len(command_times.ends(one.packets)) > 1
    ]
    if traces:
        names = " and ".join(title for title, _, _ in traces)
        yield material.plot(
            partial(write_commands, traces),
            say("Segments per write command, and how they come: {names}", names=names),
            say(
                "{names}: above, segments sent from one SCSI response to the next; below, how they come over that "
                "time, for twenty commands of the middle of the window, one of them stressed.",
                names=names,
            ),
        )


def _write(material: Material) -> Iterator[Block]:
    verdicts, theory = watched(material.results.runs, material.watched)
    if verdicts:
        yield SenderLimits(verdicts)
    yield from _queues(material)
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
