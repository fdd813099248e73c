"""The events of a recording: struct perf_event_attr (perf_event_open(2)) with its ids and its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from offloadbench.kernel.trace.perfdata.abi import ReadFormat, SampleField
from offloadbench.kernel.trace.perfdata.byteorder import ByteOrder
from offloadbench.kernel.trace.perfdata.tracing import TracepointFormat

# PERF_ATTR_SIZE_VER0: no attr is smaller
ATTR_MIN_BYTES = 64
_TYPE_HARDWARE, _TYPE_SOFTWARE, TYPE_TRACEPOINT, _TYPE_RAW = 0, 1, 2, 4
# perf's own names (tools/perf/util/evsel.c), for files that carry none
_HARDWARE = ("cycles", "instructions", "cache-references", "cache-misses", "branches", "branch-misses", "bus-cycles",
             "stalled-cycles-frontend", "stalled-cycles-backend", "ref-cycles")  # fmt: skip
_SOFTWARE = ("cpu-clock", "task-clock", "page-faults", "context-switches", "cpu-migrations", "minor-faults",
             "major-faults", "alignment-faults", "emulation-faults", "dummy", "bpf-output",
             "cgroup-switches")  # fmt: skip
# positions of bit fields in perf_event_attr
_INHERIT, _EXCLUDE_USER, _EXCLUDE_KERNEL, _EXCLUDE_HV, _FREQ, _PRECISE_IP = 1, 4, 5, 6, 10, 15
_SAMPLE_ID_ALL, _EXCLUDE_HOST, _EXCLUDE_GUEST = 18, 19, 20


@dataclass(frozen=True, slots=True)
class Event:
    """An event that was recorded.

    Attributes:
        name: as perf names it in the file, or as perf would name it from the attr.
        type, config: PERF_TYPE_* and what it selects.
        sample_period: occurrences from sample to sample, or samples a second if `by_frequency`.
        inherit: threads and processes that begin later are counted as well, each by a counter of its own.
        sample_id_all: records that are no samples end with their thread, time and id as well.
        ids: what its samples call it; one for each CPU or thread it was opened on.
    """

    name: str
    type: int
    config: int
    sample_period: int
    by_frequency: bool
    sample_type: SampleField
    read_format: ReadFormat
    inherit: bool
    sample_id_all: bool
    ids: tuple[int, ...]


def parse_attr(data: bytes | memoryview, order: ByteOrder, ids: tuple[int, ...]) -> Event:
    """An event from its attr of any size.

    Raises:
        struct.error: `data` is shorter than the fields that are needed.
    """
    kind, _, config, period, sample_type, read_format, word = order.unpack("IIQQQQQ", data)
    flags = order.flags(word)
    return Event(
        name=_default_name(kind, config, flags),
        type=kind,
        config=config,
        sample_period=period,
        by_frequency=_bit(flags, _FREQ),
        sample_type=SampleField(sample_type),
        read_format=ReadFormat(read_format),
        inherit=_bit(flags, _INHERIT),
        sample_id_all=_bit(flags, _SAMPLE_ID_ALL),
        ids=ids,
    )


def _bit(flags: int, position: int) -> bool:
    return bool(flags >> position & 1)


def _default_name(kind: int, config: int, flags: int) -> str:
    names = {_TYPE_HARDWARE: _HARDWARE, _TYPE_SOFTWARE: _SOFTWARE}.get(kind, ())
    if config < len(names):
        name = names[config]
    elif kind == _TYPE_RAW:
        name = f"raw {config:#x}"
    else:
        name = _unnamed(kind, f"{config:#x}")
    return name + _modifiers(flags)


def _unnamed(kind: int, config: str) -> str:
    return f"type {kind} config {config}"


def _modifiers(flags: int) -> str:
    """The letters behind the colon, by the rules of evsel__add_modifiers()."""
    excluded = [_bit(flags, position) for position in (_EXCLUDE_KERNEL, _EXCLUDE_USER, _EXCLUDE_HV)]
    precise = flags >> _PRECISE_IP & 3
    letters = ""
    if any(excluded):
        letters += "".join(letter for letter, out in zip("kuh", excluded, strict=True) if not out)
    letters += "p" * precise
    if _bit(flags, _EXCLUDE_HOST) or _bit(flags, _EXCLUDE_GUEST) == bool(any(excluded) or precise):
        letters += "" if _bit(flags, _EXCLUDE_HOST) else "H"
        letters += "" if _bit(flags, _EXCLUDE_GUEST) else "G"
    return f":{letters}" if letters else ""


def with_tracepoint_names(events: Sequence[Event], formats: Mapping[int, TracepointFormat]) -> tuple[Event, ...]:
    """The events, nameless tracepoints by the names in these formats (number -> format)."""
    nameless = _unnamed(TYPE_TRACEPOINT, "")
    return tuple(
        replace(event, name=formats[event.config].name)
        if event.config in formats and event.name.startswith(nameless)
        else event
        for event in events
    )


def owners(events: Sequence[Event]) -> dict[int, int]:
    """Sample id -> index of the event."""
    return {number: index for index, event in enumerate(events) for number in event.ids}


def has_times(events: Sequence[Event]) -> bool:
    """Whether every record carries its time, so that records can be put in order."""
    return all(event.sample_id_all and SampleField.TIME in event.sample_type for event in events)
