"""Names of threads over time, from COMM and FORK records.

perf handles records in the order of their times, whatever their order in the file, and so do we. Records that perf made
up for what ran before (time 0) come first. Without times it is the order of the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from offloadbench.kernel.trace.perfdata.byteorder import I4, U8

_UNNAMED = -1
# the idle thread of every CPU; no record names it
_IDLE_TID, _IDLE_NAME = 0, "swapper"


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """A COMM (with `name`) or FORK record (with `parent_tid`).

    Attributes:
        clock: its time in ns, or its number in the file if the recording has no times.
    """

    clock: int
    tid: int
    name: str | None = None
    parent_tid: int = 0


class ThreadNames:
    """Who a thread was at a time.

    Attributes:
        comms: all names; grows by ":tid" (as perf prints it) when a thread is asked for that no record names.
    """

    def __init__(self, records: Iterable[TaskRecord]) -> None:
        self.comms: list[str] = []
        self._index: dict[str, int] = {}
        current = {_IDLE_TID: self._number(_IDLE_NAME)}
        rows = [(_IDLE_TID, 0, current[_IDLE_TID])]
        for record in sorted(records, key=lambda record: record.clock):
            comm = self._number(record.name) if record.name is not None else current.get(record.parent_tid, _UNNAMED)
            if current.get(record.tid) != comm:
                current[record.tid] = comm
                rows.append((record.tid, record.clock, comm))
        rows.sort(key=lambda row: row[0])
        tid, clock, comm_column = zip(*rows, strict=True)
        self._moments = np.unique(np.array(clock, dtype=np.uint64))
        self._tids, self._first_rows, rank = np.unique(
            np.array(tid, dtype=np.int32), return_index=True, return_inverse=True
        )
        self._keys = self._key(rank, np.array(clock, dtype=np.uint64))
        self._rows = np.array(comm_column, dtype=np.int32)

    def _number(self, name: str) -> int:
        number = self._index.setdefault(name, len(self.comms))
        if number == len(self.comms):
            self.comms.append(name)
        return number

    def _key(self, rank: npt.NDArray[np.intp], clock: U8) -> npt.NDArray[np.intp]:
        """One number that sorts by thread, then by time."""
        return rank * (len(self._moments) + 1) + np.searchsorted(self._moments, clock, side="right")

    def comm_at(self, tid: I4, clock: U8) -> I4:
        """Index into `comms` of each thread's name at that time, shape (n,)."""
        rank = np.minimum(np.searchsorted(self._tids, tid), len(self._tids) - 1)
        row = np.searchsorted(self._keys, self._key(rank, clock), side="right") - 1
        # before a thread's first row, the row found is another thread's
        named = (self._tids[rank] == tid) & (row >= self._first_rows[rank])
        comm = np.where(named, self._rows[row], _UNNAMED).astype(np.int32)
        nameless = np.flatnonzero(comm == _UNNAMED)
        if len(nameless):
            tids, inverse = np.unique(tid[nameless], return_inverse=True)
            comm[nameless] = np.array([self._number(f":{number}") for number in tids], dtype=np.int32)[inverse]
        return comm
