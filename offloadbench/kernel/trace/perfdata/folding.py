"""Samples folded into counts: what a run file keeps of a recording."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from offloadbench.base.errors import ProfilerError
from offloadbench.files.packed_columns import NO_CPU, Columns, pack_chains, pack_profile
from offloadbench.kernel.trace.perfdata.abi import MODE_LETTERS, CpuMode, RecordType
from offloadbench.kernel.trace.perfdata.byteorder import I4, I8, U8
from offloadbench.kernel.trace.perfdata.recording import Recording
from offloadbench.kernel.trace.perfdata.samples import SampleBatch
from offloadbench.model import ProfileCounts, ProfileEvent

# rows of batches are put together once there are this many, or as many as there are rows already
_MERGE_ROWS = 1 << 18
# of the word that holds everything but the address; whether a process is the run's own, and its name, have what is left
_CPU_BITS, _SECOND_BITS, _EVENT_BITS, _MODE_BITS = 16, 16, 8, 3
_EVENTS_MAX = 1 << _EVENT_BITS
# a run file keeps CPU, second and process in 16 bits
_NUMBER_MAX = (1 << 16) - 1
_NOT_ASKED, _LEFT_OUT = -2, -1
# modes whose addresses symbols of this kernel can name
_NAMED = np.array(
    [mode not in (CpuMode.USER, CpuMode.GUEST_KERNEL, CpuMode.GUEST_USER) for mode in range(1 << _MODE_BITS)]
)
# any odd numbers whose bits are well mixed
_ODD = tuple(np.uint64(odd) for odd in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Distinct (address, rest, chain), sorted, with the count and the weight of their samples; shape (rows,) each."""

    address: U8
    rest: U8
    chain: U8
    count: U8
    weight: U8

    def __len__(self) -> int:
        return len(self.address)

    def where(self, chosen: npt.NDArray[np.bool_]) -> _Rows:
        """Some of the rows."""
        return _Rows(*(getattr(self, name)[chosen] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is folded.

    Attributes:
        events: those that the counts name.
        asked: for each event of the recording its index in `events`; `_NOT_ASKED`, or `_LEFT_OUT`.
        window_s: 0 puts every sample in second 0.
        anybodys: the recording is not a run's: samples that carry no CPU are taken, as of `NO_CPU`, and what no symbol
            of the kernel can name (user mode, guests) is taken at address 0, which leaves a fraction of the rows.
        own: pids of the run's own processes; empty where nobody knows.
    """

    events: list[ProfileEvent]
    asked: I8
    window_start_s: float
    window_s: float
    functions: U8 | None
    anybodys: bool
    own: frozenset[int]


def fold(
    recording: Recording,
    events: Sequence[ProfileEvent],
    window_start_s: float,
    window_s: float,
    functions: U8 | None = None,
    *,
    own: frozenset[int] = frozenset(),
) -> ProfileCounts:
    """Count samples by (address, mode letter, process name, CPU, second of the window, event), and by their callers.

    Samples outside the window are left out, and counted as `outside_window`.

    Args:
        events: what was asked for; an event of the recording is matched by its name without modifiers and terms.
        window_start_s: on the clock of the recording.
        functions: sorted start addresses of the kernel's functions: call chains are kept, as functions; None leaves
            them out.
        own: pids of the run's own processes: a name that others bear too is theirs apart. Empty where nobody knows.

    Raises:
        ProfilerError: samples of an event that was not asked for, or without a CPU; more than 65536 process names.
    """
    asked = _asked(recording, events)
    return _fold(recording, _Wanted(list(events), asked, window_start_s, window_s, functions, False, own))


def fold_all(recording: Recording, events: Sequence[ProfileEvent], functions: U8 | None = None) -> list[ProfileCounts]:
    """All samples of anybody's recording, counted as `fold` does, but in one second and whatever their event and CPU.

    Addresses of user mode and of guests are 0.

    Args:
        events: one for each event of the recording, in its order.
        functions: as of `fold`.

    Returns:
        As many as it takes, since one holds 256 events; events without samples are in none.

    Raises:
        ProfilerError: more than 65536 process names.
    """
    sampled = [index for index, count in enumerate(recording.samples) if count]
    found = []
    for first in range(0, len(sampled), _EVENTS_MAX):
        chosen = sampled[first : first + _EVENTS_MAX]
        asked = np.full(len(events), _LEFT_OUT, dtype=np.int64)
        asked[chosen] = np.arange(len(chosen))
        named = [events[index] for index in chosen]
        found.append(_fold(recording, _Wanted(named, asked, 0.0, 0.0, functions, True, frozenset())))
    return found


def _fold(recording: Recording, wanted: _Wanted) -> ProfileCounts:
    callers = _Callers(wanted.functions) if wanted.functions is not None else None
    mine = np.array(sorted(wanted.own), dtype=np.int32)
    parts: list[_Rows] = []
    pending = merged = outside = 0
    for batch in recording.batches(chains=callers is not None):
        event = wanted.asked[batch.event]
        if (event == _NOT_ASKED).any():
            name = recording.header.events[int(batch.event[event.argmin()])].name
            raise ProfilerError(f"perf recorded {name!r}, which was not asked for", "report this as a bug")
        cpu = batch.cpu
        # as an unsigned number, that of samples without a CPU is larger than any CPU's
        if (cpu.view(np.uint32) >= NO_CPU).any():
            if not wanted.anybodys:
                raise ProfilerError(f"{recording.path}: samples without a CPU", "record with -a, -C or --sample-cpu")
            cpu = np.where(cpu.view(np.uint32) >= NO_CPU, NO_CPU, cpu)
        kept, second = event >= 0, None
        if wanted.window_s:
            t_s = batch.time_ns * 1e-9 - wanted.window_start_s
            inside = (t_s >= 0) & (t_s <= wanted.window_s)
            outside += len(t_s) - int(np.count_nonzero(inside))
            second = np.clip(t_s, 0.0, min(max(wanted.window_s - 1e-9, 0.0), _NUMBER_MAX)).astype(np.uint64)
            kept &= inside
        chain = callers.number(batch) if callers else None
        own = np.isin(batch.pid, mine) if len(mine) else None
        address = np.where(_NAMED[batch.mode], batch.ip, np.uint64(0)) if wanted.anybodys else batch.ip
        parts.append(_fold_batch(batch, kept, _Labels(address, event, cpu, second, chain, own)))
        pending += len(parts[-1])
        if pending > max(_MERGE_ROWS, merged):
            parts = [_sum_equal(_joined(parts), _scattered)]
            pending, merged = 0, len(parts[0])
    chains = callers.chains if callers else []
    rows = _sum_equal(_joined(parts), _sorted)
    return _counts(recording, wanted.events, rows, outside, chains, told=bool(wanted.own))


class _Callers:
    """Numbers the distinct chains of calling kernel functions in the order in which they come."""

    def __init__(self, functions: U8) -> None:
        self._functions = functions
        self._numbers: dict[bytes, int] = {}

    @property
    def chains(self) -> list[list[int]]:
        """Start addresses of the functions of each chain, the nearest caller first."""
        return [np.frombuffer(chain, dtype=np.uint64).tolist() for chain in self._numbers]

    def number(self, batch: SampleBatch) -> U8:
        """The number of each sample's chain, shape (samples,)."""
        chains = batch.chains
        assert chains is not None
        # a return address may lie behind a call that is the last of its function
        index = np.searchsorted(self._functions, chains.ip - np.uint64(1), side="right") - 1
        kernel = (chains.mode == CpuMode.KERNEL) & (index >= 0)
        starts = self._functions[np.maximum(index, 0)]
        # the innermost entry is the sampled address itself
        kernel[chains.offsets[:-1][chains.offsets[:-1] < chains.offsets[1:]]] = False
        kept = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(kernel)])[chains.offsets]
        starts = starts[kernel]
        numbers = self._numbers
        return np.array(
            [
                numbers.setdefault(starts[begin:end].tobytes(), len(numbers))
                for begin, end in zip(kept[:-1].tolist(), kept[1:].tolist(), strict=True)
            ],
            dtype=np.uint64,
        )


