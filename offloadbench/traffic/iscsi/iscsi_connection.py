"""One TCP connection that carries PDUs, on a blocking socket.

Blocking is the point: only a sender that sleeps in the kernel enters sk_stream_wait_memory (net/core/stream.c), as an
initiator inside the kernel does. Time limits are therefore the kernel's (SO_SNDTIMEO, SO_RCVTIMEO): a timeout set in
Python would make the socket non-blocking.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from offloadbench.traffic.iscsi.pdu import (
    BHS_BYTES,
    DIGEST_BYTES,
    IscsiError,
    PduHeader,
    decode_ahs,
    digest,
    opcode_name,
    padding_bytes,
)

# include/uapi/asm-generic/socket.h: beyond net.core.{w,r}mem_max, with CAP_NET_ADMIN
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
Place = Callable[[PduHeader], memoryview | None]


@dataclass(frozen=True, slots=True)
class Pdu:
    """A received PDU; `ahs` as `pdu.decode_ahs` returns it, `data` without its padding."""

    header: PduHeader
    ahs: list[tuple[int, bytes]]
    data: memoryview


class SilentPeer(Exception):
    """Nothing came for the time limit, and no PDU has begun."""


def connect(
    address: str,
    port: int,
    *,
    timeout_s: float,
    congestion_control: str = "",
    send_buffer_bytes: int = 0,
    receive_window_bytes: int = 0,
) -> socket.socket:
    """A connected TCP socket, of IPv4 or IPv6 as the address is.

    Args:
        congestion_control: empty leaves the namespace's own.
        send_buffer_bytes, receive_window_bytes: given to SO_SNDBUFFORCE and SO_RCVBUFFORCE, which double them and end
            autotuning; 0 leaves them to the kernel.

    Raises:
        IscsiError: no connection within the time limit, or a refused option.
    """
    connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        # before connecting: a connection that begins under bbr keeps its pacing timer
        if congestion_control:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion_control.encode())
        if send_buffer_bytes:
            connection.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, send_buffer_bytes)
        if receive_window_bytes:
            connection.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, receive_window_bytes)
        # as initiators do: a command must not wait for the answer to the one before (Nagle)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _limit_waiting(connection, timeout_s)
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                connection.connect((address, port))
                return connection
            except BlockingIOError as error:
                # connect(2) waits for no longer than SO_SNDTIMEO
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"no answer within {timeout_s:.0f} s") from error
    except OSError as error:
        connection.close()
        raise IscsiError(
            f"{address} port {port}: {error.strerror or error}", "is the target running, and are its options allowed?"
        ) from error


def _limit_waiting(connection: socket.socket, timeout_s: float) -> None:
    limit = struct.pack("ll", int(timeout_s), int(timeout_s % 1 * 1e6))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)


class IscsiConnection:
    """PDUs over a connected, blocking stream socket. One thread may send while another receives.

    Attributes:
        header_digest, data_digest: in force from the full feature phase on.
        max_receive_bytes: longest data segment that we declared.
    """

    def __init__(self, connected: socket.socket, timeout_s: float) -> None:
        self._socket = connected
        self.timeout_s = timeout_s
        self.header_digest = False
        self.data_digest = False
        self.max_receive_bytes = 8192
        self._bhs = bytearray(BHS_BYTES)
        _limit_waiting(connected, timeout_s)

    def send(self, header: PduHeader, data: memoryview | bytes = b"", ahs: bytes = b"") -> None:
        """Send one PDU in one sendmsg(2); the payload is not copied here.

        Raises:
            IscsiError: the connection broke, or took nothing for the time limit.
        """
        head = header.encode() + ahs
        if self.header_digest:
            head += digest(head)
        tail = bytes(padding_bytes(len(data)))
        if data and self.data_digest:
            tail += digest(data, tail)
        parts = [memoryview(part) for part in (head, data, tail) if len(part)]
        try:
            while parts:
                sent = self._socket.sendmsg(parts)
                # cut short by a signal or by the time limit
                while parts and sent >= len(parts[0]):
                    sent -= len(parts.pop(0))
                if parts:
                    parts[0] = parts[0][sent:]
        except BlockingIOError as error:
            raise IscsiError(f"the target took no data for {self.timeout_s:.0f} s") from error
        except OSError as error:
            raise IscsiError(f"the connection broke: {error.strerror}") from error

    def receive(self, place: Place | None = None) -> Pdu:
        """The next PDU.

        Args:
            place: where to put the data segment; None, or a None from it, makes a buffer.

        Raises:
            Silence: nothing came for the time limit.
            IscsiError: the connection ended, stalled inside a PDU, or a digest or a length is wrong.
        """
        self._fill(memoryview(self._bhs), may_be_silent=True)
        header = PduHeader.decode(self._bhs)
        if header.data_bytes > self.max_receive_bytes:
            raise IscsiError(
                f"a {opcode_name(header.opcode)} has {header.data_bytes} bytes of data; "
                f"declared were {self.max_receive_bytes}"
            )
        ahs = bytearray(header.ahs_bytes)
        self._fill(memoryview(ahs))
        if self.header_digest:
            self._check(digest(self._bhs, ahs), "header", header)
        data = (place(header) if place else None) or memoryview(bytearray(header.data_bytes))
        if header.data_bytes:
            pad = bytearray(padding_bytes(header.data_bytes))
            self._fill(data)
            self._fill(memoryview(pad))
            if self.data_digest:
                self._check(digest(data, pad), "data", header)
        return Pdu(header, decode_ahs(bytes(ahs)), data)

    def _check(self, expected: bytes, what: str, header: PduHeader) -> None:
        found = bytearray(DIGEST_BYTES)
        self._fill(memoryview(found))
        if found != expected:
            raise IscsiError(
                f"the {what} digest of a {opcode_name(header.opcode)} is {found.hex()}; {expected.hex()} was computed",
                "data is damaged on the way: do not trust this link",
            )

    def _fill(self, buffer: memoryview, *, may_be_silent: bool = False) -> None:
        at = 0
        while at < len(buffer):
            try:
                count = self._socket.recv_into(buffer[at:], 0, socket.MSG_WAITALL)
            except BlockingIOError as error:
                if may_be_silent and not at:
                    raise SilentPeer from error
                raise IscsiError(f"the target stopped inside a PDU for {self.timeout_s:.0f} s") from error
            except OSError as error:
                raise IscsiError(f"the connection broke: {error.strerror}") from error
            if not count:
                raise IscsiError("the target closed the connection")
            at += count

    def option(self, level: int, name: int, size: int) -> bytes:
        """getsockopt(2)."""
        return self._socket.getsockopt(level, name, size)

    def interrupt(self) -> None:
        """Wake whichever threads wait in the kernel: their calls fail."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            # the other side was first
            return

    def close(self) -> None:
        self._socket.close()
