"""The sender under test, as a role (see offloadbench.roles.ends): a thread a connection, blocking sends of one block.

A blocking sender sleeps in the kernel while its send buffer is full (sk_stream_wait_memory), as iperf's and the
kernel's own do. Orders: the configuration; then `drain` (send no further block, end the streams, tell the totals).
Standard library only.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

from offloadbench.base import comms
from offloadbench.roles.orders import answer, read_configuration, read_orders

CONNECT_S = 30.0
# asm-generic/socket.h: beyond net.core.wmem_max, with CAP_NET_ADMIN
_SO_SNDBUFFORCE = 32


class SendingStream:
    """One connection and the thread that sends on it."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.bytes_sent = 0
        self.problem = ""
        self.send_buffer_bytes = 0
        self._block = bytes(config["block_bytes"])
        self._stop = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # before the connection begins: one that began under bbr keeps its pacing timer (sk_pacing_status)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, config["congestion_control"].encode())
        if config["send_buffer_bytes"]:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, config["send_buffer_bytes"])
        self._socket.settimeout(CONNECT_S)
        self._socket.connect((config["address"], config["port"]))
        self._socket.setblocking(True)
        self._thread = threading.Thread(target=self._run, name=comms.STREAM_SENDER, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        send, block, stopped = self._socket.send, self._block, self._stop.is_set
        try:
            while not stopped():
                self.bytes_sent += send(block)
            # what the kernel has made of the buffer by itself, doubled if it was asked for
            self.send_buffer_bytes = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.problem = f"sending after {self.bytes_sent} bytes: {error.strerror}"

    def stop(self) -> None:
        self._stop.set()

    def join(self) -> None:
        self._thread.join()


def _drain(streams: list[SendingStream]) -> None:
    for stream in streams:
        stream.stop()
    for stream in streams:
        stream.join()
    problems = [stream.problem for stream in streams if stream.problem]
    if problems:
        answer({"event": "error", "message": problems[0], "hint": "see the sink's message and `dmesg`"})
        return
    answer(
        {
            "event": "report",
            "bytes_sent": sum(stream.bytes_sent for stream in streams),
            "send_buffers_bytes": [stream.send_buffer_bytes for stream in streams],
            "cpu_s": sum(os.times()[:2]),
        }
    )


def main() -> None:
    # a name of its own: it shows in the profile as what it is
    comms.take(comms.STREAM_SENDER)
    config = read_configuration()
    try:
        streams = [SendingStream(config) for _ in range(config["connections"])]
    except OSError as error:
        answer(
            {
                "event": "error",
                "message": str(error),
                "hint": "see net.ipv4.tcp_available_congestion_control and sndbuf",
            }
        )
        return
    for stream in streams:
        stream.start()
    answer({"event": "ready"})
    while (orders := read_orders()) is not None:
        if "drain" in orders:
            _drain(streams)


if __name__ == "__main__":
    main()
