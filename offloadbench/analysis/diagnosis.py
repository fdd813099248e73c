"""What limits a sender: one sentence and its evidence.

The link comes first: at its rate it hides every other limit, for whatever bounds the data in flight then only sets the
length of a queue. Then comes what the sender waited for, as far as it explains the rate: see
offloadbench.analysis.suspects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from offloadbench.analysis import theory, waits
from offloadbench.analysis.figures import Figures, whole
from offloadbench.analysis.queue import Gap, Queue, State, gap_ratio, queue
from offloadbench.analysis.suspects import Known, Limit, percent, suspects
from offloadbench.model import TcpTrace, Waits
from offloadbench.units import format_bytes, format_rate

_LINE_RATIO = 0.95
_BUSY_RATIO = 0.9
# what explains less than this is no explanation
_ENOUGH = 0.3
# A standing queue: on average this much more in flight than the path holds at this rate, and a path that never runs
# dry. A burst and its answer have as much in flight on average, but not at all times.
_QUEUED_FACTOR, _FILLED_FACTOR, _FILLED_TICKS_RATIO = 1.25, 0.95, 0.9
_SILENT_BITS_PER_S = 1e4
# a bound so far above the throughput tells nothing
_FAR = 100
_WAITS_FOR = {
    State.SEND_BUFFER: "send memory",
    State.RECEIVE_WINDOW: "the receiver's window",
    State.CONGESTION_WINDOW: "the congestion window",
    State.LOWER_LAYERS: "layers below TCP",
    State.APPLICATION: "the application",
}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The verdict on one window.

    Attributes:
        sentence: one, with its most telling figures.
        evidence: the figures that it rests on, as clauses.
        figures: of sentence and evidence, by name; those of theory are in the bounds.
        shares: of the ticks, by what the sender waited for.
        bounds: the theory, the lowest first.
        gaps: times in which nothing was sent; `gap_ratio` is their share of the time.
    """

    limit: Limit
    sentence: str
    evidence: list[str]
    figures: Figures
    shares: dict[State, float]
    bounds: list[theory.Bound]
    gaps: list[Gap]
    gap_ratio: float


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """What is known besides the connection that is looked at closely."""

    goodput_bits_per_s: float
    cpu_busy_ratio: float | None
    wire_bits_per_s: float | None


def diagnose(
    traces: Sequence[TcpTrace],
    facts: Mapping[str, Any] | None = None,
    *,
    cpu_busy_ratio: float | None = None,
    wire_bits_per_s: float | None = None,
    waited: Waits | None = None,
) -> Diagnosis:
    """Judge the connections of one sender over one window.

    Args:
        traces: the one that sent most is looked at closely; the others count for the link.
        facts: what bed and workload know, for each connection; see `theory.path_of` and `theory.exchange_of`. MSS, and
            RTT where it is not given, are those of the trace.
        cpu_busy_ratio: of the sender's CPUs.
        wire_bits_per_s: layer 2, all that the sender's end put on the cable.
        waited: the sender's waits, recorded in a window like this one.

    Raises:
        RunFileError: a trace is damaged.
    """
    queues = [queue(trace) for trace in traces if trace.rows > 1]
    if not queues:
        return Diagnosis(
            Limit.NOTHING_FOUND, "Nothing found: no connection was watched.", [], Figures(), {}, [], [], 0.0
        )
    busiest = max(queues, key=lambda one: one.change("sent_bytes"))
    known = _known(busiest, facts or {}, waited)
    around = _Surroundings(sum(one.goodput_bits_per_s for one in queues), cpu_busy_ratio, wire_bits_per_s)
    bounds = theory.bounds(
        known.path,
        known.exchange,
        window_bytes=float(busiest["snd_wnd_bytes"].mean()),
        cwnd_bytes=float(busiest["snd_cwnd_segments"].mean()) * known.path.mss_bytes,
        sndbuf_bytes=float(busiest["sndbuf_bytes"].mean()),
        ratio=busiest.payload_ratio,
    )
    gaps = busiest.gaps(theory.line_rate(known.path).bits_per_s)
    told = Figures()
    limit, reason = _judge(known, around, told)
    head = "Nothing found" if limit is Limit.NOTHING_FOUND else f"Limited by the {limit}"
    goodput = told.tell("sender_goodput_bits_per_s", around.goodput_bits_per_s, format_rate)
    return Diagnosis(
        limit=limit,
        sentence=f"{head} at {goodput}: {reason}.",
        evidence=_evidence(known, around, gaps, bounds, told),
        figures=told,
        shares={state: busiest.share(state) for state in State},
        bounds=bounds,
        gaps=gaps,
        gap_ratio=gap_ratio(gaps, busiest.duration_s),
    )


def _known(busiest: Queue, facts: Mapping[str, Any], waited: Waits | None) -> Known:
    seen = {"rtt_s": busiest.min_rtt_s, "mss_bytes": int(np.median(busiest["snd_mss_bytes"]))}
    path = theory.path_of(seen | {name: value for name, value in facts.items() if value})
    return Known(busiest, path, theory.exchange_of(facts), waits.share(waited) if waited else None)


