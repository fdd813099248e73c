"""A limit as a suspect: how much of time and throughput it explains, and what is known of the connection."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from offloadbench.analysis.sender import theory
from offloadbench.analysis.sender.send_queue import Queue, State
from offloadbench.analysis.sender.told_figures import Figures
from offloadbench.base.units import format_rate

STATE_RATIO = "waiting_ratio"
"""The share of the time in the state that a suspect is about."""


class Limit(StrEnum):
    """What a sender was limited by."""

    SEND_BUFFER = "send buffer"
    RECEIVE_WINDOW = "receive window"
    CONGESTION_WINDOW = "congestion window"
    LINK = "link"
    PATH = "path"
    TARGET = "target"
    R2T_ROUNDS = "R2T rounds"
    QUEUE_DEPTH = "queue depth"
    APPLICATION = "application"
    SMALL_WRITES = "application's own small writes"
    PACING = "pacing"
    LOSS = "loss recovery"
    CPU = "CPU"
    NOTHING_FOUND = "nothing found"


@dataclass(frozen=True)
class KnownConnection:
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
        """How much of a bound this connection reaches; 1 where there is none, 0 of one that it exceeds."""
        if bound is None or not bound.bits_per_s:
            return 1.0
        if bound.against(self.queue.goodput_bits_per_s).exceeded:
            return 0.0
        return min(1.0, self.queue.goodput_bits_per_s / bound.bits_per_s)

    def allows(self, bound: theory.Bound | None) -> str:
        """A bound as a clause; "about" where the throughput is a little above it: windows and buffers are means."""
        if bound is None:
            return ""
        most = "at most" if self.queue.goodput_bits_per_s <= bound.bits_per_s else "about"
        return f"; {bound.name}: {most} {format_rate(bound.bits_per_s)} ({bound.formula})"

    @property
    def losses(self) -> float:
        """Share of the segments that were retransmitted."""
        sent = self.queue.change("data_out_segments")
        return self.queue.change("total_retrans_segments") / sent if sent > 0 else 0.0

    @property
    def losses_so_far(self) -> float:
        """Share of the segments that were retransmitted since the connection began."""
        sent = int(self.queue["data_out_segments"][-1])
        return int(self.queue["total_retrans_segments"][-1]) / sent if sent > 0 else 0.0

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


def percent(ratio: float) -> str:
    return f"{ratio * 100:.0f} %"


def fine_percent(ratio: float) -> str:
    """Of a small share, such as that of the losses."""
    return f"{ratio * 100:.3g} %"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"
