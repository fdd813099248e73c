"""The TCP segment in a frame, with as little work as possible: this runs once for every frame of a capture."""

from __future__ import annotations

import struct
from collections import Counter
from typing import NamedTuple

ETHERNET, RAW_IP, LINUX_SLL, IPV4_ONLY, IPV6_ONLY, LINUX_SLL2 = 1, 101, 113, 228, 229, 276
# what DLT_RAW is called in files of other systems
_RAW_IP_TYPES = frozenset({RAW_IP, 12, 14, IPV4_ONLY, IPV6_ONLY})
# where the protocol stands and where the payload starts
_LINK_HEADERS = {ETHERNET: (12, 14), LINUX_SLL: (14, 16), LINUX_SLL2: (0, 20)}
LINK_TYPES = frozenset(_LINK_HEADERS) | _RAW_IP_TYPES
_IPV4, _IPV6 = 0x0800, 0x86DD
_VLANS = frozenset({0x8100, 0x88A8, 0x9100})
_TCP, _FRAGMENT, _AUTHENTICATION = 6, 44, 51
# hop-by-hop, routing, destination, mobility, HIP, shim6: all (length + 1) * 8 bytes long
_EXTENSIONS = frozenset({0, 43, 60, 135, 139, 140})
FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
_END, _NOP, _MSS, _SCALE, _SACK, _TIMESTAMPS = 0, 1, 2, 3, 5, 8

_U16 = struct.Struct(">H")
_IPV4_HEAD = struct.Struct(">BBHHH")
_IPV6_HEAD = struct.Struct(">HB")
_TCP_HEAD = struct.Struct(">HHIIBBH")
_STAMPS = struct.Struct(">II")


class Segment(NamedTuple):
    """A TCP segment or super-packet.

    Attributes:
        source, destination: address and port, packed.
        window: as sent, unscaled.
        payload_bytes: from the IP header, so that a snap length does not matter.
        options: raw, as far as captured.
        cut_bytes: captured bytes of a frame whose snap length hides options; 0 where they are whole.
    """

    source: bytes
    destination: bytes
    seq: int
    ack: int
    flags: int
    window: int
    payload_bytes: int
    options: bytes
    cut_bytes: int = 0


class Options(NamedTuple):
    """Of a SYN. None: not offered, or hidden by the snap length.

    Attributes:
        cut_bytes: captured bytes of a frame whose snap length hides some of them; 0 where nothing is missing.
    """

    mss_bytes: int | None
    scale: int | None
    timestamps: bool
    cut_bytes: int = 0


def segment(link_type: int, data: bytes, original_bytes: int, notes: Counter[str]) -> Segment | None:
    """The segment of one frame, or None; why a frame of TCP could not be used is counted in `notes`."""
    if link_type in _LINK_HEADERS:
        at, start = _LINK_HEADERS[link_type]
        if len(data) < start:
            return None
        (protocol,) = _U16.unpack_from(data, at)
        while protocol in _VLANS:
            if len(data) < start + 4:
                return None
            (protocol,) = _U16.unpack_from(data, start + 2)
            start += 4
    elif link_type in _RAW_IP_TYPES:
        start = 0
        protocol = _IPV6 if data and data[0] >> 4 == 6 else _IPV4
    else:
        notes["of a link type that is not read"] += 1
        return None
    if protocol == _IPV4:
        return _ipv4(data, start, original_bytes, notes)
    return _ipv6(data, start, original_bytes, notes) if protocol == _IPV6 else None


def _ipv4(data: bytes, start: int, original_bytes: int, notes: Counter[str]) -> Segment | None:
    if len(data) < start + 20:
        return None
    version, _, total, _, fragment = _IPV4_HEAD.unpack_from(data, start)
    if version >> 4 != 4 or data[start + 9] != _TCP:
        return None
    if fragment & 0x3FFF:
        notes["IP fragments"] += 1
        return None
    # 0: a super-packet beyond 64 KB (BIG TCP), or one of a driver that leaves the length to the NIC
    end = start + total if total else original_bytes
    return _tcp(data, start + 4 * (version & 15), end, data[start + 12 : start + 20], notes)


