"""What limits from above TCP: an application that writes too little, in turns, or held back by its own small writes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from offloadbench.analysis.sender import theory
from offloadbench.analysis.sender.send_queue import Queue, State
from offloadbench.analysis.sender.suspect import STATE_RATIO, KnownConnection, Limit, Suspect, milliseconds, percent
from offloadbench.analysis.sender.told_figures import Figures, whole
from offloadbench.base.units import format_bytes

# an exchange that comes this near to its bound is explained by it; acknowledgements and turns cost the rest
_EXCHANGE_RATIO = 0.5
# below this a state is noise
_SOME_RATIO = 0.05
# a rhythm of one burst a round trip, with what the target needs to answer
_TURN_RTTS = (0.6, 2.0)
_BURST_FACTOR = 1.5
# a rhythm is known by gaps that hold this share of the time in which the application is waited for
_SEEN_RATIO = 0.3
# writes that are so far apart are seen one by one
_TOLD_APART_PERIODS = 1.5
# an application that holds back its next write for an acknowledgement is explained by that, whatever else it waits for
_HELD_RATIO = 0.3


def small_writes(known: KnownConnection) -> Suspect | None:
    one = known.queue
    share = one.share(State.SMALL_WRITES)
    if not share:
        return None
    held = one.states == State.SMALL_WRITES
    told = Figures()
    median = float(np.median(one["notsent_bytes"][held]))
    mss = float(np.median(one["snd_mss_bytes"]))
    reason = (
        f"{told.tell(STATE_RATIO, share, percent)} of the time less than a segment, "
        f"{told.tell('median_held_bytes', median, format_bytes)} of "
        f"{told.tell('median_mss_bytes', mss, format_bytes)}, "
        "is held back until what it wrote before is acknowledged (Nagle's algorithm, and the receiver may delay that "
        "acknowledgement); TCP_NODELAY, or one write instead of two, would send it at once"
    )
    # each of these waits is of the application's making, as is whatever else the same exchange waits for
    return Suspect(Limit.SMALL_WRITES, 1.0 if share >= _HELD_RATIO else share, reason, told)


def application(known: KnownConnection) -> Suspect | None:
    share = known.queue.share(State.APPLICATION)
    if not share:
        return None
    told = Figures()
    idle = (
        f"{told.tell(STATE_RATIO, share, percent)} of the time its queue is empty, or runs empty before it writes "
        "again, and it does not wait for memory"
    )
    burst_bytes, turn_rtts = rhythm(known.queue)
    if burst_bytes:
        idle += (
            f": it sends about {told.tell('burst_bytes', burst_bytes, format_bytes)} at a time and then waits "
            f"{told.tell('median_turn_rtts', turn_rtts, '{:.1f}'.format)} RTT"
        )
    elif interval_s := _write_interval_s(known.queue):
        size = known.queue.goodput_bits_per_s / 8 * interval_s
        idle += (
            f": it writes about {told.tell('write_bytes', size, format_bytes)} every "
            f"{told.tell('write_interval_s', interval_s, milliseconds)}"
        )
    exchange, path = known.exchange, known.path
    if exchange is None or not path.rtt_s:
        return Suspect(Limit.APPLICATION, share, idle, told, firm=False)
    if exchange.rounds:
        bound = theory.r2t_rounds(path, exchange)
        in_turns = (
            _TURN_RTTS[0] <= turn_rtts <= _TURN_RTTS[1] and burst_bytes <= _BURST_FACTOR * exchange.max_burst_bytes
        )
        if in_turns or known.near(bound) >= _EXCHANGE_RATIO:
            asked = f"{idle}; the target asks {told.tell('r2t_rounds', exchange.rounds, whole)} times a block"
            return _by_exchange(
                known, share, Suspect(Limit.R2T_ROUNDS, share, asked + known.allows(bound), told), bound
            )
    else:
        bound = theory.queue_depth(path, exchange)
        if known.near(bound) >= _EXCHANGE_RATIO:
            return _by_exchange(
                known, share, Suspect(Limit.QUEUE_DEPTH, share, idle + known.allows(bound), told), bound
            )
    return Suspect(Limit.TARGET, share, f"{idle}, for answers that come late{known.allows(bound)}", told, firm=False)


def _by_exchange(known: KnownConnection, share: float, suspect: Suspect, bound: theory.Bound) -> Suspect:
    """An exchange whose bound is nearly reached explains the rate, even where most of the waiting is for memory.

    A block that fills the buffer to the brim waits for memory too, although a larger buffer would gain nothing.
    """
    other = theory.send_buffer(known.path, float(known.queue["sndbuf_bytes"].mean()), known.queue.payload_ratio)
    if share >= _SOME_RATIO and bound.bits_per_s < other.bits_per_s:
        return replace(suspect, score=max(share, _EXCHANGE_RATIO * known.near(bound)))
    return suspect


def _write_interval_s(one: Queue) -> float:
    """The median time from write to write; 0 where the readings are too coarse to tell them apart."""
    times_us = one["t_us"][one.written]
    if len(times_us) < 2:
        return 0.0
    interval_us = float(np.median(np.diff(times_us)))
    return interval_us * 1e-6 if interval_us > _TOLD_APART_PERIODS * one.period_us else 0.0


def rhythm(one: Queue) -> tuple[float, float]:
    """(bytes that an application sends before it waits, RTTs that it waits); zeros where it does not wait in turns."""
    waiting = [gap for gap in one.gaps() if gap.state is State.APPLICATION]
    if len(waiting) < 2 or one.min_rtt_s * 1e6 < one.period_us:
        return 0.0, 0.0
    # where most waits are too short to be seen as gaps, the bytes between those that are seen are those of many turns
    seen_s = sum(gap.length_s for gap in waiting)
    if seen_s < _SEEN_RATIO * one.share(State.APPLICATION) * one.duration_s:
        return 0.0, 0.0
    return one.change("sent_bytes") / len(waiting), float(np.median([gap.length_rtts for gap in waiting]))
