"""Frames as a TAP hands them over, a virtio-net header before each (struct virtio_net_hdr, 10 bytes).

A super-packet is weighed as, and where some of it is lost cut into, the segments that a NIC would have made of it.
Standard library only.
"""

from __future__ import annotations

VNET_HEADER_BYTES = 10
# FCS 4, preamble and start delimiter 8, inter-frame gap 12 (IEEE 802.3)
FRAME_OVERHEAD_BYTES = 24
# shortest frame without FCS
MIN_FRAME_BYTES = 60

_ETHERNET_BYTES = 14
# VIRTIO_NET_HDR_F_NEEDS_CSUM and VIRTIO_NET_HDR_GSO_TCPV4, _ECN (include/uapi/linux/virtio_net.h)
_NEEDS_CSUM, _GSO_TCPV4, _GSO_ECN = 1, 1, 0x80
_FIN_PSH, _CWR = 0x01 | 0x08, 0x80


def frame_cost(frame: bytes) -> tuple[int, int]:
    """(segments, bytes at layer 2 without FCS) of a frame with its virtio-net header.

    The header length field counts the linear part of the skb, payload included, so the TCP header's own length
    is read (virtio_net_hdr_from_skb in include/linux/virtio_net.h).
    """
    length = len(frame) - VNET_HEADER_BYTES
    if not frame[1]:
        return 1, max(length, MIN_FRAME_BYTES)
    segment_bytes = frame[4] | frame[5] << 8
    transport = frame[6] | frame[7] << 8
    headers = transport + ((frame[VNET_HEADER_BYTES + transport + 12] >> 4) << 2)
    segments = -(-(length - headers) // segment_bytes)
    return segments, length + (segments - 1) * headers


def full_segment_bytes(frame: bytes) -> int:
    """Bytes at layer 2, without FCS, of every segment of a super-packet but its last."""
    transport = frame[6] | frame[7] << 8
    return (frame[4] | frame[5] << 8) + transport + ((frame[VNET_HEADER_BYTES + transport + 12] >> 4) << 2)


def cut(frame: bytes, first: int, end: int) -> bytes:
    """Segments `first` to `end` - 1 of a super-packet as one frame, its headers as a NIC would write them.

    FIN and PSH stay with the last segment, CWR with the first, as in tcp_gso_segment (net/ipv4/tcp_offload.c). The
    checksum is still the receiver's to complete: only the length in its pseudo-header is changed.
    """
    segment_bytes = frame[4] | frame[5] << 8
    transport = frame[6] | frame[7] << 8
    tcp = VNET_HEADER_BYTES + transport
    body = tcp + ((frame[tcp + 12] >> 4) << 2)
    payload = frame[body + first * segment_bytes : body + end * segment_bytes]
    piece = bytearray(frame[:body]) + payload
    if first:
        piece[tcp + 13] &= ~_CWR
        piece[1] &= ~_GSO_ECN
    if body + end * segment_bytes < len(frame):
        piece[tcp + 13] &= ~_FIN_PSH
    sequence = int.from_bytes(frame[tcp + 4 : tcp + 8], "big") + first * segment_bytes
    piece[tcp + 4 : tcp + 8] = (sequence & 0xFFFFFFFF).to_bytes(4, "big")
    shorter = len(frame) - len(piece)
    if piece[0] & _NEEDS_CSUM:
        at = tcp + 16
        total = int.from_bytes(piece[at : at + 2], "big") + 0xFFFF - shorter
        piece[at : at + 2] = ones_complement_sum(total).to_bytes(2, "big")
    _write_ip_header(piece, first, shorter, frame[1] & ~_GSO_ECN == _GSO_TCPV4)
    # the linear part: all headers, nothing else
    piece[2:4] = (body - VNET_HEADER_BYTES).to_bytes(2, "little")
    if len(payload) <= segment_bytes:
        piece[1] = 0
        piece[4:6] = b"\0\0"
    return bytes(piece)


def _write_ip_header(piece: bytearray, first: int, shorter: int, is_ipv4: bool) -> None:
    """Length, and for IPv4 the identification of segment `first` and the header's checksum."""
    ip = VNET_HEADER_BYTES + _ETHERNET_BYTES
    length_at = ip + (2 if is_ipv4 else 4)
    length = int.from_bytes(piece[length_at : length_at + 2], "big") - shorter
    piece[length_at : length_at + 2] = length.to_bytes(2, "big")
    if not is_ipv4:
        return
    number = int.from_bytes(piece[ip + 4 : ip + 6], "big") + first
    piece[ip + 4 : ip + 6] = (number & 0xFFFF).to_bytes(2, "big")
    piece[ip + 10 : ip + 12] = b"\0\0"
    header = piece[ip : ip + ((piece[ip] & 15) << 2)]
    words = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, len(header), 2))
    piece[ip + 10 : ip + 12] = (0xFFFF - ones_complement_sum(words)).to_bytes(2, "big")


def ones_complement_sum(total: int) -> int:
    """A one's complement sum of 16 bits (RFC 1071)."""
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total
