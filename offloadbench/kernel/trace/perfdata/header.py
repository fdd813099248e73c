"""What a perf.data file says about itself: file header, attrs and feature sections (tools/perf/util/header.c)."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

from offloadbench.base.errors import ProfilerError
from offloadbench.kernel.trace.perfdata.abi import CPU_MODE_MASK, MISC_BUILD_ID_SIZE, CpuMode, HeaderFeature
from offloadbench.kernel.trace.perfdata.bpf_programs import program_symbols
from offloadbench.kernel.trace.perfdata.byteorder import BIG, LITTLE, ByteOrder
from offloadbench.kernel.trace.perfdata.ksymbols import KernelSymbol
from offloadbench.kernel.trace.perfdata.mappings import KERNEL_NAME
from offloadbench.kernel.trace.perfdata.sampled_events import ATTR_MIN_BYTES, Event, parse_attr, with_tracepoint_names
from offloadbench.kernel.trace.perfdata.tracing import TracepointFormat, tracepoint_formats

_MAGIC = {b"PERFILE2": LITTLE, b"2ELIFREP": BIG}
_MAGIC_V1 = b"PERFFILE"
_PIPE_HEADER_BYTES = 16
_FILE_HEADER_BYTES = 104
# struct perf_file_section: offset, size
_SECTION_BYTES = 16
_FEATURE_WORDS = 4
# no text or event description is longer; a damaged size must not fill the memory
_FEATURE_MAX_BYTES = 1 << 24
# struct perf_record_header_build_id: header, pid, 20 bytes and their number, name
_BUILD_ID_AT, _BUILD_ID_BYTES, _BUILD_ID_SIZE_AT, _BUILD_ID_RECORD_BYTES = 12, 20, 32, 36
_COPY_AGAIN = "copy the file again from the machine that made it"


@dataclass(frozen=True, slots=True)
class RecordingHeader:
    """What the file says of its making; a text is None where the file does not say it.

    Attributes:
        is_pipe: written by `perf record -o -`: attrs and features come as records among the others.
        command_line: arguments of perf, the program first.
        cpus_online, cpus_available: of the recorded machine; 0 where the file does not say.
        kernel_build_id: hexadecimal, of the kernel that was recorded.
        events: in the order of the file, which is the order of the event index of samples.
        formats: number of a tracepoint (`Event.config`) -> what it writes; of files, not of pipes.
        program_symbols: functions of the BPF programs that were loaded when the recording ended.
        data_start_byte, data_end_byte: where records lie in the file; no end: up to the end of the file.
    """

    order: ByteOrder
    is_pipe: bool
    data_start_byte: int
    data_end_byte: int | None
    events: tuple[Event, ...] = ()
    formats: Mapping[int, TracepointFormat] = field(default_factory=dict)
    program_symbols: tuple[KernelSymbol, ...] = ()
    hostname: str | None = None
    os_release: str | None = None
    perf_version: str | None = None
    arch: str | None = None
    kernel_build_id: str | None = None
    cpu_description: str | None = None
    command_line: tuple[str, ...] = ()
    cpus_online: int = 0
    cpus_available: int = 0


_TEXTS = {
    HeaderFeature.HOSTNAME: "hostname",
    HeaderFeature.OSRELEASE: "os_release",
    HeaderFeature.VERSION: "perf_version",
    HeaderFeature.ARCH: "arch",
    HeaderFeature.CPUDESC: "cpu_description",
}


def read_header(stream: BinaryIO) -> tuple[RecordingHeader, str]:
    """The header of an open perf.data file, and what is wrong with the file so far (empty if nothing).

    Raises:
        ProfilerError: not a perf.data file, of version 1, or cut within its header.
    """
    start = stream.read(_FILE_HEADER_BYTES)
    magic = start[:8]
    if magic == _MAGIC_V1:
        raise ProfilerError("a perf.data file of version 1 (perf before 2.6.33) is not read", "record it again")
    if magic not in _MAGIC:
        raise ProfilerError("not a perf.data file", "give a file that `perf record` wrote")
    order = _MAGIC[magic]
    try:
        (header_bytes,) = order.unpack("Q", start, 8)
        if header_bytes == _PIPE_HEADER_BYTES:
            return RecordingHeader(order, is_pipe=True, data_start_byte=_PIPE_HEADER_BYTES, data_end_byte=None), ""
        return _read_file_header(stream, start, order)
    except struct.error as error:
        raise ProfilerError("the perf.data file is cut within its header", _COPY_AGAIN) from error


def _read_file_header(stream: BinaryIO, start: bytes, order: ByteOrder) -> tuple[RecordingHeader, str]:
    attr_bytes, attrs_at, attrs_bytes, data_at, data_bytes = order.unpack("QQQQQ", start, 16)
    words = order.unpack("Q" * _FEATURE_WORDS, start, 72)
    if data_at > _size(stream):
        raise struct.error("data beyond the end of the file")
    if attr_bytes < ATTR_MIN_BYTES + _SECTION_BYTES:
        raise ProfilerError(f"the perf.data file is damaged: attrs of {attr_bytes} bytes", _COPY_AGAIN)
    attrs = _read_section(stream, attrs_at, attrs_bytes)
    events = []
    for at in range(0, len(attrs) - attr_bytes + 1, attr_bytes):
        ids_at, ids_bytes = order.unpack("QQ", attrs, at + attr_bytes - _SECTION_BYTES)
        ids = _read_section(stream, ids_at, ids_bytes)
        events.append(parse_attr(attrs[at : at + attr_bytes], order, order.unpack(f"{len(ids) // 8}Q", ids)))
    if not events:
        raise ProfilerError("the perf.data file is damaged: it names no events", _COPY_AGAIN)
    header = RecordingHeader(order, is_pipe=False, data_start_byte=data_at, data_end_byte=None, events=tuple(events))
    if not data_bytes:
        return header, "the header gives no size of the data: perf was killed while it recorded"
    header = replace(header, data_end_byte=data_at + data_bytes)
    try:
        return _read_features(stream, header, words), ""
    except struct.error:
        return header, "the description of the recording, behind the records, is missing or cut"


def _size(stream: BinaryIO) -> int:
    return os.fstat(stream.fileno()).st_size


def _read_section(stream: BinaryIO, offset: int, size: int) -> bytes:
    """A section; struct.error where the file ends before it does."""
    if offset + size > _size(stream):
        raise struct.error("section beyond the end of the file")
    stream.seek(offset)
    return stream.read(size)


def _read_features(stream: BinaryIO, header: RecordingHeader, words: tuple[int, ...]) -> RecordingHeader:
    """The features of a file; their sections lie behind the data, in the order of their bits."""
    assert header.data_end_byte is not None
    numbers = _feature_numbers(words, header.order)
    table = _read_section(stream, header.data_end_byte, len(numbers) * _SECTION_BYTES)
    for index, number in enumerate(numbers):
        offset, size = header.order.unpack("QQ", table, index * _SECTION_BYTES)
        if offset + size > _size(stream):
            raise struct.error("feature beyond the end of the file")
        if number in set(HeaderFeature) and size <= _FEATURE_MAX_BYTES:
            header = with_feature(header, number, _read_section(stream, offset, size))
    return header


def _feature_numbers(words: tuple[int, ...], order: ByteOrder) -> list[int]:
    """Bits of an array of `unsigned long`."""
    # 32-bit big-endian machines swap the halves of each 64 bits (perf_file_header__read)
    if order is BIG and not words[0] >> HeaderFeature.HOSTNAME & 1:
        words = tuple((word >> 32 | word << 32) & (1 << 64) - 1 for word in words)
    return [64 * index + bit for index, word in enumerate(words) for bit in range(64) if word >> bit & 1]


def with_feature(header: RecordingHeader, number: int, data: bytes | memoryview) -> RecordingHeader:
    """The header with what a feature section or FEATURE record adds; features that are not read change nothing.

    Raises:
        struct.error: the section is cut.
    """
    order = header.order
    if number in _TEXTS:
        change: dict[str, Any] = {_TEXTS[HeaderFeature(number)]: _text(data, 0, order)[0]}
        return replace(header, **change)
    if number == HeaderFeature.NRCPUS:
        available, online = order.unpack("II", data)
        return replace(header, cpus_available=available, cpus_online=online)
    if number == HeaderFeature.CMDLINE:
        (count,), at = order.unpack("I", data), 4
        words = []
        for _ in range(count):
            word, at = _text(data, at, order)
            words.append(word)
        return replace(header, command_line=tuple(words))
    if number == HeaderFeature.TRACING_DATA:
        formats = tracepoint_formats(bytes(data))
        return replace(header, formats=formats, events=with_tracepoint_names(header.events, formats))
    if number == HeaderFeature.BUILD_ID:
        return _with_build_ids(header, data)
    if number == HeaderFeature.EVENT_DESC:
        return _with_names(header, data)
    if number == HeaderFeature.BPF_PROG_INFO:
        return replace(header, program_symbols=program_symbols(data, order))
    return header


def _with_build_ids(header: RecordingHeader, data: bytes | memoryview) -> RecordingHeader:
    """The header with the build id of the kernel, out of a list of BUILD_ID records."""
    at = 0
    while at + _BUILD_ID_RECORD_BYTES <= len(data):
        _, _, size = header.order.unpack("IHH", data, at)
        if size < _BUILD_ID_RECORD_BYTES:
            break
        header = with_build_id(header, data[at : at + size])
        at += size
    return header


def with_build_id(header: RecordingHeader, record: bytes | memoryview) -> RecordingHeader:
    """The header with what a BUILD_ID record adds (struct perf_record_header_build_id): only that of the kernel.

    Raises:
        struct.error: the record is cut.
    """
    _, misc, _ = header.order.unpack("IHH", record)
    if len(record) < _BUILD_ID_RECORD_BYTES:
        raise struct.error("build id is cut")
    name = c_string(record[_BUILD_ID_RECORD_BYTES:])
    if misc & CPU_MODE_MASK != CpuMode.KERNEL or not name.startswith(KERNEL_NAME):
        return header
    # perf before 5.10 does not say how long it is
    size = record[_BUILD_ID_SIZE_AT] if misc & MISC_BUILD_ID_SIZE else _BUILD_ID_BYTES
    build_id = bytes(record[_BUILD_ID_AT : _BUILD_ID_AT + min(size, _BUILD_ID_BYTES)])
    return replace(header, kernel_build_id=build_id.hex())


def _text(data: bytes | memoryview, at: int, order: ByteOrder) -> tuple[str, int]:
    """A length and that many bytes, padded with NUL; also where the next begins."""
    (size,) = order.unpack("I", data, at)
    end = at + 4 + size
    if end > len(data):
        raise struct.error("text beyond the end of its section")
    return c_string(data[at + 4 : end]), end


def c_string(data: bytes | memoryview) -> str:
    """Bytes up to the first NUL."""
    return bytes(data).split(b"\0", 1)[0].decode(errors="replace")


def _with_names(header: RecordingHeader, data: bytes | memoryview) -> RecordingHeader:
    """Events with the names of an EVENT_DESC section, which lists them in the order of the attrs."""
    count, attr_bytes = header.order.unpack("II", data)
    events = list(header.events)
    at = 8
    for index in range(min(count, len(events))):
        (ids,) = header.order.unpack("I", data, at + attr_bytes)
        name, at = _text(data, at + attr_bytes + 4, header.order)
        at += 8 * ids
        events[index] = replace(events[index], name=name)
    return replace(header, events=tuple(events))