def _ipv6(data: bytes, start: int, original_bytes: int, notes: Counter[str]) -> Segment | None:
    if len(data) < start + 40 or data[start] >> 4 != 6:
        return None
    length, following = _IPV6_HEAD.unpack_from(data, start + 4)
    at = start + 40
    end = at + length if length else original_bytes
    while following != _TCP:
        if len(data) < at + 8:
            return None
        if following in _EXTENSIONS:
            size = 8 * (data[at + 1] + 1)
        elif following == _AUTHENTICATION:
            size = 4 * (data[at + 1] + 2)
        elif following == _FRAGMENT:
            # the offset and the bit for more; both 0 in an atomic fragment (RFC 6946)
            if _U16.unpack_from(data, at + 2)[0] & 0xFFF9:
                notes["IP fragments"] += 1
                return None
            size = 8
        else:
            return None
        following = data[at]
        at += size
    return _tcp(data, at, end, data[start + 8 : start + 40], notes)


def _tcp(data: bytes, at: int, end: int, addresses: bytes, notes: Counter[str]) -> Segment | None:
    if len(data) < at + 20:
        notes["cut before the end of the TCP header"] += 1
        return None
    _, _, seq, ack, offset, flags, window = _TCP_HEAD.unpack_from(data, at)
    header = 4 * (offset >> 4)
    half = len(addresses) // 2
    payload = end - at - header
    if header < 20 or payload < 0:
        notes["with contradicting lengths"] += 1
        return None
    return Segment(
        addresses[:half] + data[at : at + 2],
        addresses[half:] + data[at + 2 : at + 4],
        seq,
        ack,
        flags,
        window,
        payload,
        data[at + 20 : at + header],
        len(data) if len(data) < at + header else 0,
    )


def options(raw: bytes, cut_bytes: int = 0) -> Options:
    """Of a SYN (RFC 9293 and 7323); a damaged list is read as far as it makes sense.

    Args:
        cut_bytes: see `Segment`.
    """
    mss_bytes = scale = None
    timestamps = False
    at = 0
    while at < len(raw):
        kind = raw[at]
        if kind == _END:
            cut_bytes = 0
            break
        if kind == _NOP:
            at += 1
            continue
        length = raw[at + 1] if at + 1 < len(raw) else 0
        if length < 2 or at + length > len(raw):
            break
        if kind == _MSS and length == 4:
            (mss_bytes,) = _U16.unpack_from(raw, at + 2)
        elif kind == _SCALE and length == 3:
            scale = min(raw[at + 2], 14)
        elif kind == _TIMESTAMPS and length == 10:
            timestamps = True
        at += length
    # all that is asked for stands before the cut
    whole = mss_bytes is not None and scale is not None and timestamps
    return Options(mss_bytes, scale, timestamps, 0 if whole else cut_bytes)


def _option(raw: bytes, wanted: int) -> bytes | None:
    """The body of an option; None where it is not there, or cut off."""
    at = 0
    while at < len(raw):
        if raw[at] == _NOP:
            at += 1
            continue
        length = raw[at + 1] if at + 1 < len(raw) else 0
        if raw[at] == _END or length < 2 or at + length > len(raw):
            break
        if raw[at] == wanted:
            return raw[at + 2 : at + length]
        at += length
    return None


def timestamps(raw: bytes) -> tuple[int, int] | None:
    """TSval and TSecr (RFC 7323) among a segment's options; None where there are none, or they are cut off."""
    stamps = _option(raw, _TIMESTAMPS)
    return _STAMPS.unpack(stamps) if stamps is not None and len(stamps) == _STAMPS.size else None


def sacks(raw: bytes) -> bool:
    """Whether there are SACK blocks among a segment's options (RFC 2018): something before them is missing."""
    return _option(raw, _SACK) is not None