def _asked(recording: Recording, events: Sequence[ProfileEvent]) -> I8:
    """For each event of the recording the index of the one that was asked for; `_NOT_ASKED` if none was.

    Names are like `cpu-clock`, `cycles:pp`, `instructions/period=2000003/`, `cpu_core/instructions/`.
    """
    indexes = {event.name: index for index, event in enumerate(events)}
    found = [
        next((index for name, index in indexes.items() if name in re.split("[/:]", event.name)), _NOT_ASKED)
        for event in recording.header.events
    ]
    return np.array(found, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class _Labels:
    """What a batch says otherwise than it is stored, shape (samples,) each; None where it is 0 for all."""

    address: U8
    event: I8
    cpu: I4
    second: U8 | None
    chain: U8 | None
    own: npt.NDArray[np.bool_] | None


def _fold_batch(batch: SampleBatch, kept: npt.NDArray[np.bool_], labels: _Labels) -> _Rows:
    """The samples that are kept, equal ones put together as far as `_scattered` brings them together."""
    rest = batch.comm.astype(np.uint64)
    for column, bits in (
        (labels.own, 1),
        (labels.cpu, _CPU_BITS),
        (labels.second, _SECOND_BITS),
        (labels.event, _EVENT_BITS),
        (batch.mode, _MODE_BITS),
    ):
        rest <<= np.uint64(bits)
        if column is not None:
            rest |= column.astype(np.uint64)
    chain = np.zeros(len(rest), dtype=np.uint64) if labels.chain is None else labels.chain
    rows = _Rows(labels.address, rest, chain, np.ones(len(rest), dtype=np.uint64), batch.period)
    return _sum_equal(rows if kept.all() else rows.where(kept), _scattered)


def _joined(parts: Sequence[_Rows]) -> _Rows:
    empty = np.zeros(0, dtype=np.uint64)
    return _Rows(*(np.concatenate([empty, *(getattr(part, name) for part in parts)]) for name in _Rows.__slots__))


def _scattered(rows: _Rows) -> npt.NDArray[np.intp]:
    """An order that brings rows of equal address, rest and chain together, but for those whose numbers coincide.

    Sorting one number is seven times as fast as sorting by the three; what stays apart is put together in the end.
    """
    mixed = rows.address * _ODD[0] ^ rows.rest * _ODD[1] ^ rows.chain * _ODD[2]
    return np.argsort(mixed)


def _sorted(rows: _Rows) -> npt.NDArray[np.intp]:
    """The order by address, rest and chain."""
    return np.lexsort((rows.rest, rows.address) if not rows.chain.any() else (rows.chain, rows.rest, rows.address))


def _sum_equal(rows: _Rows, ordered: Callable[[_Rows], npt.NDArray[np.intp]]) -> _Rows:
    """Rows of equal address, rest and chain put together, where an order brings them together."""
    if not len(rows):
        return rows
    order = ordered(rows)
    address, rest, chain = rows.address[order], rows.rest[order], rows.chain[order]
    differs = (address[1:] != address[:-1]) | (rest[1:] != rest[:-1]) | (chain[1:] != chain[:-1])
    begins = np.flatnonzero(differs) + 1
    begins = np.concatenate([np.zeros(1, dtype=np.int64), begins])
    count, weight = (np.add.reduceat(column[order], begins) for column in (rows.count, rows.weight))
    return _Rows(address[begins], rest[begins], chain[begins], count, weight)


def _counts(
    recording: Recording, events: list[ProfileEvent], rows: _Rows, outside: int, chains: list[list[int]], *, told: bool
) -> ProfileCounts:
    """`told`: whether it is known which processes are the run's own."""
    columns: Columns = {"address": rows.address, "count": rows.count, "weight": rows.weight}
    if chains:
        columns["chain"] = rows.chain
    rest = rows.rest
    for name, bits in (("mode", _MODE_BITS), ("event", _EVENT_BITS), ("second", _SECOND_BITS), ("cpu", _CPU_BITS)):
        columns[name] = rest & np.uint64((1 << bits) - 1)
        rest = rest >> np.uint64(bits)
    used, columns["process"] = np.unique(rest, return_inverse=True)
    if len(used) > _NUMBER_MAX + 1:
        raise ProfilerError(f"{recording.path}: {len(used)} process names", "record for a shorter time")
    columns["mode"] = np.array(list(MODE_LETTERS), dtype="S1")[columns["mode"]]
    return ProfileCounts(
        events=events,
        comms=[recording.comms[number >> 1] for number in used.tolist()],
        own=[bool(number & 1) for number in used.tolist()] if told else [],
        rows=len(rows),
        columns=pack_profile(columns),
        samples=int(rows.count.sum()),
        lost_samples=recording.total_lost,
        throttled=recording.records.get(RecordType.THROTTLE.name, 0),
        outside_window=outside,
        chains=pack_chains(chains) if chains else "",
        chain_count=len(chains),
    )