def _judge(known: Known, around: _Surroundings, told: Figures) -> tuple[Limit, str]:
    if around.goodput_bits_per_s < _SILENT_BITS_PER_S:
        return Limit.NOTHING_FOUND, "it sent next to nothing"
    full = _line_is_full(known, around, told)
    if full:
        return Limit.LINK, full
    found = suspects(known)
    best = found[0]
    busy = around.cpu_busy_ratio or 0.0
    if busy >= _BUSY_RATIO and (best.score < _ENOUGH or not best.firm):
        reason = (
            f"the sender's CPU is busy {told.tell('cpu_busy_ratio', busy, percent)} of the time, and neither windows "
            "nor buffer explain the rate"
        )
        return Limit.CPU, reason
    # while a receiver's window is closed nothing is in flight: no queue on the path is behind that
    if best.limit is not Limit.TARGET and _queue_stands(known):
        in_flight = told.tell("mean_flight_bytes", float(known.queue.flight_bytes.mean()), format_bytes)
        needed = told.tell("bdp_bytes", _bdp_bytes(known), format_bytes)
        return Limit.LINK, (
            f"{in_flight} are in flight where {needed} would do at this rate and RTT, so a queue stands on the path"
        )
    told.update(best.figures)
    if best.score < _ENOUGH:
        return Limit.NOTHING_FOUND, f"no limit explains the rate; nearest is the {best.limit}: {best.reason}"
    return best.limit, best.reason


def _line_is_full(known: Known, around: _Surroundings, told: Figures) -> str:
    """How full the line is, where its rate is known and nearly reached; "" otherwise."""
    rate = known.path.line_rate_bits_per_s
    if not rate:
        return ""
    line = theory.line_rate(known.path)
    if around.goodput_bits_per_s >= _LINE_RATIO * line.bits_per_s:
        ratio = around.goodput_bits_per_s / line.bits_per_s
        return (
            f"it reaches {told.tell('of_line_ratio', ratio, percent)} of what the line carries, "
            f"{format_rate(line.bits_per_s)} ({line.formula})"
        )
    if around.wire_bits_per_s and around.wire_bits_per_s >= _LINE_RATIO * rate:
        filled = told.tell("wire_bits_per_s", around.wire_bits_per_s, format_rate)
        return (
            f"all traffic together fills the line: {filled} of {told.tell('line_rate_bits_per_s', rate, format_rate)}"
        )
    return ""


def _bdp_bytes(known: Known) -> float:
    return known.queue.goodput_bits_per_s / 8 * known.path.rtt_s


def _queue_stands(known: Known) -> bool:
    flight, needed = known.queue.flight_bytes, _bdp_bytes(known)
    filled = float((flight >= _FILLED_FACTOR * needed).mean()) >= _FILLED_TICKS_RATIO
    return needed > 0 and filled and float(flight.mean()) >= _QUEUED_FACTOR * needed


def _evidence(
    known: Known, around: _Surroundings, gaps: Sequence[Gap], bounds: Sequence[theory.Bound], told: Figures
) -> list[str]:
    one = known.queue
    fill = np.median(one["wmem_queued_bytes"] / np.maximum(one["sndbuf_bytes"], 1))
    medians = {
        "median_send_queue_segments": np.median(one.segments),
        "median_cwnd_segments": np.median(one["snd_cwnd_segments"]),
    }
    queued, cwnd = (told.tell(name, value, whole) for name, value in medians.items())
    duration_us = max(one.duration_s * 1e6, 1.0)
    kernel = {name: one.change(f"{name}_us") / duration_us for name in ("busy", "rwnd_limited", "sndbuf_limited")}
    found = [
        "it waits for "
        + ", ".join(
            f"{name} {told.tell(f'{state.name.lower()}_ratio', one.share(state), percent)}"
            for state, name in _WAITS_FOR.items()
        ),
        f"medians: send queue {queued}, cwnd {cwnd} segments, "
        f"sk_wmem_queued {told.tell('median_fill_ratio', fill, percent)} of sk_sndbuf, "
        f"srtt {told.tell('median_srtt_s', np.median(one['srtt_us']) * 1e-6, _milliseconds)}; "
        f"shortest RTT {told.tell('min_rtt_s', one.min_rtt_s, _milliseconds)}",
        "the kernel's own account: "
        + ", ".join(f"{name} {told.tell(f'kernel_{name}_ratio', ratio, percent)}" for name, ratio in kernel.items()),
    ]
    if gaps:
        median = float(np.median([gap.length_rtts for gap in gaps]))
        found.append(
            f"gaps without sending: {told.tell('gap_count', len(gaps), whole)} in "
            f"{told.tell('watched_s', one.duration_s, '{:.1f}'.format)} s, "
            f"{told.tell('gap_ratio', gap_ratio(gaps, one.duration_s), percent)} of the time, median "
            f"{told.tell('median_gap_rtts', median, '{:.2f}'.format)} RTT"
        )
    if known.waited_ratio is not None:
        waited = told.tell("stacks_waiting_ratio", known.waited_ratio, percent)
        found.append(f"stacks: {waited} of the time in {waits.SEND_MEMORY}")
    if around.cpu_busy_ratio is not None:
        found.append(f"the sender's CPU is busy {told.tell('cpu_busy_ratio', around.cpu_busy_ratio, percent)}")
    if bounds and bounds[0].bits_per_s < _FAR * around.goodput_bits_per_s:
        found.append(f"theory: at most {bounds[0]}")
    return found


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"
