"""The sink at the load side, as a role (see offloadbench.roles.ends): one process on one selector.

Orders: the configuration; `mark` (count the payload now). It says `listening` with its port, `ready` when every
connection has brought payload, `finished` when all have ended. Standard library only.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import socket
import sys
import termios
import time
from typing import Any

from offloadbench.base import comms
from offloadbench.roles.orders import answer, read_configuration, read_orders

READ_BYTES = 4 << 20
STALL_S = 30.0
# asm-generic/socket.h: beyond net.core.rmem_max, with CAP_NET_ADMIN
_SO_RCVBUFFORCE = 33


class Sink:
    """Accepts the connections of one sender and counts what they bring."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._expected: int = config["connections"]
        self._buffer = bytearray(READ_BYTES)
        self._payload_bytes = 0
        self._connections: set[socket.socket] = set()
        self._silent: set[socket.socket] = set()
        self._accepted = self._ended = 0
        self._moved_at = time.monotonic()
        self._over = self._told_ready = False
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # inherited by what it accepts, and in force before the window scale is agreed
        if config["window_bytes"]:
            self._listener.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, config["window_bytes"])
        # one wake-up for many segments
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, config["wake_at_bytes"])
        self._listener.bind((config["address"], 0))
        self._listener.listen(self._expected)
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(sys.stdin, selectors.EVENT_READ, lambda _: self._on_order())
        answer({"event": "listening", "port": self._listener.getsockname()[1]})

    def run(self) -> None:
        """Serve the selector until the engine is gone; a stall is an error."""
        while not self._over:
            for key, _ in self._selector.select(0.5):
                key.data(key.fileobj)
            # how long a sender takes to start is not for the sink to judge
            if self._accepted and self._ended < self._expected and time.monotonic() - self._moved_at > STALL_S:
                raise TimeoutError(f"nothing arrived for {STALL_S:.0f} s")

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.setblocking(False)
        self._moved_at = time.monotonic()
        self._accepted += 1
        self._silent.add(connection)
        self._connections.add(connection)
        self._selector.register(connection, selectors.EVENT_READ, self._receive)

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
            answer({"event": "ready"})

    def _end(self, connection: socket.socket) -> None:
        self._connections.discard(connection)
        self._selector.unregister(connection)
        connection.close()
        self._ended += 1
        if self._ended == self._expected:
            answer({"event": "finished", **self._totals()})

    def _totals(self) -> dict[str, Any]:
        return {
            "t_ns": time.monotonic_ns(),
            "payload_bytes": self._payload_bytes,
            "complete": self._ended,
            "cpu_s": sum(os.times()[:2]),
        }

    def _on_order(self) -> None:
        orders = read_orders()
        if orders is None:
            self._over = True
            return
        for _ in orders:
            totals = self._totals()
            # a sink that had no CPU has megabytes unread, which arrived before the mark
            totals["payload_bytes"] += sum(_unread_bytes(one) for one in self._connections)
            answer({"event": "mark", **totals})


def _unread_bytes(connection: socket.socket) -> int:
    """What the kernel has received in order and nobody has read (SIOCINQ, tcp(7))."""
    return int.from_bytes(fcntl.ioctl(connection, termios.FIONREAD, bytes(4)), sys.byteorder, signed=True)


def main() -> None:
    comms.take(comms.STREAM_SINK)
    try:
        Sink(read_configuration()).run()
    except OSError as error:
        answer({"event": "error", "message": str(error), "hint": "see the sender's message and `dmesg`"})


if __name__ == "__main__":
    main()
