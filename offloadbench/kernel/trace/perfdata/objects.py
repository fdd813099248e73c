"""Samples by the object file that they fell into, as `perf report --sort dso` splits them: no symbols are needed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from offloadbench.kernel.trace.perfdata.abi import CpuMode
from offloadbench.kernel.trace.perfdata.byteorder import U8
from offloadbench.kernel.trace.perfdata.ksymbols import KernelSymbol
from offloadbench.kernel.trace.perfdata.mappings import locate
from offloadbench.kernel.trace.perfdata.process_names import UNKNOWN
from offloadbench.kernel.trace.perfdata.recording import Recording
from offloadbench.kernel.trace.perfdata.samples import SampleBatch

# kernel addresses of a recording that does not say where the kernel and its modules lay
KERNEL = "[kernel]"
_ELSEWHERE = {
    CpuMode.HYPERVISOR: "[hypervisor]",
    CpuMode.GUEST_KERNEL: "[guest.kernel]",
    CpuMode.GUEST_USER: "[guest.user]",
}


@dataclass(frozen=True, slots=True)
class ObjectCount:
    """The samples of an event in an object file.

    Attributes:
        event: index into the events of the recording.
        name: `[kernel.kallsyms]`, `[tun]` for a module, the file of a program or library, `[unknown]`.
        weight: sum of periods.
    """

    event: int
    name: str
    samples: int
    weight: int


def by_object(recording: Recording) -> list[ObjectCount]:
    """All samples, by event in the order of the file, and then by weight."""
    made = _Made(recording.kernel_symbols)
    sums: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0])
    for batch in recording.batches():
        names = _names(recording, made, batch)
        levels, number = np.unique(names, return_inverse=True)
        key = batch.event.astype(np.int64) * len(levels) + number
        distinct, place, counts = np.unique(key, return_inverse=True, return_counts=True)
        weights = np.zeros(len(distinct), dtype=np.uint64)
        np.add.at(weights, place, batch.period)
        for at, samples, weight in zip(distinct.tolist(), counts.tolist(), weights.tolist(), strict=True):
            entry = sums[at // len(levels), str(levels[at % len(levels)])]
            entry[0] += samples
            entry[1] += weight
    found = [ObjectCount(event, name, samples, weight) for (event, name), (samples, weight) in sums.items()]
    return sorted(found, key=lambda one: (one.event, -one.weight, one.name))


class _Made:
    """Code that the kernel made while it ran, by address."""

    def __init__(self, symbols: tuple[KernelSymbol, ...]) -> None:
        ordered = sorted(symbols, key=lambda symbol: symbol.start)
        self.names = np.array([symbol.name for symbol in ordered], dtype=object)
        self._starts = np.array([symbol.start for symbol in ordered], dtype=np.uint64)
        self._sizes = np.array([symbol.size_bytes for symbol in ordered], dtype=np.uint64)

    def locate(self, ip: U8) -> npt.NDArray[np.int64]:
        """Index into `names`, shape (n,); -1 for what is none of them."""
        row = np.searchsorted(self._starts, ip, side="right").astype(np.int64) - 1
        inside = np.flatnonzero(row >= 0)
        beyond = inside[ip[inside] - self._starts[row[inside]] >= self._sizes[row[inside]]]
        row[beyond] = -1
        return row


def _names(recording: Recording, made: _Made, batch: SampleBatch) -> npt.NDArray[np.object_]:
    """The object of each sample of a batch."""
    names = np.full(len(batch.ip), UNKNOWN, dtype=object)
    kernel = np.flatnonzero(batch.mode == CpuMode.KERNEL)
    if len(kernel):
        mappings = recording.kernel_mappings
        known = np.array([mapping.name for mapping in mappings] + [UNKNOWN if mappings else KERNEL], dtype=object)
        # `NOT_MAPPED` is the last of them
        found = known[locate(mappings, batch.ip[kernel])]
        at = made.locate(batch.ip[kernel])
        names[kernel] = np.where(at >= 0, made.names[at] if len(made.names) else found, found)
    user = np.flatnonzero(batch.mode == CpuMode.USER)
    if len(user):
        at = recording.maps.locate(batch.pid[user], batch.clock[user], batch.ip[user])
        names[user] = np.array(recording.maps.names, dtype=object)[at]
    for mode, name in _ELSEWHERE.items():
        names[batch.mode == mode] = name
    return names
