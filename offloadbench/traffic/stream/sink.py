"""The sink at the load side, as a role (see offloadbench.roles.ends): one process on one selector.

Standard library only, of Python 3.7.
"""

from __future__ import annotations

import fcntl
import functools
import os
import selectors
import socket
import sys
import termios
import time

from offloadbench.base import comms
from offloadbench.roles.messages import CountNow, OpenSink, SinkCounted, SinkFinished, SinkListening, SinkReady
from offloadbench.roles.orders import Desk, refusing

READ_BYTES = 4 << 20
STALL_S = 30.0
_LOOK_S = 0.5
# asm-generic/socket.h: beyond net.core.rmem_max, with CAP_NET_ADMIN
_SO_RCVBUFFORCE = 33


class Sink:
    """Accepts the connections of one sender and counts what they bring."""

    def __init__(self, desk: Desk, order: OpenSink) -> None:
        self._desk = desk
        self._expected = order.connections
        self._buffer = bytearray(READ_BYTES)
        self._payload_bytes = 0
        self._connections: set[socket.socket] = set()
        self._silent: set[socket.socket] = set()
        self._accepted = self._ended = 0
        self._moved_at = time.monotonic()
        self._told_ready = False
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # inherited by what it accepts, and in force before the window scale is agreed
        if order.window_bytes:
            with refusing("window_bytes", order.window_bytes, "going beyond net.core.rmem_max needs CAP_NET_ADMIN"):
                self._listener.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, order.window_bytes)
        # one wake-up for many segments
        with refusing("wake_at_bytes", order.wake_at_bytes):
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, order.wake_at_bytes)
        with refusing("address", order.address, "see `ip address` on that host"):
            self._listener.bind((order.address, 0))
        self._listener.listen(self._expected)
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        desk.on(CountNow, self._count)
        desk.answer(SinkListening(self._listener.getsockname()[1]))

    def run(self) -> None:
        """Serve the selector until the engine is gone; a stall is an error."""
        self._desk.serve(self._selector, self._look, _LOOK_S)

    def _look(self) -> None:
        # how long a sender takes to start is not for the sink to judge
        if self._accepted and self._ended < self._expected and time.monotonic() - self._moved_at > STALL_S:
            raise TimeoutError(
                f"nothing arrived for {STALL_S:.0f} s, after {self._payload_bytes} bytes on {self._accepted} of "
                f"{self._expected} connections"
            )

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.setblocking(False)
        self._moved_at = time.monotonic()
        self._accepted += 1
        self._silent.add(connection)
        self._connections.add(connection)
        self._selector.register(connection, selectors.EVENT_READ, functools.partial(self._receive, connection))

    def _receive(self, connection: socket.socket) -> None:
        try:
            # MSG_TRUNC makes the kernel drop the bytes instead of copying them (tcp(7))
            count = connection.recv_into(self._buffer, READ_BYTES, socket.MSG_TRUNC)
        except BlockingIOError:
            return
        self._moved_at = time.monotonic()
        if not count:
            self._end(connection)
            return
        self._payload_bytes += count
        self._silent.discard(connection)
        if not self._told_ready and self._accepted == self._expected and not self._silent:
            self._told_ready = True
            self._desk.answer(SinkReady())

    def _end(self, connection: socket.socket) -> None:
        self._connections.discard(connection)
        self._selector.unregister(connection)
        connection.close()
        self._ended += 1
        if self._ended == self._expected:
            self._desk.answer(SinkFinished(*self._totals()))

    def _totals(self, unread_bytes: int = 0) -> tuple[int, int, int, float]:
        """The fields of `SinkCounted`."""
        return time.monotonic_ns(), self._payload_bytes + unread_bytes, self._ended, sum(os.times()[:2])

    def _count(self, order: CountNow) -> SinkCounted:
        del order
        # a sink that had no CPU has megabytes unread, which arrived before the count
        return SinkCounted(*self._totals(sum(_unread_bytes(one) for one in self._connections)))


def _unread_bytes(connection: socket.socket) -> int:
    """What the kernel has received in order and nobody has read (SIOCINQ, tcp(7))."""
    return int.from_bytes(fcntl.ioctl(connection, termios.FIONREAD, bytes(4)), sys.byteorder, signed=True)


def main() -> None:
    comms.take(comms.STREAM_SINK)
    desk = Desk()
    with desk.reporting(hint="see the sender's message and `dmesg`"):
        Sink(desk, desk.first(OpenSink)).run()


if __name__ == "__main__":
    main()
