"""TCP segments over IPv4 and Ethernet as bytes, with options and checksums (RFC 791, 9293, 7323, 1071)."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from offloadbench.bed.wire_frames import ones_complement_sum

_ETHERTYPE_IPV4 = 0x0800
_MSS, _SCALE, _NOP, _TIMESTAMPS = 2, 3, 1, 8
_TTL = 64
_IP_HEADER = struct.Struct(">BBHHHBBH4s4s")
_TCP_HEADER = struct.Struct(">HHIIBBHHH")
_ETHERNET_BYTES, _IP_BYTES, _TCP_BYTES = 14, 20, 20


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a connection on a link; for what lies behind a router, `mac` is the router's."""

    mac: str
    address: str
    port: int


def mss_option(mss_bytes: int) -> bytes:
    return struct.pack(">BBH", _MSS, 4, mss_bytes)


def scale_option(shift: int) -> bytes:
    return struct.pack(">BBBB", _NOP, _SCALE, 3, shift)


def timestamps_option(value: int, echo: int) -> bytes:
    """Two NOPs before it, as every stack sends it."""
    return struct.pack(">BBBBII", _NOP, _NOP, _TIMESTAMPS, 10, value & 0xFFFFFFFF, echo)


def _checksum(data: bytes) -> int:
    padded = data + bytes(len(data) % 2)
    return 0xFFFF - ones_complement_sum(sum(struct.unpack(f">{len(padded) // 2}H", padded)))


def build(
    source: Endpoint,
    destination: Endpoint,
    *,
    seq: int,
    ack: int,
    flags: int,
    window: int,
    options: bytes = b"",
    payload: bytes = b"",
) -> bytes:
    """A frame from its Ethernet header on.

    Args:
        window: as it stands in the header, already scaled.
        options: a multiple of four bytes.
    """
    addresses = socket.inet_aton(source.address), socket.inet_aton(destination.address)
    header_bytes = _TCP_BYTES + len(options)
    ports = source.port, destination.port

    def tcp(checksum: int) -> bytes:
        head = _TCP_HEADER.pack(*ports, seq, ack, header_bytes << 2, flags, window, checksum, 0)
        return head + options + payload

    def ip(checksum: int) -> bytes:
        # 0x4000: don't fragment
        total = _IP_BYTES + header_bytes + len(payload)
        return _IP_HEADER.pack(0x45, 0, total, 0, 0x4000, _TTL, socket.IPPROTO_TCP, checksum, *addresses)

    pseudo = b"".join(addresses) + struct.pack(">HH", socket.IPPROTO_TCP, header_bytes + len(payload))
    macs = bytes.fromhex(destination.mac.replace(":", "")) + bytes.fromhex(source.mac.replace(":", ""))
    return macs + struct.pack(">H", _ETHERTYPE_IPV4) + ip(_checksum(ip(0))) + tcp(_checksum(pseudo + tcp(0)))


def timestamp_of(frame: bytes) -> int | None:
    """TSval of a received TCP segment over IPv4 (RFC 7323), None without one."""
    tcp = _ETHERNET_BYTES + ((frame[_ETHERNET_BYTES] & 15) << 2)
    at, end = tcp + _TCP_BYTES, tcp + (frame[tcp + 12] >> 4 << 2)
    while at + 1 < min(end, len(frame)) and frame[at]:
        if frame[at] == _NOP:
            at += 1
        elif frame[at] == _TIMESTAMPS and at + 10 <= len(frame):
            return int.from_bytes(frame[at + 2 : at + 6], "big")
        elif frame[at + 1] < 2:
            return None
        else:
            at += frame[at + 1]
    return None
