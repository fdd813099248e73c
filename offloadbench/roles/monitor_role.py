"""Reads TCP connections at a fixed pace, as a role of its own at the sender's end (see offloadbench.roles.ends).

Windows are opened and closed any number of times (`offloadbench.kernel.tcp.tcp_monitor.Window`). It preempts the
emulated cable, with which it may share a CPU: a late reading says nothing, a late frame is caught up.
"""

from __future__ import annotations

import ctypes
import gc
import os
import time

import msgspec

from offloadbench.base import comms
from offloadbench.base.errors import OffloadbenchError
from offloadbench.kernel.tcp.tcp_monitor import Window
from offloadbench.model import TcpTrace
from offloadbench.roles.messages import (
    CloseTcpWindow,
    GlanceTcp,
    MonitorReady,
    OpenMonitor,
    OpenTcpWindow,
    TcpGlance,
    TcpGlances,
    TcpTracePiece,
    TcpWindowClosed,
    TcpWindowOpened,
)
from offloadbench.roles.orders import Desk, RefusedOrder

_PR_SET_TIMERSLACK = 29
# how often orders and new connections are looked for
_LOOK_NS = 50_000_000
# of a trace, in characters, so that its line is far below the longest one
_PIECE = 1 << 18
SIDES = ("dut", "peer")


class TcpMonitorRole:
    """A window after the other, as ordered."""

    def __init__(self, desk: Desk, order: OpenMonitor) -> None:
        if order.side not in SIDES:
            raise RefusedOrder("side", order.side, "there is none such", f"write {' or '.join(SIDES)}")
        self._desk, self._asked = desk, order
        self._window: Window | None = None
        desk.on(OpenTcpWindow, self._open)
        desk.on(GlanceTcp, self._glance)
        desk.on(CloseTcpWindow, self._close)
        desk.answer(MonitorReady(real_time(order.priority)))

    def run(self) -> None:
        """Follow orders, and read while a window is open, until the engine is gone."""
        look_at_ns = 0
        while not self._desk.over:
            if self._window is None:
                self._desk.take()
                continue
            self._window.tick()
            now_ns = time.monotonic_ns()
            if now_ns >= look_at_ns:
                look_at_ns = now_ns + _LOOK_NS
                self._window.look()
                self._desk.poll()

    def _open(self, order: OpenTcpWindow) -> TcpWindowOpened:
        del order
        asked = self._asked
        remote = (asked.remote_address, asked.remote_port) if asked.remote_address else None
        self._window = Window(asked.period_us * 1000, asked.local_port, remote, asked.connections_max)
        return TcpWindowOpened(self._window.started_ns, len(self._window))

    def _opened(self) -> Window:
        if self._window is None:
            raise RefusedOrder("window", "", "none is open", "report this as a bug")
        return self._window

    def _glance(self, order: GlanceTcp) -> TcpGlances:
        del order
        return TcpGlances(tuple(TcpGlance(name, values) for name, values in self._opened().glance()))

    def _close(self, order: CloseTcpWindow) -> None:
        del order
        window, self._window = self._opened(), None
        window.close()
        traces = window.traces(self._asked.side, self._asked.rows_max)
        self._desk.answer(TcpWindowClosed(len(traces)))
        for trace in traces:
            for piece in pieces(trace):
                self._desk.answer(piece)


def pieces(trace: TcpTrace) -> list[TcpTracePiece]:
    """A trace in answers that are no longer than a line may be."""
    text = msgspec.json.encode(trace).decode()
    starts = range(0, len(text), _PIECE)
    return [TcpTracePiece(text[start : start + _PIECE], start == starts[-1]) for start in starts]


def real_time(priority: int) -> str:
    """Take the priority; returns what was refused."""
    # a timer slack of 1 ns, for where the priority is refused: the default 50 us would be a share of the period
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    if not priority:
        return ""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError as error:
        return f"the TCP monitor runs without real-time priority: {error.strerror}"
    return ""


def main() -> None:
    comms.take(comms.MONITOR)
    desk = Desk(OffloadbenchError)
    with desk.reporting():
        role = TcpMonitorRole(desk, desk.first(OpenMonitor))
        # nothing here makes cycles, and a collection would delay a tick
        gc.disable()
        role.run()


if __name__ == "__main__":
    main()
