"""SAMPLE records as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offloadbench.kernel.trace.perfdata.abi import CPU_MODE_MASK, SampleField
from offloadbench.kernel.trace.perfdata.byteorder import I2, I4, U1, U8, ByteOrder
from offloadbench.kernel.trace.perfdata.chains import ChainReader, Chains
from offloadbench.kernel.trace.perfdata.layout import sample_layout
from offloadbench.kernel.trace.perfdata.sampled_events import Event, has_times
from offloadbench.kernel.trace.perfdata.selection import Selection
from offloadbench.kernel.trace.perfdata.selector import SampleSelector
from offloadbench.kernel.trace.perfdata.stream import RecordBlock
from offloadbench.kernel.trace.perfdata.threads import ThreadNames

# both 32-bit fields -1
_MINUS_ONES = np.uint64(2**64 - 1)
_ZERO = np.uint64(0)


@dataclass(frozen=True, slots=True)
class SampleBatch:
    """Samples in the order of the file, which is not the order of their times; columns of shape (samples,).

    Attributes:
        ip: address of the instruction.
        mode: `abi.CpuMode` of the record, never guessed from the address.
        pid, tid: process and thread; -1 where samples carry none.
        cpu: -1 where samples carry none.
        time_ns: on the clock of the recording; 0 where samples carry none.
        clock: what orders samples and the records about threads and mappings: the time, or the number of the record.
        period: weight of the sample, in occurrences of its event.
        event: index into the events of the recording.
        comm: index into the comms of the recording: the thread's name when the sample was taken.
        chains: call chains if they were asked for.
    """

    ip: U8
    mode: U1
    pid: I4
    tid: I4
    cpu: I4
    time_ns: U8
    clock: U8
    period: U8
    event: I2
    comm: I4
    chains: Chains | None


class BatchReader:
    """Reads the samples of some events out of blocks; there must be at least one event."""

    def __init__(self, events: Sequence[Event], order: ByteOrder, threads: ThreadNames, *, chains: bool) -> None:
        layouts = [sample_layout(event) for event in events]
        self._order = order
        self._threads = threads
        self._has_times = has_times(events)
        self._selector = SampleSelector(events, order)
        self._chains = ChainReader(layouts) if chains else None
        self._periods = np.array([event.sample_period for event in events], dtype=np.uint64)
        # word 0 is the record header: the event does not have the field
        self._words_of = {
            field: np.array([layout.fields.get(field, 0) for layout in layouts], dtype=np.int64)
            for field in (SampleField.IP, SampleField.TID, SampleField.TIME, SampleField.CPU, SampleField.PERIOD)
        }

    def read(self, block: RecordBlock) -> SampleBatch:
        """The readable samples of a block."""
        chosen = self._selector.select(block)
        words, order = block.words, self._order
        mode = (order.record_misc(chosen.headers) & np.uint64(CPU_MODE_MASK)).astype(np.uint8)
        pid, tid = order.halves(self._field(words, chosen, SampleField.TID, _MINUS_ONES))
        cpu, _ = order.halves(self._field(words, chosen, SampleField.CPU, _MINUS_ONES))
        time_ns = self._field(words, chosen, SampleField.TIME, _ZERO)
        clock = time_ns if self._has_times else chosen.ordinals.astype(np.uint64)
        period = self._field(words, chosen, SampleField.PERIOD, self._periods[chosen.layout])
        return SampleBatch(
            ip=self._field(words, chosen, SampleField.IP, _ZERO),
            mode=mode,
            pid=pid,
            tid=tid,
            cpu=cpu,
            time_ns=time_ns,
            clock=clock,
            period=period if chosen.grown is None else np.where(chosen.grown > 0, chosen.grown, period),
            event=chosen.event.astype(np.int16),
            comm=self._threads.comm_at(tid, clock),
            chains=self._chains.read(words, chosen, mode) if self._chains else None,
        )

    def _field(self, words: U8, chosen: Selection, field: SampleField, missing: np.uint64 | U8) -> U8:
        """One word of each sample, or `missing` where its event does not have the field."""
        words_of = self._words_of[field]
        if words_of.all() and (words_of == words_of[0]).all():
            found: U8 = words[chosen.starts + words_of[0]]
            return found
        at = words_of[chosen.layout]
        return np.where(at > 0, words[chosen.starts + at], missing)
