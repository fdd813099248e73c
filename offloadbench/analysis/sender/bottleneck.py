"""Whether the path is what limits a sender: its first link, full, or a queue that stands somewhere on it.

A link is an answer at its rate only. Where that is unknown, a queue has to stand on the path while the throughput keeps
to a plateau, or BBR's estimate of the bottleneck has to be reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offloadbench.analysis.sender import theory
from offloadbench.analysis.sender.send_queue import Queue, State
from offloadbench.analysis.sender.suspect import STATE_RATIO, KnownConnection, Limit, Suspect, percent
from offloadbench.analysis.sender.told_figures import Figures, whole
from offloadbench.base.units import format_bytes, format_rate

# a full line, and what a line must be filled to for the link to be an answer at all
_FULL_RATIO, _LINK_RATIO = 0.95, 0.9
# A standing queue: on average this much more on the path than it holds at this rate, and a path that never runs dry. A
# burst and its answer have as much on their way on average, but not at all times.
_QUEUED_FACTOR, _FILLED_FACTOR, _FILLED_TICKS_RATIO = 1.25, 0.95, 0.9
# a few segments are a burst and a delayed acknowledgement, no queue
_QUEUED_SEGMENTS = 4
# and round trips that are longer by as much, most of the time
_LONGER_RATIO = 1.15
# a plateau: the mean is so near to what the best tenth of the moments carry
_PLATEAU_RATIO, _BEST_PERCENT = 0.88, 90
_MOMENT_S, _MOMENT_RTTS = 0.05, 2
# a steady rate under a moving congestion window
_STEADY_RATIO, _MOVING_FACTOR, _MOSTLY = 0.93, 1.25, 0.5
# a window or buffer that explains as much is not there to fill a queue
_EXPLAINED = 0.7
_REACHED_RATIO = 0.9
# who limits from above TCP, or is told to: no queue on the path is behind that
_ENDS = frozenset({Limit.TARGET, Limit.APPLICATION, Limit.SMALL_WRITES, Limit.QUEUE_DEPTH, Limit.R2T_ROUNDS})
_ENOUGH = 0.3


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known besides the connection that is looked at closely.

    Attributes:
        goodput_bits_per_s: of all connections together.
        plateau_ratio: that goodput to what the best moments carry: 1 for a constant rate.
    """

    goodput_bits_per_s: float
    plateau_ratio: float
    cpu_busy_ratio: float | None
    wire_bits_per_s: float | None


def plateau_ratio(queues: Sequence[Queue]) -> float:
    """How near the mean rate of all connections is to that of their best moments; 0 where the trace is too short."""
    moment_s = max(_MOMENT_S, _MOMENT_RTTS * max(one.min_rtt_s for one in queues))
    begins, ends = (np.array([one["t_us"][at] * 1e-6 for one in queues]) for at in (0, -1))
    edges = np.arange(float(begins.min()), float(ends.max()), moment_s)
    if len(edges) < 5:
        return 0.0
    acked = sum(np.interp(edges, one["t_us"] * 1e-6, (one["acked_bytes"] - one["acked_bytes"][0])) for one in queues)
    rates = np.diff(acked)
    best = float(np.percentile(rates, _BEST_PERCENT))
    return float(rates.mean()) / best if best > 0 else 0.0


def line_is_full(known: KnownConnection, around: Surroundings, told: Figures) -> str:
    """How full the line is, where its rate is known and nearly reached; "" otherwise."""
    rate = known.path.line_rate_bits_per_s
    if not rate:
        return ""
    if of_line_ratio(known, around) >= _FULL_RATIO:
        return _reaches(known, around, told)
    if around.wire_bits_per_s and around.wire_bits_per_s >= _FULL_RATIO * rate:
        filled = told.tell("wire_bits_per_s", around.wire_bits_per_s, format_rate)
        return (
            f"all traffic together fills the line: {filled} of {told.tell('line_rate_bits_per_s', rate, format_rate)}"
        )
    return ""


def _reaches(known: KnownConnection, around: Surroundings, told: Figures) -> str:
    line = theory.line_rate(known.path)
    return (
        f"it reaches {told.tell('of_line_ratio', of_line_ratio(known, around), percent)} of what the line carries, "
        f"{format_rate(line.bits_per_s)} ({line.formula})"
    )


def of_line_ratio(known: KnownConnection, around: Surroundings) -> float:
    """Goodput to what the line carries of it; 0 where its rate is unknown."""
    line = theory.line_rate(known.path).bits_per_s
    return around.goodput_bits_per_s / line if line else 0.0


def may_be_link(known: KnownConnection, around: Surroundings) -> bool:
    """Whether the link can be the answer: not below 90 % of a known rate."""
    return not known.path.line_rate_bits_per_s or of_line_ratio(known, around) >= _LINK_RATIO


