"""The server under test, as a role (see offloadbench.roles.ends): one connection at a time, one flight a request.

Standard library only.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

from offloadbench.roles.messages import (
    EndFlight,
    FlightEnded,
    FlightListening,
    LookAtSocket,
    OpenProbeServer,
    ProbeServerReady,
    ServeFlight,
    SocketReading,
    SocketSeen,
)
from offloadbench.roles.orders import Desk, RefusedOrder, refusing

# asm-generic/socket.h: beyond net.core.wmem_max, with CAP_NET_ADMIN
_SO_SNDBUFFORCE = 32
_TCP_INFO_BYTES = 256
_ACCEPT_S = 10.0


def _state(connection: socket.socket) -> SocketReading:
    return SocketReading(
        tcp_info=connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES).hex(),
        sndbuf_bytes=connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF),
    )


class Service:
    """One connection: for each round it reads a request and makes the round's writes, blocking."""

    def __init__(self, listener: socket.socket, rounds: Sequence[Sequence[int]], request_bytes: int) -> None:
        self._listener, self._rounds, self._request_bytes = listener, rounds, request_bytes
        self._connection: socket.socket | None = None
        self._lock = threading.Lock()
        self._before: SocketReading | None = None
        self._asked = 0
        self._answered = 0
        self.problem = ""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            connection, _ = self._listener.accept()
            with self._lock:
                self._connection = connection
            connection.setblocking(True)
            for writes in self._rounds:
                left = self._request_bytes
                while left:
                    data = connection.recv(left)
                    if not data:
                        return
                    left -= len(data)
                blocks = [bytes(size) for size in writes]
                self._before = _state(connection)
                self._asked += 1
                for block in blocks:
                    connection.sendall(block)
                self._answered += 1
        except OSError as error:
            self.problem = error.strerror or str(error)

    def look(self) -> SocketSeen:
        """The socket before the last round's writes and now, and whether a write sleeps."""
        with self._lock:
            after = _state(self._connection) if self._connection else None
        return SocketSeen(self._before, after, self._asked > self._answered)

    def end(self) -> None:
        """Close the connection; a write that sleeps in it fails."""
        with self._lock:
            if self._connection:
                self._connection.close()


class ProbeServer:
    """One connection after the other, as ordered."""

    def __init__(self, desk: Desk, order: OpenProbeServer) -> None:
        self._address = order.address
        self._listener: socket.socket | None = None
        self._service: Service | None = None
        desk.on(ServeFlight, self._serve)
        desk.on(LookAtSocket, self._look)
        desk.on(EndFlight, self._end)
        desk.answer(ProbeServerReady())

    def _serve(self, order: ServeFlight) -> FlightListening:
        self._listener = self._listen(order)
        self._service = Service(self._listener, order.rounds, order.request_bytes)
        return FlightListening(self._listener.getsockname()[1])

    def _listen(self, order: ServeFlight) -> socket.socket:
        listener = socket.socket()
        try:
            # before the connection begins: one that began under bbr keeps its pacing timer (sk_pacing_status)
            name = order.congestion_control
            with refusing("congestion_control", name, "see net.ipv4.tcp_available_congestion_control"):
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
            if order.sndbuf_bytes:
                # the kernel doubles it
                with refusing("sndbuf_bytes", order.sndbuf_bytes):
                    listener.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, order.sndbuf_bytes)
            with refusing("address", self._address):
                listener.bind((self._address, 0))
            listener.listen()
            listener.settimeout(_ACCEPT_S)
        except BaseException:
            listener.close()
            raise
        return listener

    def _serving(self) -> Service:
        if self._service is None:
            raise RefusedOrder("connection", "", "none is served", "report this as a bug")
        return self._service

    def _look(self, order: LookAtSocket) -> SocketSeen:
        del order
        return self._serving().look()

    def _end(self, order: EndFlight) -> FlightEnded:
        del order
        service = self._serving()
        service.end()
        if self._listener:
            self._listener.close()
        return FlightEnded(service.problem)


def main() -> None:
    desk = Desk()
    with desk.reporting():
        ProbeServer(desk, desk.first(OpenProbeServer))
        desk.serve()


if __name__ == "__main__":
    main()
