"""The sender under test, as a role (see offloadbench.roles.ends): a thread a connection, blocking sends of one block.

A blocking sender sleeps in the kernel while its send buffer is full (sk_stream_wait_memory), as iperf's and the
kernel's own do. Standard library only.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import termios
import threading
import time

from offloadbench.base import comms
from offloadbench.roles.messages import DrainSender, OpenSender, SenderReady, SenderReport
from offloadbench.roles.orders import Desk, refusing

CONNECT_S = 30.0
# with nothing acknowledged for so long, what is left will not go
STALL_S = 30.0
_LOOK_S = 0.5
# asm-generic/socket.h: beyond net.core.wmem_max, with CAP_NET_ADMIN
_SO_SNDBUFFORCE = 32
_HINT = "see net.ipv4.tcp_available_congestion_control"


class SendingStream:
    """One connection and the thread that sends on it."""

    def __init__(self, order: OpenSender, block: bytes) -> None:
        self.bytes_sent = 0
        self.problem = ""
        self.send_buffer_bytes = 0
        self._block = block
        self._stop = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # before the connection begins: one that began under bbr keeps its pacing timer (sk_pacing_status)
        with refusing("congestion_control", order.congestion_control, _HINT):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, order.congestion_control.encode())
        if order.send_buffer_bytes:
            with refusing(
                "send_buffer_bytes", order.send_buffer_bytes, "CAP_NET_ADMIN may go beyond net.core.wmem_max"
            ):
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, order.send_buffer_bytes)
        self._socket.settimeout(CONNECT_S)
        try:
            self._socket.connect((order.address, order.port))
        except OSError as error:
            raise OSError(
                error.errno, f"connecting to {order.address}:{order.port}: {error.strerror or error}"
            ) from error
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

    def join(self, timeout_s: float) -> bool:
        """Whether its thread has ended within this time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def unacknowledged_bytes(self) -> int:
        """What the other side has not acknowledged (SIOCOUTQ, tcp(7))."""
        return int.from_bytes(fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4)), sys.byteorder, signed=True)


class StreamSender:
    """All streams of this process."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._streams: list[SendingStream] = []

    def open(self, order: OpenSender) -> None:
        with refusing("block_bytes", order.block_bytes):
            block = bytes(order.block_bytes)
        self._streams = [SendingStream(order, block) for _ in range(order.connections)]
        for stream in self._streams:
            stream.start()
        self._desk.answer(SenderReady())
        self._desk.on(DrainSender, self._drain)

    def _drain(self, order: DrainSender) -> SenderReport:
        del order
        for stream in self._streams:
            stream.stop()
        self._wait_for_the_last()
        problems = [stream.problem for stream in self._streams if stream.problem]
        if problems:
            raise OSError(0, problems[0])
        return SenderReport(
            bytes_sent=sum(stream.bytes_sent for stream in self._streams),
            send_buffers_bytes=tuple(stream.send_buffer_bytes for stream in self._streams),
            cpu_s=sum(os.times()[:2]),
        )

    def _wait_for_the_last(self) -> None:
        """
        Raises:
            OSError: what is left does not go.
        """
        left, before, moved_s = list(self._streams), None, time.monotonic()
        while left:
            left[0].join(_LOOK_S)
            left = [stream for stream in left if not stream.join(0.0)]
            now = [(stream.bytes_sent, stream.unacknowledged_bytes()) for stream in left]
            if now != before:
                before, moved_s = now, time.monotonic()
            elif time.monotonic() - moved_s > STALL_S:
                waiting = sum(unacknowledged for _, unacknowledged in now)
                raise OSError(
                    0,
                    f"{len(left)} of {len(self._streams)} connections still send: nothing was acknowledged for "
                    f"{STALL_S:.0f} s, and {waiting} bytes wait for it",
                )


def main() -> None:
    # a name of its own: it shows in the profile as what it is
    comms.take(comms.STREAM_SENDER)
    desk = Desk()
    with desk.reporting(hint="see the sink's message and `dmesg`"):
        StreamSender(desk).open(desk.first(OpenSender))
        desk.serve()


if __name__ == "__main__":
    main()
