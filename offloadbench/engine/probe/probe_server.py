"""The server under test, as a role (see offloadbench.roles.ends): one connection at a time, one flight a request.

Orders: the configuration; then `serve` (take one connection and answer each request with its writes), `look` (the
socket before the writes and now) and `end` (close it). Reports struct tcp_info as hexadecimal text.
Standard library only.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from typing import Any

from offloadbench.roles.orders import answer, read_configuration

# asm-generic/socket.h: beyond net.core.wmem_max, with CAP_NET_ADMIN
_SO_SNDBUFFORCE = 32
_TCP_INFO_BYTES = 256
_ACCEPT_S = 10.0


def _state(connection: socket.socket) -> dict[str, Any]:
    return {
        "tcp_info": connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES).hex(),
        "sndbuf_bytes": connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF),
    }


class Service:
    """One connection: for each round it reads a request and makes the round's writes, blocking."""

    def __init__(self, listener: socket.socket, rounds: list[list[int]], request_bytes: int) -> None:
        self._listener, self._rounds, self._request_bytes = listener, rounds, request_bytes
        self._connection: socket.socket | None = None
        self._lock = threading.Lock()
        self._before: dict[str, Any] | None = None
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

    def look(self) -> dict[str, Any]:
        """The socket before the last round's writes and now, and whether a write sleeps."""
        with self._lock:
            after = _state(self._connection) if self._connection else None
        return {"before": self._before, "after": after, "write_blocked": self._asked > self._answered}

    def end(self) -> None:
        """Close the connection; a write that sleeps in it fails."""
        with self._lock:
            if self._connection:
                self._connection.close()


def _listen(config: dict[str, Any], order: dict[str, Any]) -> socket.socket:
    listener = socket.socket()
    try:
        # before the connection begins: one that began under bbr keeps its pacing timer (sk_pacing_status)
        name = order["congestion_control"].encode()
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name)
        if order["sndbuf_bytes"]:
            # the kernel doubles it
            listener.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, order["sndbuf_bytes"])
        listener.bind((config["address"], 0))
        listener.listen()
        listener.settimeout(_ACCEPT_S)
    except BaseException:
        listener.close()
        raise
    return listener


def main() -> None:
    config = read_configuration()
    answer({"event": "ready"})
    listener: socket.socket | None = None
    service: Service | None = None
    pending = b""
    while data := os.read(sys.stdin.fileno(), 1 << 16):
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if order["do"] == "serve":
                try:
                    listener = _listen(config, order)
                except OSError as error:
                    answer({"event": "error", "message": f"{order['congestion_control']}: {error.strerror}"})
                    continue
                service = Service(listener, order["rounds"], order["request_bytes"])
                answer({"event": "listening", "port": listener.getsockname()[1]})
            elif order["do"] == "look" and service:
                answer({"event": "state", **service.look()})
            elif listener and service:
                service.end()
                listener.close()
                answer({"event": "ended", "problem": service.problem})


if __name__ == "__main__":
    main()
