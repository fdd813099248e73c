"""Reads TCP connections at a fixed pace, for the length of a window.

Raw replies are kept while the window is open and decoded when it has closed, so that a reading costs little and no
reading waits for another's decoding.
"""

from __future__ import annotations

import sys
import time
from array import array
from dataclasses import dataclass, field

import numpy as np

from offloadbench.files.packed_columns import TCP_COLUMNS, TcpColumns, pack_columns
from offloadbench.kernel.tcp import sock_diag
from offloadbench.model import TcpTrace

# above the wire's 10, as the sampler's 20
PRIORITY = 20
CONNECTIONS_MAX = 16
# of a connection: enough for a diagnosis, 2 s at 1 kHz
ROWS_MIN = 2000
# a dump of a machine's sockets may take long, 2 to 4 ms where the kernel's table is large: it gets this share of the
# time at most, so that a connection is found within a second, and few ticks are missed for it
_DUMP_RATIO = 0.004


@dataclass(slots=True)
class _Watched:
    """A connection, the times of its replies, and the ticks between which it was there."""

    watch: sock_diag.SocketWatch
    first_tick: int
    times_ns: array[int] = field(default_factory=lambda: array("q"))
    last_tick: int = -1


class Window:
    """The readings of one window.

    Args:
        local_port, remote: which connections; see `tcpdiag.matching`.
        connections_max: as many are watched at most, the first ones found.
    """

    def __init__(
        self, period_ns: int, local_port: int = 0, remote: tuple[str, int] | None = None, connections_max: int = 1
    ) -> None:
        self._period_ns = period_ns
        self._local_port = local_port
        self._remote = remote
        self._connections_max = connections_max
        self._watched: dict[bytes, _Watched] = {}
        self._alive: list[_Watched] = []
        self._late_ns = array("q")
        self._find_at_ns = 0
        self.ticks_due = 0
        self._missed_asleep = self._missed_reading = 0
        self.started_ns = time.monotonic_ns()
        self._cpu_s = time.process_time()
        self._closed_ns = 0
        self.look()

    def __len__(self) -> int:
        """Connections that are there now."""
        return len(self._alive)

    def look(self) -> None:
        """Find connections that are new, unless the last time was a moment ago."""
        now_ns = time.monotonic_ns()
        if now_ns < self._find_at_ns or len(self._watched) >= self._connections_max:
            return
        for one in sock_diag.matching(sock_diag.connections(), self._local_port, self._remote):
            if one.identity not in self._watched and len(self._watched) < self._connections_max:
                watched = _Watched(sock_diag.SocketWatch(one), self.ticks_due)
                self._watched[one.identity] = watched
                self._alive.append(watched)
        took_ns = time.monotonic_ns() - now_ns
        self._find_at_ns = now_ns + int(took_ns / _DUMP_RATIO)

    def tick(self) -> None:
        """Wait for the next tick that is not past, and read every connection once."""
        period_ns, monotonic_ns = self._period_ns, time.monotonic_ns
        due_ns = self.started_ns + self.ticks_due * period_ns
        wait_ns = due_ns - monotonic_ns()
        if wait_ns > 0:
            time.sleep(wait_ns * 1e-9)
        late_ns = monotonic_ns() - due_ns
        self._late_ns.append(late_ns)
        # ticks whose time is over are missed, not made up for
        missed = late_ns // period_ns
        self.ticks_due += missed + 1
        reading = min(missed, max(0, -wait_ns) // period_ns)
        self._missed_reading += reading
        self._missed_asleep += missed - reading
        gone = False
        for watched in self._alive:
            now_ns = monotonic_ns()
            if watched.watch.read():
                watched.times_ns.append(now_ns)
            else:
                watched.last_tick = self.ticks_due - 1
                gone = True
        if gone:
            self._alive = [watched for watched in self._alive if watched.last_tick < 0]

    def glance(self) -> list[tuple[str, dict[str, int]]]:
        """The last reading of each connection that is there: its name, and the fields of `sock_diag.decode`."""
        return [
            (
                watched.watch.connection.name,
                {name: int(column[-1]) for name, column in watched.watch.decode(last=1).items()},
            )
            for watched in self._alive
            if watched.times_ns
        ]

    def close(self) -> None:
        """End the readings."""
        self._closed_ns = time.monotonic_ns()
        self._cpu_s = time.process_time() - self._cpu_s
        for watched in self._watched.values():
            watched.watch.close()

    def traces(self, side: str, rows_max: int = sys.maxsize) -> list[TcpTrace]:
        """What was read, connection by connection; those that were never read are left out.

        Args:
            rows_max: that are kept of all connections together; of longer windows it is a stretch in the middle.
        """
        rows_each = max(ROWS_MIN, rows_max // max(1, len(self._watched)))
        late_us = np.array(self._late_ns, dtype=np.float64) * 1e-3
        found = []
        for watched in self._watched.values():
            if not watched.times_ns:
                continue
            columns = self._columns(watched)
            kept = _middle(columns, rows_each)
            last_tick = watched.last_tick if watched.last_tick >= 0 else self.ticks_due
            found.append(
                TcpTrace(
                    connection=watched.watch.connection.name,
                    side=side,
                    congestion_control=watched.watch.connection.congestion_control,
                    period_us=self._period_ns // 1000,
                    ticks_due=last_tick - watched.first_tick,
                    ticks_taken=len(watched.times_ns),
                    late_p99_us=round(float(np.percentile(late_us, 99)), 1),
                    late_max_us=round(float(late_us.max()), 1),
                    cpu_s=round(self._cpu_s, 4),
                    window_s=round((self._closed_ns - self.started_ns) * 1e-9, 6),
                    names=list(kept),
                    rows=len(kept["t_us"]),
                    columns=pack_columns(kept),
                    sent_segments=int(columns["data_out_segments"][-1] - columns["data_out_segments"][0]),
                    missed_asleep=self._missed_asleep,
                    missed_reading=self._missed_reading,
                )
            )
        return found

    def _columns(self, watched: _Watched) -> TcpColumns:
        decoded = watched.watch.decode() | {"t_us": (np.array(watched.times_ns) - self.started_ns) // 1000}
        return {name: decoded[name].astype(np.int64) for name in TCP_COLUMNS}


def _middle(columns: TcpColumns, rows: int) -> TcpColumns:
    first = max(0, (len(columns["t_us"]) - rows) // 2)
    return {name: column[first : first + rows] for name, column in columns.items()}
