"""The TCP segment in a frame, with as little work as possible: this runs once for every frame of a capture."""

from __future__ import annotations

import struct
from collections import Counter
from typing import NamedTuple

from offloadbench.analysis.capture.encapsulation import CONTRADICTION, cut, find
from offloadbench.analysis.capture.ignored_frames import Ignored

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
_END, _NOP, _MSS, _SCALE, _SACK, _TIMESTAMPS = 0, 1, 2, 3, 5, 8

_U16 = struct.Struct(">H")
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


class SynOptions(NamedTuple):
    """Of a SYN. None: not offered, or hidden by the snap length.

    Attributes:
        cut_bytes: captured bytes of a frame whose snap length hides some of them; 0 where nothing is missing.
    """

    mss_bytes: int | None
    scale: int | None
    timestamps: bool
    cut_bytes: int = 0


def segment(link_type: int, data: bytes, original_bytes: int, notes: Counter[Ignored]) -> Segment | None:
    """The segment of one frame, or None; why there is none is counted in `notes`."""
    found = find(link_type, data, original_bytes)
    if isinstance(found, Ignored):
        notes[found] += 1
        return None
    at, end, addresses = found
    if len(data) < at + 20:
        notes[cut(data, original_bytes)] += 1
        return None
    _, _, seq, ack, offset, flags, window = _TCP_HEAD.unpack_from(data, at)
    header = 4 * (offset >> 4)
    half = len(addresses) // 2
    payload = end - at - header
    if header < 20 or payload < 0:
        notes[CONTRADICTION] += 1
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


def options(raw: bytes, cut_bytes: int = 0) -> SynOptions:
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
    return SynOptions(mss_bytes, scale, timestamps, 0 if whole else cut_bytes)


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
