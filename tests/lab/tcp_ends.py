"""A TCP sender and a receiver with one limit each, as processes: `python -m tests.lab.tcp_ends ROLE JSON`.

The receiver prints its port, then drops what comes (MSG_TRUNC). The sender prints `ready` when connected, and sends
until its standard input closes, blocking, as a kernel's iSCSI initiator does. Each connection has a thread.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import threading
import time
from typing import Any

_SO_SNDBUFFORCE, _SO_RCVBUFFORCE, _SO_MAX_PACING_RATE = 32, 33, 47
_TCP_NOTSENT_LOWAT = 25


def receive(order: dict[str, Any]) -> None:
    """Orders: connections; rcvbuf_bytes; clamp_bytes (of the window); and those of `_drain`."""
    listener = socket.create_server((order["address"], 0))
    if "rcvbuf_bytes" in order:
        listener.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, order["rcvbuf_bytes"] // 2)
    if "clamp_bytes" in order:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, order["clamp_bytes"])
    print(listener.getsockname()[1], flush=True)
    connections = [listener.accept()[0] for _ in range(order.get("connections", 1))]
    _together([threading.Thread(target=_drain, args=(one, order)) for one in connections])


def _drain(connection: socket.socket, order: dict[str, Any]) -> None:
    """Orders: answer_every_bytes (one byte each time), answer_after_s; bytes_per_s (a slow reader), read_bytes."""
    every, pace = order.get("answer_every_bytes", 0), order.get("bytes_per_s", 0)
    buffer = bytearray(order.get("read_bytes", 65536 if pace else 1 << 20))
    received, began_s = 0, time.monotonic()
    flags = 0 if pace else socket.MSG_TRUNC
    with contextlib.suppress(OSError):
        while size := connection.recv_into(buffer, len(buffer), flags):
            if every:
                for _ in range((received + size) // every - received // every):
                    time.sleep(order.get("answer_after_s", 0.0))
                    connection.sendall(b"!")
            received += size
            if pace:
                time.sleep(max(0.0, received / pace - (time.monotonic() - began_s)))


def send(order: dict[str, Any]) -> None:
    """Orders: connections; congestion_control; nagle (default false); sndbuf_bytes (of sk_sndbuf);
    notsent_lowat_bytes; pacing_bytes_per_s (SO_MAX_PACING_RATE); and those of `_fill`.
    """
    connections = [_connected(order) for _ in range(order.get("connections", 1))]
    print("ready", flush=True)
    _together([threading.Thread(target=_fill, args=(one, order)) for one in connections])


def _connected(order: dict[str, Any]) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, order.get("congestion_control", "cubic").encode())
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, not order.get("nagle"))
    for name, level, option, share in (
        ("sndbuf_bytes", socket.SOL_SOCKET, _SO_SNDBUFFORCE, 2),
        ("pacing_bytes_per_s", socket.SOL_SOCKET, _SO_MAX_PACING_RATE, 1),
        ("notsent_lowat_bytes", socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, 1),
    ):
        if name in order:
            connection.setsockopt(level, option, order[name] // share)
    connection.connect((order["address"], order["port"]))
    return connection


def _fill(connection: socket.socket, order: dict[str, Any]) -> None:
    """Orders: write_bytes; split_bytes (a second write of the same data after so many bytes); await_answer;
    every_s (from write to write); burn_s (of CPU before each write).
    """
    data = bytes(order.get("write_bytes", 1 << 20))
    split, every_s, burn_s = order.get("split_bytes", 0), order.get("every_s", 0.0), order.get("burn_s", 0.0)
    next_s = time.monotonic()
    with contextlib.suppress(OSError):
        while not select.select([sys.stdin], [], [], 0)[0]:
            if split:
                connection.sendall(data[:split])
            connection.sendall(data[split:])
            if order.get("await_answer"):
                connection.recv(1)
            if every_s:
                next_s += every_s
                time.sleep(max(0.0, next_s - time.monotonic()))
            until_s = time.thread_time() + burn_s
            while time.thread_time() < until_s:
                pass


def _together(threads: list[threading.Thread]) -> None:
    """The first one's work in the main thread: who watches a process's thread knows it by the process's id."""
    first, *others = threads
    for thread in others:
        thread.start()
    first.run()
    for thread in others:
        thread.join()


if __name__ == "__main__":
    {"send": send, "receive": receive}[sys.argv[1]](json.loads(sys.argv[2]))
