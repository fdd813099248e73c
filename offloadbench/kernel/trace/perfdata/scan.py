"""The first pass over a recording: every record that is no sample, and how many samples there are."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from offloadbench.kernel.trace.perfdata.abi import (
    BPF_PROG_LOAD,
    CPU_MODE_MASK,
    EVENT_UPDATE_NAME,
    MISC_FORK_EXEC,
    MISC_LOST_SAMPLES_BPF,
    MISC_MMAP_DATA,
    PROT_EXEC,
    WORD_BYTES,
    CpuMode,
    ReadFormat,
    RecordType,
)
from offloadbench.kernel.trace.perfdata.bpf_programs import TAG_BYTES
from offloadbench.kernel.trace.perfdata.byteorder import U8
from offloadbench.kernel.trace.perfdata.header import RecordingHeader, c_string, with_build_id, with_feature
from offloadbench.kernel.trace.perfdata.ksymbols import KernelSymbol, kernel_symbol
from offloadbench.kernel.trace.perfdata.layout import NO_TRAILER, trailer
from offloadbench.kernel.trace.perfdata.mappings import KernelMapping, kernel_mapping
from offloadbench.kernel.trace.perfdata.process_names import MapRecord, mapped
from offloadbench.kernel.trace.perfdata.sampled_events import (
    ATTR_MIN_BYTES,
    Event,
    has_times,
    owners,
    parse_attr,
    with_tracepoint_names,
)
from offloadbench.kernel.trace.perfdata.selection import Selection
from offloadbench.kernel.trace.perfdata.selector import SampleSelector
from offloadbench.kernel.trace.perfdata.stream import RecordBlock, RecordReader
from offloadbench.kernel.trace.perfdata.threads import TaskRecord
from offloadbench.kernel.trace.perfdata.tracing import tracepoint_formats

# types above are not known to this reader; they are counted together
_UNKNOWN_TYPE = 255
_NO_TIME = 2**64 - 1
# offsets in bytes, from the record header
_BODY, _MMAP_NAME, _MMAP2_PROTECTION, _MMAP2_NAME = 8, 40, 64, 72
_KSYMBOL_NAME, _UPDATE_NAME, _FEATURE_DATA, _COMM_NAME, _BPF_TAG = 24, 24, 16, 16, 16


class Scan:
    """What the records of a recording add up to; see `Recording` for the meaning of the figures."""

    def __init__(self, header: RecordingHeader) -> None:
        self.header = header
        self.tasks: list[TaskRecord] = []
        self.kernel_mappings: list[KernelMapping] = []
        self.kernel_symbols: list[KernelSymbol] = []
        self.program_tags: dict[int, str] = {}
        self.process_maps: list[MapRecord] = []
        self.samples: Counter[int] = Counter()
        self.lost_records = self.lost_samples = self.unread_samples = 0
        self._counts = np.zeros(_UNKNOWN_TYPE + 1, dtype=np.int64)
        self._unknown = self._short = self._malformed = 0
        self._handlers: dict[int, Callable[[memoryview, int, int], None]] = {
            RecordType.COMM: self._comm,
            RecordType.FORK: self._fork,
            RecordType.MMAP: self._mmap,
            RecordType.MMAP2: self._mmap2,
            RecordType.LOST: self._lost,
            RecordType.LOST_SAMPLES: self._lost_samples,
            RecordType.KSYMBOL: self._ksymbol,
            RecordType.BPF_EVENT: self._bpf_event,
        }
        if header.is_pipe:
            self._handlers |= {
                RecordType.ATTR: self._attr,
                RecordType.EVENT_UPDATE: self._event_update,
                RecordType.FEATURE: self._feature,
                RecordType.BUILD_ID: self._build_id,
            }
        self._is_handled = np.array([number in self._handlers for number in range(_UNKNOWN_TYPE + 1)])
        self._use_events(header.events)

    @property
    def records(self) -> dict[str, int]:
        """Name of a record type -> how many there are."""
        names = {int(kind): kind.name for kind in RecordType} | {_UNKNOWN_TYPE: "UNKNOWN"}
        return {names.get(kind, f"TYPE_{kind}"): count for kind, count in enumerate(self._counts.tolist()) if count}

    def problems(self) -> list[str]:
        """What could not be read of the records, in sentences."""
        found = []
        if not self.header.events:
            found.append("no event is described")
        if self._unknown:
            found.append(f"{self._unknown} samples belong to no event that is described")
        if self._short:
            found.append(f"{self._short} samples are shorter than their fields")
        if self._malformed:
            found.append(f"{self._malformed} records other than samples are shorter than their fields")
        return found

    def add(self, reader: RecordReader) -> None:
        """Take in all records of a reader."""
        for block in reader:
            headers = block.words[block.starts]
            kinds = np.minimum(self.header.order.record_type(headers), _UNKNOWN_TYPE).astype(np.intp)
            self._counts += np.bincount(kinds, minlength=len(self._counts))
            for index in np.flatnonzero(self._is_handled[kinds]).tolist():
                self._handle(block, index, int(kinds[index]), headers[index : index + 1])
            if self._selector:
                self._count_samples(self._selector.select(block))
        for kind, count in reader.special.items():
            self._counts[kind] += count
        formats = tracepoint_formats(bytes(reader.tracing))
        self.header = replace(self.header, events=with_tracepoint_names(self.header.events, formats))

    def _handle(self, block: RecordBlock, index: int, kind: int, header: U8) -> None:
        begin = int(block.starts[index]) * WORD_BYTES
        size = int(self.header.order.record_bytes(header)[0])
        misc = int(self.header.order.record_misc(header)[0])
        try:
            self._handlers[kind](block.raw[begin : begin + size], misc, block.first + index)
        except struct.error:
            self._malformed += 1

    def _count_samples(self, selection: Selection) -> None:
        self._unknown += selection.unknown
        self._short += selection.short
        for event, count in enumerate(np.bincount(selection.event).tolist()):
            self.samples[event] += count

    def _use_events(self, events: tuple[Event, ...]) -> None:
        self.header = replace(self.header, events=events)
        self._owners = owners(events)
        self._trailers = [trailer(event) for event in events] or [NO_TRAILER]
        self._selector = SampleSelector(events, self.header.order) if events else None
        self._has_times = has_times(events)
        self._counts_unread = any(ReadFormat.LOST in event.read_format for event in events)

    def _trailer(self, record: memoryview) -> tuple[int, int]:
        """Time in ns of a record that is no sample, 0 if it has none, and the bytes of its trailer."""
        chosen = self._trailers[0]
        if chosen.id_bytes:
            (number,) = self._unpack("Q", record, max(len(record) - chosen.id_bytes, 0))
            chosen = self._trailers[self._owners.get(number, 0)]
        if len(record) < _BODY + chosen.total_bytes:
            raise struct.error("record shorter than its trailer")
        if not chosen.time_bytes:
            return 0, chosen.total_bytes
        (time_ns,) = self._unpack("Q", record, len(record) - chosen.time_bytes)
        return (0 if time_ns == _NO_TIME else time_ns), chosen.total_bytes

    def _comm(self, record: memoryview, _: int, ordinal: int) -> None:
        (_, tid), (time_ns, trailer_bytes) = self._unpack("ii", record), self._trailer(record)
        name = c_string(record[_COMM_NAME : len(record) - trailer_bytes])
        self.tasks.append(TaskRecord(time_ns if self._has_times else ordinal, tid, name=name))

    def _fork(self, record: memoryview, misc: int, ordinal: int) -> None:
        (pid, parent_pid, tid, parent_tid), (time_ns, _) = self._unpack("iiii", record), self._trailer(record)
        clock = time_ns if self._has_times else ordinal
        self.tasks.append(TaskRecord(clock, tid, parent_tid=parent_tid))
        if pid != parent_pid:
            self.process_maps.append(MapRecord(clock, pid, parent_pid=pid if misc & MISC_FORK_EXEC else parent_pid))

    def _mmap(self, record: memoryview, misc: int, ordinal: int) -> None:
        self._mapping(record, misc, ordinal, _MMAP_NAME, runs=not misc & MISC_MMAP_DATA)

    def _mmap2(self, record: memoryview, misc: int, ordinal: int) -> None:
        (protection,) = self._unpack("I", record, _MMAP2_PROTECTION)
        self._mapping(record, misc, ordinal, _MMAP2_NAME, runs=bool(protection & PROT_EXEC))

    def _mapping(self, record: memoryview, misc: int, ordinal: int, name_at: int, *, runs: bool) -> None:
        start, size_bytes, page_offset = self._unpack("QQQ", record, _BODY + WORD_BYTES)
        (time_ns, trailer_bytes) = self._trailer(record)
        path = c_string(record[name_at : len(record) - trailer_bytes])
        if misc & CPU_MODE_MASK == CpuMode.KERNEL:
            self.kernel_mappings.append(kernel_mapping(start, size_bytes, page_offset, path))
        elif misc & CPU_MODE_MASK == CpuMode.USER:
            clock = time_ns if self._has_times else ordinal
            (pid,) = self._unpack("i", record)
            self.process_maps.append(mapped(clock, pid, start, start + size_bytes, path, runs=runs))

    def _ksymbol(self, record: memoryview, _: int, __: int) -> None:
        address, size_bytes, kind, flags = self._unpack("QIHH", record)
        _, trailer_bytes = self._trailer(record)
        name = c_string(record[_KSYMBOL_NAME : len(record) - trailer_bytes])
        symbol = kernel_symbol(address, size_bytes, kind, flags, name)
        if symbol:
            self.kernel_symbols.append(symbol)

    def _bpf_event(self, record: memoryview, _: int, __: int) -> None:
        kind, _, number = self._unpack("HHI", record)
        tag = bytes(record[_BPF_TAG : _BPF_TAG + TAG_BYTES])
        if len(tag) < TAG_BYTES:
            raise struct.error("record shorter than its tag")
        if kind == BPF_PROG_LOAD:
            self.program_tags[number] = tag.hex()

    def _lost(self, record: memoryview, _: int, __: int) -> None:
        (_, lost) = self._unpack("QQ", record)
        self.lost_records += lost

    def _lost_samples(self, record: memoryview, misc: int, _: int) -> None:
        if misc & MISC_LOST_SAMPLES_BPF:
            return
        (lost,), (time_ns, _) = self._unpack("Q", record), self._trailer(record)
        if self._counts_unread and not time_ns:
            self.unread_samples += lost
        else:
            self.lost_samples += lost

    def _attr(self, record: memoryview, _: int, __: int) -> None:
        attr_bytes = self._unpack("II", record)[1] or ATTR_MIN_BYTES
        count = max(len(record) - _BODY - attr_bytes, 0) // WORD_BYTES
        ids = self._unpack(f"{count}Q", record, _BODY + attr_bytes)
        if not ids or not self._owners.keys() & set(ids):
            self._use_events((*self.header.events, parse_attr(record[_BODY:], self.header.order, ids)))

    def _event_update(self, record: memoryview, _: int, __: int) -> None:
        kind, number = self._unpack("QQ", record)
        if kind == EVENT_UPDATE_NAME and number in self._owners:
            index, events = self._owners[number], list(self.header.events)
            events[index] = replace(events[index], name=c_string(record[_UPDATE_NAME:]))
            self._use_events(tuple(events))

    def _feature(self, record: memoryview, _: int, __: int) -> None:
        (number,) = self._unpack("Q", record)
        self.header = with_feature(self.header, number, record[_FEATURE_DATA:])

    def _build_id(self, record: memoryview, _: int, __: int) -> None:
        self.header = with_build_id(self.header, record)

    def _unpack(self, layout: str, record: memoryview, at: int = _BODY) -> tuple[int, ...]:
        return self.header.order.unpack(layout, record, at)
