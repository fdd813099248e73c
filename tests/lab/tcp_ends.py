"""A TCP sender and a receiver with one limit each, as processes: `python -m tests.lab.tcp_ends ROLE JSON`.

The receiver prints its port, then drops what comes (MSG_TRUNC). The sender prints `ready` when connected, and sends
until its standard input closes, blocking, as a kernel's iSCSI initiator does.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import time
from typing import Any

_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_TCP_NOTSENT_LOWAT = 25


def receive(order: dict[str, Any]) -> None:
    """Orders: rcvbuf_bytes; answer_every_bytes (one byte each time), answer_after_s; bytes_per_s (a slow reader)."""
    listener = socket.create_server((order["address"], 0))
    if "rcvbuf_bytes" in order:
        listener.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, order["rcvbuf_bytes"] // 2)
    print(listener.getsockname()[1], flush=True)
    connection, _ = listener.accept()
    every, pace = order.get("answer_every_bytes", 0), order.get("bytes_per_s", 0)
    buffer = bytearray(65536 if pace else 1 << 20)
    received, began_s = 0, time.monotonic()
    flags = 0 if pace else socket.MSG_TRUNC
    while size := connection.recv_into(buffer, len(buffer), flags):
        if every:
            for _ in range((received + size) // every - received // every):
                time.sleep(order.get("answer_after_s", 0.0))
                connection.sendall(b"!")
        received += size
        if pace:
            time.sleep(max(0.0, received / pace - (time.monotonic() - began_s)))


def send(order: dict[str, Any]) -> None:
    """Orders: sndbuf_bytes (of sk_sndbuf); write_bytes; await_answer; notsent_lowat_bytes; congestion_control."""
    connection = socket.socket()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, order.get("congestion_control", "cubic").encode())
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if "sndbuf_bytes" in order:
        connection.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, order["sndbuf_bytes"] // 2)
    if "notsent_lowat_bytes" in order:
        connection.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, order["notsent_lowat_bytes"])
    connection.connect((order["address"], order["port"]))
    print("ready", flush=True)
    data = bytes(order.get("write_bytes", 1 << 20))
    with contextlib.suppress(OSError):
        while not select.select([sys.stdin], [], [], 0)[0]:
            connection.sendall(data)
            if order.get("await_answer"):
                connection.recv(1)


if __name__ == "__main__":
    {"send": send, "receive": receive}[sys.argv[1]](json.loads(sys.argv[2]))
