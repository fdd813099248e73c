"""The sender's own account of a window, by a monitor beside it (offloadbench.roles.monitor_role)."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import msgspec

from offloadbench.kernel.tcp.tcp_monitor import CONNECTIONS_MAX, PRIORITY
from offloadbench.model import TcpTrace
from offloadbench.roles.ends import Role
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

MODULE = "offloadbench.roles.monitor_role"
TITLE = "the TCP monitor"
# decoding and packing take about 0.3 s for a minute of one connection at 1 kHz, much more on a CPU that is shared
_CLOSE_S_PER_WINDOW_S = 0.2
_PIECE_S = 30.0


@dataclass(frozen=True, slots=True)
class Watched:
    """Which connections of the sender's end, as that end names them; 0 and "" mean any."""

    local_port: int = 0
    remote_address: str = ""
    remote_port: int = 0
    connections_max: int = CONNECTIONS_MAX


class Monitor:
    """The monitor role at one end.

    Args:
        role: that plays `MODULE`; closed by `close`.
        side: `dut` or `peer`, for the traces.
        rows_max: that are kept of a window; of more it is the middle.
        real_time: whether it may preempt what shares its CPU.

    Attributes:
        problem: what it could not set up, as a sentence.
        connections: that were there when the last window opened; new ones are found while it is open.

    Raises:
        TrafficError: sock_diag does not answer here.
    """

    def __init__(
        self,
        role: Role,
        watched: Watched,
        *,
        side: str = "dut",
        period_us: int = 1000,
        rows_max: int = sys.maxsize,
        real_time: bool = True,
    ) -> None:
        self._role = role
        self._window_s = 0.0
        self.connections = 0
        order = OpenMonitor(
            period_us=period_us,
            local_port=watched.local_port,
            remote_address=watched.remote_address,
            remote_port=watched.remote_port,
            connections_max=watched.connections_max,
            priority=PRIORITY if real_time else 0,
            side=side,
            rows_max=rows_max,
        )
        try:
            self.problem = role.request(order, MonitorReady).problem
        except BaseException:
            role.close()
            raise

    def open(self) -> int:
        """Begin a window; returns its beginning on the end's monotonic clock, in ns."""
        opened = self._role.request(OpenTcpWindow(), TcpWindowOpened)
        self.connections = opened.watched
        return opened.t_ns

    def glance(self) -> tuple[TcpGlance, ...]:
        """The last of each connection."""
        return self._role.request(GlanceTcp(), TcpGlances).connections

    def finish(self, window_s: float = 0.0) -> list[TcpTrace]:
        """End the window and fetch what was read; `window_s` says how long it was, for the patience."""
        patience_s = 30.0 + _CLOSE_S_PER_WINDOW_S * window_s * CONNECTIONS_MAX
        closed = self._role.request(CloseTcpWindow(), TcpWindowClosed, patience_s)
        return [self._trace() for _ in range(closed.traces)]

    def _trace(self) -> TcpTrace:
        text = ""
        while True:
            piece = self._role.receive(TcpTracePiece, _PIECE_S)
            text += piece.text
            if piece.last:
                return msgspec.json.decode(text, type=TcpTrace)

    def close(self) -> None:
        """End the role. Safe to call twice."""
        self._role.close()
