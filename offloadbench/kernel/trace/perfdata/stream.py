"""The data section as blocks of whole records: cut into chunks, decompressed, without the traces that follow AUXTRACE.

Most recordings are long runs of samples of equal size: a run is found by comparing record headers at a fixed stride,
anything else is walked record by record.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from offloadbench.kernel.trace.perfdata.abi import RECORD_HEADER_BYTES, WORD_BYTES, RecordType
from offloadbench.kernel.trace.perfdata.byteorder import I8, U8, ByteOrder
from offloadbench.kernel.trace.perfdata.decompress import DecompressionError, Inflater
from offloadbench.kernel.trace.perfdata.header import RecordingHeader

CHUNK_BYTES = 1 << 20
# as many words as the largest record has (its size is 16 bits wide)
_WALK_WORDS = 1 << 13
# shorter runs are cheaper to walk
_RUN_MIN = 64
_RUN_GROWTH = 16
# records that are followed by bytes which are no records, and those that hold records
_TRAILED = (RecordType.AUXTRACE, RecordType.TRACING_DATA)
_PACKED = (RecordType.COMPRESSED, RecordType.COMPRESSED2)
_SPECIAL = np.array([*_TRAILED, *_PACKED], dtype=np.uint64)
# the formats of all tracepoints of a kernel, with its symbols, take some 10 MB
_KEPT_MAX_BYTES = 1 << 26
_COMPRESSED2_HEADER_BYTES = 16
_COMPRESSED2_MAX_BYTES = 1 << 16


class _DamagedError(Exception):
    """Nothing can be read from here on."""


@dataclass(frozen=True, slots=True)
class RecordBlock:
    """Whole records in memory.

    Attributes:
        raw: their bytes.
        words: the same as native 64-bit words.
        starts: the word at which each record begins, shape (records,).
        first: how many records lie before this block.
    """

    raw: memoryview
    words: U8
    starts: I8
    first: int


@dataclass(frozen=True, slots=True)
class _Records:
    raw: memoryview
    words: U8
    starts: I8


@dataclass(frozen=True, slots=True)
class _Special:
    """A record that is followed by foreign bytes, or holds compressed records."""

    kind: int
    record: memoryview
    place: str


class _Cutter:
    """Cuts a byte stream, fed in pieces, into records; one that is not yet whole waits for the next piece."""

    def __init__(self, order: ByteOrder, position: int, stream_name: str) -> None:
        self.waiting = b""
        self.skip_bytes = 0
        self.kept: bytearray | None = None
        """What is skipped goes here, unless it is None."""
        self._order = order
        self._position = position
        self._stream_name = stream_name

    def place(self, at: int = 0) -> str:
        """Where something lies that is `at` bytes after what was cut last."""
        return f"byte {self._position + at}{self._stream_name}"

    def feed(self, piece: bytes) -> Iterator[_Records | _Special]:
        """The records that are whole by now. The consumer of a special one sets `skip_bytes`.

        Raises:
            _DamagedError: a record says that it is smaller than its own header.
        """
        data = memoryview(self.waiting + piece if self.waiting else piece)
        at = 0
        while True:
            skipped = min(self.skip_bytes, len(data) - at)
            if self.kept is not None and len(self.kept) < _KEPT_MAX_BYTES:
                self.kept += data[at : at + skipped]
            self.skip_bytes -= skipped
            at += skipped
            size, kind = self._next(data, at)
            if len(data) - at < size:
                break
            if kind in _SPECIAL:
                yield _Special(kind, data[at : at + size], self.place(at))
                at += size
            elif size % WORD_BYTES:
                record = bytes(data[at : at + size]) + bytes(-size % WORD_BYTES)
                yield _Records(memoryview(record), self._order.words(record), np.zeros(1, dtype=np.int64))
                at += size
            else:
                words = self._order.words(data[at:])
                starts, used = _find_records(words, self._order)
                yield _Records(data[at : at + used * WORD_BYTES], words[:used], starts)
                at += used * WORD_BYTES
        self.waiting = bytes(data[at:])
        self._position += at

    def _next(self, data: memoryview, at: int) -> tuple[int, int]:
        """Bytes that must be there before anything can be cut off at `at`, and the type of the record."""
        if len(data) - at < RECORD_HEADER_BYTES:
            return RECORD_HEADER_BYTES, 0
        kind, _, size = self._order.unpack("IHH", data, at)
        if kind == RecordType.COMPRESSED2:
            if len(data) - at < _COMPRESSED2_HEADER_BYTES:
                return _COMPRESSED2_HEADER_BYTES, kind
            # perf 6.16 lets the 16 bits of the size overflow, and then leaves out the padding
            (payload_bytes,) = self._order.unpack("Q", data, at + RECORD_HEADER_BYTES)
            size = max(size, _COMPRESSED2_HEADER_BYTES + payload_bytes)
            if size > _COMPRESSED2_MAX_BYTES:
                raise _DamagedError(f"damaged at {self.place(at)}: a compressed record of {size} bytes")
        if size < RECORD_HEADER_BYTES:
            raise _DamagedError(f"damaged at {self.place(at)}: a record of type {kind} gives its size as {size}")
        return size, kind


def _find_records(words: U8, order: ByteOrder) -> tuple[I8, int]:
    """Where plain records of whole words begin, the first at 0, and the words they take up."""
    found: list[I8] = []
    at = 0
    while at < len(words):
        begun = at
        count, step = _run(words[at:], order)
        if count >= _RUN_MIN:
            found.append(np.arange(at, at + count * step, step, dtype=np.int64))
            at += count * step
        else:
            walked, used = _walk(words[at:], order)
            found.append(walked + at)
            at += used
        if at == begun:
            break
    return np.concatenate(found), at


def _run(words: U8, order: ByteOrder) -> tuple[int, int]:
    """How many whole samples of one size the words begin with, and that size in words."""
    size = int(order.record_bytes(words[:1])[0])
    step = size // WORD_BYTES
    if int(order.record_type(words[:1])[0]) != RecordType.SAMPLE or not step or size % WORD_BYTES:
        return 0, step
    expected = order.without_misc(words[:1])
    most = len(words) // step
    count, reach = 0, _RUN_MIN
    while count < most:
        headers = words[count * step : min(count + reach, most) * step : step]
        differ = order.without_misc(headers) != expected
        first = int(differ.argmax())
        if differ[first]:
            return count + first, step
        count += len(headers)
        reach *= _RUN_GROWTH
    return count, step


def _walk(words: U8, order: ByteOrder) -> tuple[I8, int]:
    """Records one after the other, as far as the largest may reach; where they begin, and the words they take up."""
    headers = words[:_WALK_WORDS]
    sizes = order.record_bytes(headers)
    stop = (sizes % WORD_BYTES != 0) | np.isin(order.record_type(headers), _SPECIAL)
    # an item of a memoryview costs a third of an item of an array
    steps = np.where(stop, 0, sizes // WORD_BYTES).astype(np.uint16).data
    starts = []
    at, end, left = 0, len(steps), len(words)
    while at < end:
        step = steps[at]
        if not step or at + step > left:
            break
        starts.append(at)
        at += step
    return np.array(starts, dtype=np.int64), at


class RecordReader:
    """All records of a data section, once.

    Attributes:
        problem: afterwards, why it ended early; empty if it did not.
        tracing: description of the formats of tracepoints, of a pipe; empty without.
        special: record type -> count, of records that are in no block: compressed ones, and those before a trace.
    """

    def __init__(self, stream: BinaryIO, header: RecordingHeader) -> None:
        self.problem = ""
        self.tracing = bytearray()
        self.special: Counter[int] = Counter()
        self._stream = stream
        self._position = header.data_start_byte
        self._end_byte = header.data_end_byte
        self._order = header.order
        self._outer = _Cutter(header.order, header.data_start_byte, "")
        self._inner = _Cutter(header.order, 0, " of the decompressed records")
        self._inflater = Inflater()
        self._inflated: list[bytes] = []
        self._inflated_bytes = 0
        self._count = 0

    def __iter__(self) -> Iterator[RecordBlock]:
        try:
            for part in self._outer_parts():
                if isinstance(part, _Records):
                    yield self._block(part)
                    continue
                self.special[part.kind] += 1
                if part.kind in _PACKED:
                    yield from self._unpack(part)
                else:
                    self._outer.skip_bytes = self._trailing_bytes(part)
                    self._outer.kept = self.tracing if part.kind == RecordType.TRACING_DATA else None
        except _DamagedError as damage:
            self.problem = str(damage)
        try:
            yield from self._flush()
        except _DamagedError as damage:
            self.problem = self.problem or str(damage)
        self.problem = self.problem or self._end_problem()

    def _outer_parts(self) -> Iterator[_Records | _Special]:
        self._stream.seek(self._position)
        stop_byte = os.fstat(self._stream.fileno()).st_size
        if self._end_byte is not None:
            stop_byte = min(stop_byte, self._end_byte)
        while piece := self._stream.read(min(CHUNK_BYTES, max(stop_byte - self._position, 0))):
            self._position += len(piece)
            yield from self._outer.feed(piece)

    def _block(self, records: _Records) -> RecordBlock:
        block = RecordBlock(records.raw, records.words, records.starts, self._count)
        self._count += len(records.starts)
        return block

    def _trailing_bytes(self, special: _Special) -> int:
        """What lies behind the record: the trace, or the tracepoint formats padded to whole words."""
        layout = "Q" if special.kind == RecordType.AUXTRACE else "I"
        try:
            (size,) = self._order.unpack(layout, special.record, RECORD_HEADER_BYTES)
        except struct.error as error:
            raise _DamagedError(f"damaged at {special.place}: a record without the length of its trace") from error
        return size + -size % WORD_BYTES if layout == "I" else size

    def _unpack(self, special: _Special) -> Iterator[RecordBlock]:
        """Records out of compressed ones, whenever there are enough of them."""
        begin, end = RECORD_HEADER_BYTES, len(special.record)
        if special.kind == RecordType.COMPRESSED2:
            begin = _COMPRESSED2_HEADER_BYTES
            end = begin + self._order.unpack("Q", special.record, RECORD_HEADER_BYTES)[0]
        try:
            for piece in self._inflater.inflate(special.record[begin:end]):
                self._inflated.append(piece)
                self._inflated_bytes += len(piece)
                if self._inflated_bytes >= CHUNK_BYTES:
                    yield from self._flush()
        except DecompressionError as error:
            raise _DamagedError(f"damaged at {special.place}: {error}") from error

    def _flush(self) -> Iterator[RecordBlock]:
        inflated = b"".join(self._inflated)
        self._inflated, self._inflated_bytes = [], 0
        for part in self._inner.feed(inflated):
            if isinstance(part, _Special):
                raise _DamagedError(f"damaged at {part.place}: a record of type {part.kind}")
            yield self._block(part)

    def _end_problem(self) -> str:
        if self._end_byte is not None and self._position < self._end_byte:
            missing = self._end_byte - self._position
            return f"truncated at byte {self._position}: {missing} bytes of records are missing"
        if self._outer.skip_bytes:
            return f"truncated at byte {self._position}: {self._outer.skip_bytes} bytes of a trace are missing"
        for cutter in (self._outer, self._inner):
            if cutter.waiting:
                return f"truncated at {cutter.place()}: the record there is not whole"
        return ""
