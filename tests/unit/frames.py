"""Made-up frames as a TAP hands them over (struct virtio_net_hdr, include/uapi/linux/virtio_net.h)."""

from __future__ import annotations

import struct

TCPV4, TCPV6, ECN = 1, 4, 0x80
ETHERNET_BYTES, VNET_BYTES = 14, 10


def plain_frame(length: int, number: int = 0) -> bytes:
    """A frame with an empty virtio-net header, and its number as its first bytes."""
    return bytes(VNET_BYTES) + struct.pack("<I", number).ljust(length, b"\0")


def ones_sum(data: bytes) -> int:
    """The one's complement sum of RFC 1071."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo_header_sum(frame: bytes) -> int:
    """What the sender leaves in the checksum field for the NIC to complete, from the frame's own addresses."""
    ip = frame[VNET_BYTES + ETHERNET_BYTES :]
    transport = struct.unpack_from("<H", frame, 6)[0] - ETHERNET_BYTES
    addresses = ip[12:20] if ip[0] >> 4 == 4 else ip[8:40]
    return ones_sum(addresses + struct.pack(">II", 6, len(ip) - transport))


def super_packet(
    payload: int | bytes, segment: int, *, kind: int = TCPV4, tcp_bytes: int = 32, flags: int = 0x18, sequence: int = 7
) -> bytes:
    """A TCP super-packet with the headers that the kernel gives it, its checksum left to be completed."""
    body = bytes(payload) if isinstance(payload, int) else payload
    is_ipv6 = kind & ~ECN == TCPV6
    tcp = struct.pack(">HHIIBBHHH", 4000, 5001, sequence, 1, (tcp_bytes // 4) << 4, flags, 512, 0, 0)
    tcp = tcp.ljust(tcp_bytes, b"\1")
    if is_ipv6:
        ip = struct.pack(">IHBB16s16s", 6 << 28, len(tcp) + len(body), 6, 64, b"a" * 16, b"b" * 16)
    else:
        plain = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp) + len(body), 0xFFFE, 0x4000, 64, 6, 0)
        plain += bytes([198, 18, 0, 1, 198, 18, 0, 2])
        ip = plain[:10] + struct.pack(">H", 0xFFFF - ones_sum(plain)) + plain[12:]
    transport = ETHERNET_BYTES + len(ip)
    linear = min(transport + tcp_bytes + len(body), 256)
    header = struct.pack("<BBHHHH", 1, kind, linear, segment, transport, 16)
    frame = bytearray(header + bytes(12) + (b"\x86\xdd" if is_ipv6 else b"\x08\0") + ip + tcp + body)
    at = VNET_BYTES + transport + 16
    frame[at : at + 2] = struct.pack(">H", pseudo_header_sum(bytes(frame)))
    return bytes(frame)
