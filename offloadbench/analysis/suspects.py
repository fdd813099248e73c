"""What may limit a sender, each with how much it explains: share of the time x nearness to its own bound.

A wait proves nothing by itself: a plain stream waits for send memory too, with its queue full. What is waited for
counts as much as the throughput comes near what it allows (offloadbench.analysis.theory).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from offloadbench.analysis import theory
from offloadbench.analysis.figures import Figures, whole
from offloadbench.analysis.queue import Queue, State
from offloadbench.units import format_bytes, format_rate

# a receiver that does not read lets its window close again and again
_CLOSED_RATIO = 0.1
# an exchange that comes this near to its bound is explained by it; acknowledgements and turns cost the rest
_EXCHANGE_RATIO = 0.5
# below this a state is noise
_SOME_RATIO = 0.05
# a rhythm of one burst a round trip, with what the target needs to answer
_TURN_RTTS = (0.6, 2.0)
_BURST_FACTOR = 1.5
_LOSS_RATIO = 1e-4
_PACED_RATIO = 0.9
STATE_RATIO = "waiting_ratio"
"""The share of the time in the state that a suspect is about."""


class Limit(StrEnum):
    """What a sender was limited by."""

    SEND_BUFFER = "send buffer"
    RECEIVE_WINDOW = "receive window"
    CONGESTION_WINDOW = "congestion window"
    LINK = "link"
    TARGET = "target"
    R2T_ROUNDS = "R2T rounds"
    QUEUE_DEPTH = "queue depth"
    APPLICATION = "application"
    CPU = "CPU"
    NOTHING_FOUND = "nothing found"


@dataclass(frozen=True)
class Known:
    """A connection and what is known about it.

    Attributes:
        exchange: of the application over this connection; None for a plain stream.
        waited_ratio: share of the time in waits for send memory by the sender's stacks; None where not recorded.
    """

    queue: Queue
    path: theory.Path
    exchange: theory.Exchange | None
    waited_ratio: float | None = None

    def near(self, bound: theory.Bound | None) -> float:
        """How much of a bound this connection reaches; 1 where there is none."""
        return min(1.0, self.queue.goodput_bits_per_s / bound.bits_per_s) if bound and bound.bits_per_s else 1.0

    def mean(self, name: str, state: State) -> float:
        """Mean of a column while the sender was in a state."""
        return float(self.queue[name][self.queue.states == state].mean())


@dataclass(frozen=True, slots=True)
class Suspect:
    """A limit.

    Attributes:
        score: 0 to 1, how much of time and throughput it explains.
        figures: of the reason, by name.
        firm: a window, a buffer or a bound says so; otherwise a busy CPU may be behind it.
    """

    limit: Limit
    score: float
    reason: str
    figures: Figures
    firm: bool = True


def suspects(known: Known) -> list[Suspect]:
    """Everything that the sender waited for, the most explaining first."""
    judges = {
        State.SEND_BUFFER: _send_buffer,
        State.RECEIVE_WINDOW: _receive_window,
        State.CONGESTION_WINDOW: _congestion_window,
        State.LOWER_LAYERS: _lower_layers,
        State.APPLICATION: _application,
    }
    shares = {state: known.queue.share(state) for state in judges}
    found = [judge(known, shares[state]) for state, judge in judges.items() if shares[state]]
    return sorted(found, key=lambda suspect: -suspect.score)


def percent(ratio: float) -> str:
    return f"{ratio * 100:.0f} %"


def _send_buffer(known: Known, share: float) -> Suspect:
    one, state = known.queue, State.SEND_BUFFER
    if known.waited_ratio is not None and known.waited_ratio < _SOME_RATIO:
        return Suspect(Limit.SEND_BUFFER, 0.0, "the sender's stacks show no wait for send memory", Figures())
    sndbuf = known.mean("sndbuf_bytes", state)
    bound = theory.send_buffer(known.path, sndbuf, one.payload_ratio) if known.path.rtt_s else None
    chosen = one.states == state
    room = np.median(one.cwnd_room_bytes[chosen] // np.maximum(one["snd_mss_bytes"][chosen], 1))
    window = float(np.median(one.window_room_bytes[chosen]))
    told = Figures()
    reason = (
        f"{told.tell(STATE_RATIO, share, percent)} of the time its unsent queue is empty and data on their way take up "
        f"the {told.tell('mean_sndbuf_bytes', sndbuf, format_bytes)} of sk_sndbuf, while the congestion window has "
        f"room for {told.tell('median_cwnd_room_segments', room, whole)} segments and the receiver for "
        f"{told.tell('median_window_room_bytes', window, format_bytes)}"
    )
    return Suspect(Limit.SEND_BUFFER, share * known.near(bound), reason + _allows(bound), told)


def _receive_window(known: Known, share: float) -> Suspect:
    one, state = known.queue, State.RECEIVE_WINDOW
    chosen = one.states == state
    closed = float((one["snd_wnd_bytes"] < one["snd_mss_bytes"])[chosen].mean())
    told = Figures()
    waiting = f"{told.tell(STATE_RATIO, share, percent)} of the time data wait for the receiver's window"
    if closed >= _CLOSED_RATIO:
        reason = (
            f"{waiting}, closed in {told.tell('window_closed_ratio', closed, percent)} of these ticks: the receiving "
            "process does not read fast enough"
        )
        return Suspect(Limit.TARGET, share, reason, told)
    window = known.mean("snd_wnd_bytes", state)
    bound = theory.window(known.path, window) if known.path.rtt_s else None
    reason = f"{waiting} of {told.tell('mean_window_bytes', window, format_bytes)}"
    return Suspect(Limit.RECEIVE_WINDOW, share * known.near(bound), reason + _allows(bound), told)


def _congestion_window(known: Known, share: float) -> Suspect:
    one, state = known.queue, State.CONGESTION_WINDOW
    segments = known.mean("snd_cwnd_segments", state)
    window = segments * known.path.mss_bytes
    bound = theory.window(known.path, window, theory.CONGESTION_WINDOW) if known.path.rtt_s else None
    told = Figures()
    reason = (
        f"{told.tell(STATE_RATIO, share, percent)} of the time data wait for a congestion window of "
        f"{told.tell('mean_cwnd_segments', segments, whole)} segments"
    )
    again = one.change("total_retrans_segments")
    if again > _LOSS_RATIO * one.change("data_out_segments"):
        reason += f", which losses keep small ({told.tell('retrans_segments', again, whole)} segments were sent again)"
    elif one["snd_cwnd_segments"].min() == one["snd_cwnd_segments"].max():
        reason += ", which never moves (is it clamped by a route's cwnd?)"
    return Suspect(Limit.CONGESTION_WINDOW, share * known.near(bound), reason + _allows(bound), told)


def _lower_layers(known: Known, share: float) -> Suspect:
    pacing = known.mean("pacing_rate_bytes_per_s", State.LOWER_LAYERS) * 8
    told = Figures()
    waiting = f"{told.tell(STATE_RATIO, share, percent)} of the time data wait although both windows have room"
    if pacing > 0 and _PACED_RATIO * pacing <= known.queue.goodput_bits_per_s:
        reason = f"{waiting}, paced at {told.tell('mean_pacing_bits_per_s', pacing, format_rate)}"
        return Suspect(Limit.CONGESTION_WINDOW, share, reason, told)
    return Suspect(Limit.LINK, share, f"{waiting}: queues below TCP hold them back", told, firm=False)


def _application(known: Known, share: float) -> Suspect:
    told = Figures()
    idle = f"{told.tell(STATE_RATIO, share, percent)} of the time its queue is empty and it does not wait for memory"
    burst_bytes, turn_rtts = rhythm(known.queue)
    if burst_bytes:
        idle += (
            f": it sends about {told.tell('burst_bytes', burst_bytes, format_bytes)} at a time and then waits "
            f"{told.tell('median_turn_rtts', turn_rtts, '{:.1f}'.format)} RTT"
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
            return _by_exchange(known, share, Suspect(Limit.R2T_ROUNDS, share, asked + _allows(bound), told), bound)
    else:
        bound = theory.queue_depth(path, exchange)
        if known.near(bound) >= _EXCHANGE_RATIO:
            return _by_exchange(known, share, Suspect(Limit.QUEUE_DEPTH, share, idle + _allows(bound), told), bound)
    return Suspect(Limit.TARGET, share, f"{idle}, for answers that come late{_allows(bound)}", told, firm=False)


def _by_exchange(known: Known, share: float, suspect: Suspect, bound: theory.Bound) -> Suspect:
    """An exchange whose bound is nearly reached explains the rate, even where most of the waiting is for memory.

    A block that fills the buffer to the brim waits for memory too, although a larger buffer would gain nothing.
    """
    other = theory.send_buffer(known.path, float(known.queue["sndbuf_bytes"].mean()), known.queue.payload_ratio)
    if share >= _SOME_RATIO and bound.bits_per_s < other.bits_per_s:
        return replace(suspect, score=max(share, _EXCHANGE_RATIO * known.near(bound)))
    return suspect


def rhythm(one: Queue) -> tuple[float, float]:
    """(bytes that an application sends before it waits, RTTs that it waits); zeros where it does not wait in turns."""
    waiting = [gap for gap in one.gaps() if gap.state is State.APPLICATION]
    if len(waiting) < 2 or one.min_rtt_s * 1e6 < one.period_us:
        return 0.0, 0.0
    return one.change("sent_bytes") / len(waiting), float(np.median([gap.length_rtts for gap in waiting]))


def _allows(bound: theory.Bound | None) -> str:
    return f"; {bound.name}: at most {format_rate(bound.bits_per_s)} ({bound.formula})" if bound else ""
