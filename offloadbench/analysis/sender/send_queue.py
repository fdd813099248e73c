"""A sender's send queue over time: what it waits for at each tick, and the gaps in which it sends nothing.

The kernel's own account (tcpi_sndbuf_limited) misses a blocking writer whose last packet was full: nothing is left to
push when it begins to wait, and the clock is never started (tcp_cwnd_validate in net/ipv4/tcp_output.c). It said 0.4 %
where the stacks of the same sender said 100 %. So the wait for send memory is read from the queue itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from offloadbench.files.packed_columns import ADDED_TCP_COLUMNS, TcpColumns, unpack_tcp
from offloadbench.model import TcpTrace

# a waiting writer is woken when a third of its buffer is free (sk_stream_write_space, sk_stream_min_wspace)
WAKE_RATIO = 2 / 3
# how near to full a buffer is seen at the tick after a write that filled it, with what was acknowledged meanwhile
_FULL_RATIO = 0.9
# a queue that fell this low before the next write was not refilled by a writer that waited for memory
_DRAINED_RATIO = 0.15
_WAKE_TOLERANCE = 0.04
_COARSE_TICKS = 2
# TCP saves up for a super-packet, but for no more than a third of the window (tcp_tso_should_defer)
_SUPER_PACKET_BYTES = 65536
_DEFER_DIVISOR = 3
# a queue that ran empty within this time, or a round trip, is one that the application leaves empty
_DRY_US = 10_000
# the window of BBR's maximum filter (bbr_bw_rtts in net/ipv4/tcp_bbr.c), and what is no accident in it
_BBR_RTTS, _RECURRING_RATIO = 10, 0.05
_MOSTLY = 0.5
# tcpi_ca_state: recovery and loss
_RECOVERY = 3
_GAP_RTTS = 0.25
_GAP_PERIODS = 3

I8 = npt.NDArray[np.int64]
F8 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class State(IntEnum):
    """What a sender waits for at a tick."""

    APPLICATION = 0
    """The queue is empty, and the application does not wait for memory."""
    SEND_BUFFER = 1
    """The unsent queue is empty, both windows have room, and the application waits for memory."""
    RECEIVE_WINDOW = 2
    CONGESTION_WINDOW = 3
    LOWER_LAYERS = 4
    """Unsent data, room in both windows, no pacing: TCP small queues, the CPU."""
    PACING = 5
    """Unsent data and room in both windows, in a socket that is paced: by SO_MAX_PACING_RATE or by BBR."""
    SMALL_WRITES = 6
    """Less than a segment unsent, held back until what is in flight is acknowledged (Nagle's algorithm, RFC 896)."""


@dataclass(frozen=True)
class Queue:
    """The columns of a trace, and what follows from them.

    Attributes:
        columns: see `offloadbench.files.packed_columns.TCP_COLUMNS`; each of shape (ticks,).
        period_us: from tick to tick.
        congestion_control: of the connection; "" where unknown.
    """

    columns: Mapping[str, I8]
    period_us: int
    congestion_control: str = ""

    def __getitem__(self, name: str) -> I8:
        return self.columns[name]

    def __len__(self) -> int:
        return len(self["t_us"])

    @property
    def duration_s(self) -> float:
        return float(self["t_us"][-1] - self["t_us"][0]) * 1e-6 if len(self) else 0.0

    @property
    def goodput_bits_per_s(self) -> float:
        """Payload that was acknowledged."""
        return self.change("acked_bytes") * 8 / self.duration_s if self.duration_s else 0.0

    @property
    def min_rtt_s(self) -> float:
        """The shortest round trip that the kernel saw: the path without its queues (Win_minmax over 300 s)."""
        return float(self["min_rtt_us"].min()) * 1e-6

    def change(self, name: str) -> int:
        """Difference of a counter over the trace."""
        return int(self[name][-1] - self[name][0]) if len(self) else 0

    @cached_property
    def flight_bytes(self) -> I8:
        """Sent and not acknowledged, by sequence numbers: what the receiver's window and the send buffer hold.

        The two are read a moment apart, so that much may have been acknowledged between them.
        """
        found: I8 = np.maximum(self["wqueue_bytes"] - self["notsent_bytes"], 0)
        return found

    @cached_property
    def network_bytes(self) -> I8:
        """What is on the path, by tcp_packets_in_flight(): without what was selectively acknowledged or lost."""
        gone = self["sacked_segments"] + self["lost_segments"] - self["retrans_segments"]
        found: I8 = np.maximum(self["unacked_segments"] - gone, 0) * self["snd_mss_bytes"]
        return found

    @cached_property
    def segments(self) -> F8:
        """The send queue as the paper counts it: sent and not acknowledged, and not yet sent, in segments."""
        mss = np.maximum(self["snd_mss_bytes"], 1)
        total: F8 = self["unacked_segments"] + self["notsent_bytes"] / mss
        return total

    @cached_property
    def cwnd_room_bytes(self) -> I8:
        """What the congestion window would let go."""
        room: I8 = self["snd_cwnd_segments"] * self["snd_mss_bytes"] - self.network_bytes
        return room

    @cached_property
    def window_room_bytes(self) -> I8:
        """What the receiver's window would let go."""
        room: I8 = self["snd_wnd_bytes"] - self.flight_bytes
        return room

    @cached_property
    def payload_ratio(self) -> float:
        """Payload in the send queue to what it is charged for."""
        charged = self["wmem_queued_bytes"].sum()
        return float(self["wqueue_bytes"].sum() / charged) if charged else 1.0

    @cached_property
    def over_sndbuf_bytes(self) -> float:
        """By how much the queue exceeds sk_sndbuf at its fullest, up to the packet that any room lets in."""
        if not len(self):
            return 0.0
        over = float(np.percentile(self["wmem_queued_bytes"] - self["sndbuf_bytes"], 99))
        return min(max(over, 0.0), _SUPER_PACKET_BYTES / max(self.payload_ratio, 0.01))

    @cached_property
    def states(self) -> npt.NDArray[np.int8]:
        """`State` of every tick."""
        found = np.full(len(self), State.APPLICATION, dtype=np.int8)
        mss = self["snd_mss_bytes"]
        cwnd_bytes = self["snd_cwnd_segments"] * mss
        by_cwnd = self.cwnd_room_bytes < _quantum(cwnd_bytes) + mss
        by_window = self.window_room_bytes < _quantum(self["snd_wnd_bytes"]) + mss
        unsent = self["notsent_bytes"] > 0
        narrower_window = self.window_room_bytes <= self.cwnd_room_bytes
        found[unsent] = State.PACING if self.paced else State.LOWER_LAYERS
        found[self._held_small] = State.APPLICATION if self._goes_on_writing else State.SMALL_WRITES
        found[unsent & by_cwnd & (~narrower_window | ~by_window)] = State.CONGESTION_WINDOW
        found[unsent & by_window & (narrower_window | ~by_cwnd)] = State.RECEIVE_WINDOW
        room = (self.cwnd_room_bytes >= mss) & (self.window_room_bytes >= mss)
        found[~unsent & (self.flight_bytes > 0) & room & self.waits_for_memory] = State.SEND_BUFFER
        # a queue that runs empty before the application writes again is not held back by what is below it
        found[np.isin(found, (State.PACING, State.LOWER_LAYERS)) & self._runs_dry] = State.APPLICATION
        return self._behind_bbr(found)

    def _behind_bbr(self, states: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """BBR spreads what something else lets through: it paces at the best rate of its last ten round trips.

        So what was waited for within ten round trips explains the pacing after it, where that comes again and again.
        """
        if not self.congestion_control.startswith("bbr") or self._at_set_rate:
            return states
        reach = int(_BBR_RTTS * max(self.min_rtt_s * 1e6, _DRY_US / _BBR_RTTS) / self.period_us)
        ticks = np.arange(len(states))
        found = states.copy()
        last = np.full(len(states), -reach - 1)
        for state in (State.APPLICATION, State.RECEIVE_WINDOW, State.CONGESTION_WINDOW):
            here = states == state
            if here.mean() < _RECURRING_RATIO:
                continue
            seen = np.maximum.accumulate(np.where(here, ticks, -reach - 1))
            nearer = (states == State.PACING) & (ticks - seen <= reach) & (seen > last)
            found[nearer] = state
            last = np.where(nearer, seen, last)
        return found

    @property
    def paced(self) -> bool:
        """Whether TCP spreads its packets: BBR does, and whoever was given a rate."""
        return self.congestion_control.startswith("bbr") or bool((self["max_pacing_rate_bytes_per_s"] > 0).all())

    @property
    def _at_set_rate(self) -> bool:
        """Whether it is paced at the rate of SO_MAX_PACING_RATE most of the time."""
        most = self["max_pacing_rate_bytes_per_s"]
        return bool(((most > 0) & (self["pacing_rate_bytes_per_s"] >= most)).mean() > _MOSTLY) if len(self) else False

    @cached_property
    def recovers(self) -> Mask:
        """Whether losses are being repaired."""
        found: Mask = self["ca_state"] >= _RECOVERY
        return found

    @cached_property
    def written(self) -> Mask:
        """Whether the application has written since the tick before."""
        found: Mask = np.diff(self["acked_bytes"] + self["wqueue_bytes"], prepend=0) > 0
        found[:1] = False
        return found

    @cached_property
    def _held_small(self) -> Mask:
        """Less than a segment waits although nothing was sent since the tick before, and data are in flight."""
        small = (self["notsent_bytes"] > 0) & (self["notsent_bytes"] < self["snd_mss_bytes"])
        still = np.diff(self["sent_bytes"], prepend=self["sent_bytes"][:1]) == 0
        held: Mask = small & still & (self["unacked_segments"] > 0)
        return held

    @property
    def _goes_on_writing(self) -> bool:
        """Whether most data that were held back were joined by others before they left: nobody waits for them."""
        held = self._held_small
        before = np.concatenate(([False], held[:-1]))
        spans = int((held & ~before).sum())
        return spans > 0 and int((held & before & self.written).sum()) > spans / 2

    @cached_property
    def _runs_dry(self) -> Mask:
        """Whether the queue of unsent data runs empty before the next write, without a writer that waits for memory."""
        if not len(self):
            return np.zeros(0, dtype=bool)
        unsent = self["notsent_bytes"]
        starts = np.flatnonzero(self.written)
        edges = np.unique(np.concatenate(([0], starts)))
        by_write = np.repeat(np.minimum.reduceat(unsent, edges), np.diff(np.append(edges, len(self))))
        span_us = max(_DRY_US, self.min_rtt_s * 1e6)
        span = 2 * round(span_us / 2 / self.period_us) + 1
        padded = np.pad(unsent, span // 2, mode="edge")
        nearby = np.lib.stride_tricks.sliding_window_view(padded, span).min(axis=1)
        dry: Mask = (np.minimum(by_write, nearby) <= 0) & ~self.waits_for_memory
        return dry

    def share(self, state: State, where: Mask | None = None) -> float:
        """Share of the ticks, or of those chosen, in a state."""
        chosen = self.states if where is None else self.states[where]
        return float((chosen == state).mean()) if len(chosen) else 0.0

    @cached_property
    def waits_for_memory(self) -> Mask:
        """Whether a writer is held by the send buffer, as far as the queue tells.

        A writer blocks on a full buffer only and is woken at two thirds: between two writes the queue begins full and
        ends not far below two thirds. A queue that drains, or that is written to while nearly full, belongs to an
        application that waits for something else. Where ticks are too coarse to see that, the level has to do.
        """
        if len(self) < 2:
            return np.zeros(len(self), dtype=bool)
        charged, limit = self["wmem_queued_bytes"].astype(np.float64), np.maximum(self["sndbuf_bytes"], 1)
        freed = np.diff(self["acked_bytes"], prepend=self["acked_bytes"][0]) / max(self.payload_ratio, 0.01)
        written = self.written
        ticks = np.arange(len(self))
        last = np.maximum.accumulate(np.where(written, ticks, 0))
        following = np.minimum.accumulate(np.where(written, ticks, len(self))[::-1])[::-1]
        following = np.append(following[1:], len(self))
        known = (following < len(self)) & (last > 0)
        at = np.minimum(following, len(self) - 1)
        began = (charged[last] + freed[last]) / limit[last]
        ended = (charged[at - 1] - freed[at]) / limit[at - 1]
        coarse = ~known | ((following - last <= _COARSE_TICKS) & (freed[at] > (1 - WAKE_RATIO) * limit[at]))
        held = (began >= _FULL_RATIO) & (ended >= _DRAINED_RATIO) & (ended <= WAKE_RATIO + _WAKE_TOLERANCE)
        reached_limit = bool((charged >= _FULL_RATIO * limit).any())
        level: Mask = (charged > WAKE_RATIO * limit) & reached_limit
        return np.where(coarse, level, held)

    def gaps(self, line_payload_bits_per_s: float = 0.0) -> list[SendGap]:
        """Times in which nothing was sent for a quarter of the round trip and at least three ticks, by start.

        Args:
            line_payload_bits_per_s: the link's rate, whose time for what was handed down before is no gap; 0 where
                unknown: then the gaps are those of the socket.
        """
        sent = np.diff(self["sent_bytes"], prepend=self["sent_bytes"][:1])
        sending = np.flatnonzero(sent > 0)
        if not len(sending):
            return []
        t_us = self["t_us"].astype(np.float64)
        longer_us = max(_GAP_RTTS * self.min_rtt_s * 1e6, _GAP_PERIODS * self.period_us)
        us_per_byte = 8e6 / line_payload_bits_per_s if line_payload_bits_per_s else 0.0
        free_us = t_us[sending[0]]
        found = []
        # the first tick's data left at an unknown time before it
        for tick, following in zip(sending, np.append(sending[1:], len(t_us)), strict=True):
            free_us = max(free_us, t_us[tick]) + float(sent[tick]) * us_per_byte
            end_us = t_us[following - 1]
            if end_us - free_us >= longer_us:
                inside = self.states[np.searchsorted(t_us, free_us) : following]
                state = State(int(np.bincount(inside).argmax()))
                found.append(SendGap(free_us * 1e-6, (end_us - free_us) * 1e-6, self.min_rtt_s, state))
        return found


@dataclass(frozen=True, slots=True)
class SendGap:
    """A time in which nothing was sent.

    Attributes:
        start_s: from the opening of the window.
        state: what the sender waited for during most of it.
    """

    start_s: float
    length_s: float
    rtt_s: float
    state: State

    @property
    def length_rtts(self) -> float:
        return self.length_s / self.rtt_s if self.rtt_s else 0.0


def gap_ratio(gaps: Sequence[SendGap], duration_s: float) -> float:
    """Share of the time that lies in gaps."""
    return sum(gap.length_s for gap in gaps) / duration_s if duration_s else 0.0


def queue(trace: TcpTrace) -> Queue:
    """The queue of a captured trace, as long as its connection was there."""
    columns = _living(unpack_tcp(trace))
    missing = {name: np.zeros(len(columns["t_us"]), dtype=np.int64) for name in ADDED_TCP_COLUMNS}
    return Queue(missing | columns, trace.period_us, trace.congestion_control)


def _living(columns: TcpColumns) -> TcpColumns:
    """Without the readings of a closed socket, whose counters are 0: files of older versions may end with such."""
    falls = np.flatnonzero((np.diff(columns["acked_bytes"]) < 0) | (np.diff(columns["sent_bytes"]) < 0))
    return {name: column[: falls[0] + 1] for name, column in columns.items()} if len(falls) else columns


def _quantum(window_bytes: Any) -> Any:
    return np.minimum(window_bytes // _DEFER_DIVISOR, _SUPER_PACKET_BYTES)
