"""Frames of a capture file, one after the other: pcap (with Kuznetzov's modification of 1998 too) and pcapng.

A reader of our own, since all that is needed is four fields a frame in one pass at constant memory: the libraries at
hand either build an object per protocol layer (scapy: tens of microseconds a frame) or know neither nanosecond pcapng
nor a broken end. Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from offloadbench.base.errors import UsageError

# nanoseconds a tick, and how far the header of a frame goes; the modified one adds interface, protocol and direction
_PCAP_MAGIC = {0xA1B2C3D4: (1000, 16), 0xA1B23C4D: (1, 16), 0xA1B2CD34: (1000, 24)}
_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 0x0A0D0D0A, 1, 2, 3, 6
_BLOCKS_USED = frozenset({_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET})
_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_OPTION_TSRESOL, _OPTION_TSOFFSET = 9, 14
# a super-packet of BIG TCP has 512 KB; a length beyond this is damage
_LARGEST_BYTES = 1 << 20
_NS_PER_S = 10**9
_UNPACK, _CONVERT = "unpack it first", "convert it, for example: editcap -F pcap"
_OTHER_FORMATS = {
    b"\x1f\x8b": ("gzip", _UNPACK),
    b"BZh": ("bzip2", _UNPACK),
    b"\xfd7zX": ("xz", _UNPACK),
    b"\x28\xb5\x2f\xfd": ("zstd", _UNPACK),
    b"\x04\x22\x4d\x18": ("lz4", _UNPACK),
    b"PK\x03\x04": ("zip", _UNPACK),
    b"snoo": ("a snoop file", _CONVERT),
    b"GMBU": ("a Network Monitor file", _CONVERT),
    b"RTSS": ("a Network Monitor file", _CONVERT),
}
_CHUNK_BYTES = 1 << 16


class CapturedFrame(NamedTuple):
    """One frame; `original_bytes` is its length on the wire, of which `data` may hold less.

    Attributes:
        time_ns: since the epoch; 0 where the file has none (simple packet blocks).
        link_type: LINKTYPE_ number.
    """

    time_ns: int
    link_type: int
    data: bytes
    original_bytes: int


@dataclass(slots=True)
class _Interface:
    link_type: int
    snap_bytes: int
    ticks_per_s: int = 10**6
    offset_ns: int = 0


@dataclass(slots=True)
class CaptureFile:
    """Iterate it once for its frames.

    Attributes:
        stream: opened for reading, at its start.
        damage: why reading ended early, after iteration; empty when the file is whole.
        frames: frames given so far.
        untimed_frames: frames without a time stamp.
    """

    stream: BinaryIO
    damage: str = ""
    frames: int = 0
    untimed_frames: int = 0
    _interfaces: list[_Interface] = field(default_factory=list)
    _order: str = "<"

    def __iter__(self) -> Iterator[CapturedFrame]:
        """Raises UsageError when it is no capture at all."""
        start = self.stream.read(4)
        for order in "<>":
            (magic,) = struct.unpack(order + "I", start.ljust(4, b"\0"))
            if magic in _PCAP_MAGIC:
                self._order = order
                return self._pcap(*_PCAP_MAGIC[magic])
        if start == _SECTION.to_bytes(4, "big"):
            return self._pcapng(start)
        for begins, (name, hint) in _OTHER_FORMATS.items():
            if start.startswith(begins):
                raise UsageError(f"not a pcap or pcapng capture but {name}", hint)
        raise UsageError("not a pcap or pcapng capture", "write one with tcpdump -w")

    def _read(self, size: int, what: str) -> bytes | None:
        data = self.stream.read(size)
        if len(data) == size:
            return data
        if data:
            self.damage = f"the file ends inside {what}"
        return None

    def _pcap(self, ns_per_tick: int, head_bytes: int) -> Iterator[CapturedFrame]:
        header = self._read(20, "its header")
        if header is None:
            self.damage = "the file ends inside its header"
            return
        # the upper bits tell the length of a frame check sequence
        link_type = struct.unpack(self._order + "I", header[16:])[0] & 0xFFFF
        record = struct.Struct(self._order + "IIII")
        while (head := self._read(head_bytes, "a frame's header")) is not None:
            seconds, ticks, captured, original = record.unpack_from(head)
            if captured > _LARGEST_BYTES:
                self.damage = f"a frame claims {captured} bytes"
                return
            data = self._read(captured, "a frame")
            if data is None:
                self.damage = "the file ends inside a frame"
                return
            self.frames += 1
            yield CapturedFrame(seconds * _NS_PER_S + ticks * ns_per_tick, link_type, data, original)

    def _pcapng(self, start: bytes) -> Iterator[CapturedFrame]:
        head: bytes | None = start + self.stream.read(4)
        while head is not None:
            if len(head) < 8:
                self.damage = "the file ends inside a block's header"
                return
            is_section = head[:4] == _SECTION.to_bytes(4, "big")
            if is_section and not self._new_section():
                return
            kind, length = struct.unpack(self._order + "II", head)
            read = 12 if is_section else 8
            used = is_section or kind in _BLOCKS_USED
            if length % 4 or length < read + 4 or (used and length > 2 * _LARGEST_BYTES):
                self.damage = f"a block claims {length} bytes"
                return
            body = self._read(length - read, "a block") if used else self._skip(length - read)
            if body is None:
                self.damage = "the file ends inside a block"
                return
            try:
                frame = self._block(kind, body[:-4])
            except (struct.error, IndexError):
                self.damage = "a block contradicts itself"
                return
            if frame is not None:
                self.frames += 1
                yield frame
            head = self._read(8, "a block's header")

    def _skip(self, size: int) -> bytes | None:
        """The last piece of a block that is of no use; secrets and names may be larger than any frame."""
        data: bytes | None = b""
        while size and data is not None:
            data = self._read(min(size, _CHUNK_BYTES), "a block")
            size -= len(data or b"")
        return data

    def _new_section(self) -> bool:
        magic = self.stream.read(4)
        for order in "<>":
            if magic == struct.pack(order + "I", _BYTE_ORDER_MAGIC):
                self._order = order
                # interface numbers start again in every section
                self._interfaces = []
                return True
        self.damage = "a section has no byte order"
        return False

    def _block(self, kind: int, body: bytes) -> CapturedFrame | None:
        order = self._order
        if kind == _INTERFACE:
            self._interfaces.append(self._interface(body))
        elif kind == _PACKET:
            number, high, low, captured, original = struct.unpack_from(order + "IIIII", body)
            return self._timed(number, high << 32 | low, body[20 : 20 + captured], captured, original)
        elif kind == _OLD_PACKET:
            number, _, high, low, captured, original = struct.unpack_from(order + "HHIIII", body)
            return self._timed(number, high << 32 | low, body[20 : 20 + captured], captured, original)
        elif kind == _SIMPLE_PACKET:
            (original,) = struct.unpack_from(order + "I", body)
            interface = self._interfaces[0]
            captured = min(original, interface.snap_bytes or original, len(body) - 4)
            self.untimed_frames += 1
            return CapturedFrame(0, interface.link_type, body[4 : 4 + captured], original)
        return None

    def _timed(self, number: int, ticks: int, data: bytes, captured: int, original: int) -> CapturedFrame:
        if len(data) != captured:
            raise IndexError
        interface = self._interfaces[number]
        time_ns = ticks * _NS_PER_S // interface.ticks_per_s + interface.offset_ns
        return CapturedFrame(time_ns, interface.link_type, data, original)

    def _interface(self, body: bytes) -> _Interface:
        link_type, _, snap_bytes = struct.unpack_from(self._order + "HHI", body)
        interface = _Interface(link_type, snap_bytes)
        at = 8
        while at + 4 <= len(body):
            code, length = struct.unpack_from(self._order + "HH", body, at)
            value = body[at + 4 : at + 4 + length]
            if code == _OPTION_TSRESOL:
                exponent = value[0] & 0x7F
                interface.ticks_per_s = 2**exponent if value[0] & 0x80 else 10**exponent
            elif code == _OPTION_TSOFFSET:
                interface.offset_ns = struct.unpack(self._order + "q", value)[0] * _NS_PER_S
            elif code == 0:
                break
            at += 4 + -(-length // 4) * 4
        return interface
