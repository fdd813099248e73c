"""What may limit a sender, each with how much it explains: share of the time x nearness to its own bound.

A wait proves nothing by itself: a plain stream waits for send memory too, with its queue full. What is waited for
counts as much as the throughput comes near what it allows (offloadbench.analysis.sender.theory).
"""

from __future__ import annotations

import numpy as np

from offloadbench.analysis.sender import theory, writers
from offloadbench.analysis.sender.send_queue import Queue, State
from offloadbench.analysis.sender.suspect import STATE_RATIO, KnownConnection, Limit, Suspect, fine_percent, percent
from offloadbench.analysis.sender.told_figures import Figures, whole
from offloadbench.base.units import format_bytes, format_rate

# a receiver that does not read lets its window close again and again, or, where the sender is paced, fall so far
_CLOSED_RATIO, _FALLEN_RATIO = 0.1, 0.1
# below this a state is noise
_SOME_RATIO = 0.05
_MOSTLY = 0.5
_LOSS_RATIO = 1e-4
# losses that hold back even a congestion control that does not answer each of them with a smaller window
_MANY_LOSSES_RATIO = 1e-3
# a rate that was set is reached, a headroom for headers and timers left out
_PACED_RATIO = 0.8
# below TCP a queue is at its limit for most of the time that data wait for it; without that it is a guess
_SMALL_QUEUE_SHIFT, _QUEUED_BELOW_RATIO, _WEAK = 10, 0.5, 0.25


def suspects(known: KnownConnection) -> list[Suspect]:
    """Everything that the sender waited for, the most explaining first."""
    judges = (
        _send_buffer, _receive_window, _congestion_window, _recovery, _set_rate, _lower_layers,
        writers.small_writes, writers.application,
    )  # fmt: skip
    found = [suspect for judge in judges if (suspect := judge(known))]
    return sorted(found, key=lambda suspect: -suspect.score)