def nearly_full(known: KnownConnection, around: Surroundings) -> Suspect | None:
    """A known line that is filled to between 90 and 95 %, as a suspect among others."""
    ratio = of_line_ratio(known, around)
    if ratio < _LINK_RATIO:
        return None
    told = Figures()
    return Suspect(Limit.LINK, ratio, _reaches(known, around, told), told)


def standing_queue(known: KnownConnection, around: Surroundings, best: Suspect | None) -> Suspect | None:
    """A queue on the path, unless something else explains the rate better: the link's where that may be."""
    if best and best.score >= _ENOUGH and best.limit in _ENDS:
        return None
    indifferent = _indifferent(known, around)
    if indifferent:
        return indifferent
    if best and best.score >= _EXPLAINED and best.limit is not Limit.LINK:
        return None
    if not _queue_stands(known) or around.plateau_ratio < _PLATEAU_RATIO:
        return None
    told = Figures()
    on_path = told.tell("mean_network_bytes", float(known.queue.network_bytes.mean()), format_bytes)
    needed = told.tell("bdp_bytes", _bdp_bytes(known), format_bytes)
    reason = f"{on_path} are in flight where {needed} would do at this rate and RTT, so a queue stands on the path"
    if may_be_link(known, around):
        return Suspect(Limit.LINK, 1.0, reason, told)
    carries = format_rate(theory.line_rate(known.path).bits_per_s)
    return Suspect(
        Limit.PATH, 1.0, f"{reason} although the line carries {carries}: a slower hop, or others on the way", told
    )


def _indifferent(known: KnownConnection, around: Surroundings) -> Suspect | None:
    """A rate that stays while the congestion window moves: more window brings no more."""
    one = known.queue
    low, high = np.percentile(one["snd_cwnd_segments"], (10, 90))
    moves = high >= _MOVING_FACTOR * max(low, 1.0) and one.share(State.CONGESTION_WINDOW) >= _MOSTLY
    if not moves or around.plateau_ratio < _STEADY_RATIO or not may_be_link(known, around):
        return None
    told = Figures()
    return Suspect(
        Limit.LINK,
        1.0,
        f"the rate is steady ({told.tell('plateau_ratio', around.plateau_ratio, percent)} of its best moments) while "
        f"the congestion window moves between {told.tell('low_cwnd_segments', low, whole)} and "
        f"{told.tell('high_cwnd_segments', high, whole)} segments: a larger window carries no more",
        told,
    )


def _bdp_bytes(known: KnownConnection) -> float:
    return known.queue.goodput_bits_per_s / 8 * known.path.rtt_s


def _queue_stands(known: KnownConnection) -> bool:
    one = known.queue
    on_path, needed = one.network_bytes, _bdp_bytes(known)
    filled = float((on_path >= _FILLED_FACTOR * needed).mean()) >= _FILLED_TICKS_RATIO
    enough = max(_QUEUED_FACTOR * needed, _QUEUED_SEGMENTS * known.path.mss_bytes)
    longer = float(np.median(one["srtt_us"])) * 1e-6 >= _LONGER_RATIO * one.min_rtt_s
    return needed > 0 and filled and longer and float(on_path.mean()) >= enough


def own_estimate(known: KnownConnection, around: Surroundings, best: Suspect | None) -> Suspect | None:
    """A sender that BBR paces: at its estimate of the bottleneck, which may be the link.

    Losses explain what is missing to that estimate, or to the line; nothing where nothing is missing.
    """
    one = known.queue
    share = one.share(State.PACING)
    estimates = one["bbr_bytes_per_s"] if one["bbr_bytes_per_s"].any() else one["pacing_rate_bytes_per_s"]
    estimate = float(np.median(estimates)) * 8
    if not share or not estimate:
        return None
    told = Figures()
    waiting = f"{told.tell(STATE_RATIO, share, percent)} of the time data wait although both windows have room"
    paced = f"{waiting}, paced by BBR, which estimates {told.tell('bbr_bits_per_s', estimate, format_rate)}"
    reached = min(1.0, one.goodput_bits_per_s / estimate)
    if reached >= _REACHED_RATIO and may_be_link(known, around):
        return Suspect(Limit.LINK, share, f"{paced} as the rate of the bottleneck, and that is what it sends", told)
    if best and best.score >= _ENOUGH:
        return None
    if known.path.line_rate_bits_per_s:
        of_line = told.tell("of_line_ratio", of_line_ratio(known, around), percent)
        paced += f" as the rate of the bottleneck, while this is {of_line} of what the line carries"
    return Suspect(Limit.PACING, share * reached, paced, told, firm=False)