def _send_buffer(known: KnownConnection) -> Suspect | None:
    """The writer waits for memory while neither window holds the data back; a paced sender may have some unsent."""
    one = known.queue
    free = np.isin(one.states, (State.SEND_BUFFER, State.PACING, State.LOWER_LAYERS))
    chosen = free & one.waits_for_memory
    if not chosen.any():
        return None
    share = float(chosen.mean())
    if known.waited_ratio is not None and known.waited_ratio < _SOME_RATIO:
        return Suspect(Limit.SEND_BUFFER, 0.0, "the sender's stacks show no wait for send memory", Figures())
    sndbuf = float(one["sndbuf_bytes"][chosen].mean())
    path = known.path
    bound = theory.send_buffer(path, sndbuf, one.payload_ratio, one.over_sndbuf_bytes) if path.rtt_s else None
    room = np.median(one.cwnd_room_bytes[chosen] // np.maximum(one["snd_mss_bytes"][chosen], 1))
    window = float(np.median(one.window_room_bytes[chosen]))
    told = Figures()
    unsent = float((one["notsent_bytes"][chosen] > 0).mean())
    queue = "its unsent queue is empty and data on their way take up" if unsent < _MOSTLY else "its data fill"
    reason = (
        f"{told.tell(STATE_RATIO, share, percent)} of the time {queue} "
        f"the {told.tell('mean_sndbuf_bytes', sndbuf, format_bytes)} of sk_sndbuf, while the congestion window has "
        f"room for {told.tell('median_cwnd_room_segments', room, whole)} segments and the receiver for "
        f"{told.tell('median_window_room_bytes', window, format_bytes)}"
    )
    return Suspect(Limit.SEND_BUFFER, share * known.near(bound), reason + known.allows(bound), told)


def _receive_window(known: KnownConnection) -> Suspect | None:
    one, state = known.queue, State.RECEIVE_WINDOW
    share = one.share(state)
    if not share:
        return None
    chosen = one.states == state
    closed = float((one["snd_wnd_bytes"] < one["snd_mss_bytes"])[chosen].mean())
    told = Figures()
    spread = ", or BBR spreads what it lets through" if one.congestion_control.startswith("bbr") else ""
    waiting = f"{told.tell(STATE_RATIO, share, percent)} of the time data wait for the receiver's window{spread}"
    if closed >= _CLOSED_RATIO:
        reason = (
            f"{waiting}, closed in {told.tell('window_closed_ratio', closed, percent)} of these ticks: the receiving "
            "process does not read fast enough"
        )
        return Suspect(Limit.TARGET, share, reason, told)
    fallen = _fallen_ratio(one)
    if fallen >= _FALLEN_RATIO:
        reason = (
            f"{waiting}; data that nobody has read yet keep the window "
            f"{told.tell('window_fallen_ratio', fallen, percent)} below its largest on average: the receiving process "
            "does not read fast enough"
        )
        return Suspect(Limit.TARGET, share, reason, told)
    window = known.mean("snd_wnd_bytes", state)
    bound = theory.window(known.path, window) if known.path.rtt_s else None
    reason = f"{waiting}, {told.tell('mean_window_bytes', window, format_bytes)}"
    return Suspect(Limit.RECEIVE_WINDOW, share * known.near(bound), reason + known.allows(bound), told)


def _fallen_ratio(one: Queue) -> float:
    """How far the receiver's window lies below the largest one so far, on average; 0 for one that only grows."""
    largest = np.maximum(np.maximum.accumulate(one["snd_wnd_bytes"]), 1)
    return float((1 - one["snd_wnd_bytes"] / largest).mean())


def _congestion_window(known: KnownConnection) -> Suspect | None:
    one, state = known.queue, State.CONGESTION_WINDOW
    share = one.share(state)
    if not share:
        return None
    segments = known.mean("snd_cwnd_segments", state)
    window = segments * known.path.mss_bytes
    bound = theory.window(known.path, window, theory.CONGESTION_WINDOW) if known.path.rtt_s else None
    told = Figures()
    reason = (
        f"{told.tell(STATE_RATIO, share, percent)} of the time data wait for a congestion window of "
        f"{told.tell('mean_cwnd_segments', segments, whole)} segments"
    )
    limit = Limit.CONGESTION_WINDOW
    if known.losses > _LOSS_RATIO:
        limit = Limit.LOSS
        reason += f", which losses keep small ({_lost(known, told)})"
    elif known.losses_so_far > _LOSS_RATIO and one["snd_cwnd_segments"][-1] > one["snd_cwnd_segments"][0]:
        limit = Limit.LOSS
        so_far = told.tell("retrans_segments_so_far", int(one["total_retrans_segments"][-1]), whole)
        reason += f", which grows back after earlier losses ({so_far} segments retransmitted so far)"
    elif one["snd_cwnd_segments"].min() == one["snd_cwnd_segments"].max():
        reason += ", which never moves (is it clamped by a route's cwnd?)"
    return Suspect(limit, share * known.near(bound), reason + known.allows(bound), told)


def _lost(known: KnownConnection, told: Figures) -> str:
    again = told.tell("retrans_segments", known.queue.change("total_retrans_segments"), whole)
    return f"{again} segments retransmitted, {told.tell('retrans_ratio', known.losses, fine_percent)}"


def _recovery(known: KnownConnection) -> Suspect | None:
    """Losses are being repaired: what was lost must be sent once more, and what followed it fills the send buffer."""
    one = known.queue
    if known.losses < _MANY_LOSSES_RATIO:
        return None
    chosen = one.recovers & (one.states != State.RECEIVE_WINDOW) & (one.states != State.CONGESTION_WINDOW)
    share = float(chosen.mean())
    told = Figures()
    held = float((one["sacked_segments"] * one["snd_mss_bytes"])[one.recovers].mean()) if one.recovers.any() else 0.0
    reason = (
        f"{told.tell(STATE_RATIO, share, percent)} of the time it repairs losses ({_lost(known, told)}), and on "
        f"average {told.tell('mean_sacked_bytes', held, format_bytes)} that arrived behind them stay in the send buffer"
    )
    return Suspect(Limit.LOSS, share, reason, told, firm=False) if share else None


def _set_rate(known: KnownConnection) -> Suspect | None:
    """SO_MAX_PACING_RATE, where it is what is reached."""
    one = known.queue
    most = float(one["max_pacing_rate_bytes_per_s"].min()) * 8
    share = one.share(State.PACING)
    if not share or not most or one.goodput_bits_per_s < _PACED_RATIO * most:
        return None
    told = Figures()
    reason = (
        f"{told.tell(STATE_RATIO, share, percent)} of the time data wait although both windows have room: the socket's "
        f"rate is set to {told.tell('max_pacing_bits_per_s', most, format_rate)} (SO_MAX_PACING_RATE)"
    )
    return Suspect(Limit.PACING, share, reason, told)


def _lower_layers(known: KnownConnection) -> Suspect | None:
    """Packets that wait below TCP are the link's; without them nothing says what the data wait for."""
    one = known.queue
    chosen = one.states == State.LOWER_LAYERS
    if not chosen.any():
        return None
    told = Figures()
    share = float(chosen.mean())
    waiting = f"{told.tell(STATE_RATIO, share, percent)} of the time data wait although both windows have room"
    # tcp_small_queue_check(): about a millisecond at the pacing rate may lie below TCP, two packets at least
    allowed = np.maximum(one["pacing_rate_bytes_per_s"] >> _SMALL_QUEUE_SHIFT, 2 * one["snd_mss_bytes"])
    full = float((one["wmem_alloc_bytes"] >= allowed)[chosen].mean())
    if full < _QUEUED_BELOW_RATIO:
        return Suspect(Limit.LINK, _WEAK * share, waiting, told, firm=False)
    below = told.tell("mean_wmem_alloc_bytes", known.mean("wmem_alloc_bytes", State.LOWER_LAYERS), format_bytes)
    return Suspect(Limit.LINK, share, f"{waiting}: {below} lie in queues below TCP", told, firm=False)
