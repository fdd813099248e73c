"""What lay where in the memory of processes over time: MMAP and MMAP2 records of user code, and FORK records.

As perf does it: a child begins with its parent's mappings, and a later mapping hides what it covers of earlier ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from offloadbench.kernel.trace.perfdata.byteorder import I4, U8

UNKNOWN = "[unknown]"
Names = npt.NDArray[np.int64]
# what has no file: is_anon_memory() and is_no_dso_memory() of tools/perf/util/map.c
_NAMELESS = ("//anon", "/dev/zero", "/anon_hugepage", "[stack", "/SYSV", "[heap]")
# a child of a child of a child: as many generations are followed
_GENERATIONS = 64
_EVER = 2**64 - 1


@dataclass(frozen=True, slots=True)
class MapRecord:
    """A mapping (with `name`), or a process that begins with the mappings of its parent.

    Attributes:
        clock: its time in ns, or its number in the file if the recording has no times.
        name: as perf shows it: the file without its folders, `[vdso]`, `[JIT] tid 7` for code in memory of no file.
    """

    clock: int
    pid: int
    start: int = 0
    end: int = 0
    name: str | None = None
    parent_pid: int = 0


def mapped(clock: int, pid: int, start: int, end: int, path: str, *, runs: bool) -> MapRecord:
    """A mapping from the fields of its record."""
    name = path.rpartition("/")[2] or path
    if path.startswith(_NAMELESS):
        name = f"[JIT] tid {pid}" if runs else path
    return MapRecord(clock, pid, start, min(end, _EVER), name)


class ProcessMaps:
    """Which file the code of a process was from, at a time.

    Attributes:
        names: all names; the first is `[unknown]`.
    """

    def __init__(self, records: Iterable[MapRecord]) -> None:
        self.names = [UNKNOWN]
        self._numbers = {UNKNOWN: 0}
        self._maps: dict[int, list[MapRecord]] = defaultdict(list)
        self._begins: dict[int, list[MapRecord]] = defaultdict(list)
        self._states: dict[tuple[int, int], list[MapRecord]] = {}
        for record in sorted(records, key=lambda record: record.clock):
            if record.name is None:
                self._begins[record.pid].append(record)
            else:
                self._maps[record.pid].append(record)

    def locate(self, pid: I4, clock: U8, ip: U8) -> Names:
        """Index into `names` of what each address belonged to in its process at that time, shape (n,)."""
        found = np.zeros(len(ip), dtype=np.int64)
        order = np.lexsort((ip, pid))
        pids, firsts = np.unique(pid[order], return_index=True)
        for number, rows in zip(pids.tolist(), np.split(order, firsts[1:]), strict=True):
            found[rows] = self._of_process(number, clock[rows], ip[rows])
        return found

    def _of_process(self, pid: int, clock: U8, ip: U8) -> Names:
        """The same for one process; `ip` ascends."""
        found = np.zeros(len(ip), dtype=np.int64)
        begins = [record.clock for record in self._begins.get(pid, ())]
        lives = np.searchsorted(np.array(begins, dtype=np.uint64), clock, side="right")
        for life in np.unique(lives).tolist():
            until = begins[life] - 1 if life < len(begins) else _EVER
            records = self._state(pid, until, 0)
            starts = np.array([record.start for record in records], dtype=np.uint64)
            ends = np.array([record.end for record in records], dtype=np.uint64)
            lows, highs = np.searchsorted(ip, starts), np.searchsorted(ip, ends)
            for at in np.flatnonzero(highs > lows).tolist():
                inside = slice(lows[at], highs[at])
                seen = (lives[inside] == life) & (clock[inside] >= np.uint64(records[at].clock))
                found[inside][seen] = self._number(records[at].name or UNKNOWN)
        return found

    def _state(self, pid: int, until: int, generation: int) -> list[MapRecord]:
        """Mappings of a process at a time, those of its parents first, the oldest first."""
        state = self._states.get((pid, until))
        if state is None:
            state = self._states[pid, until] = self._found_state(pid, until, generation)
        return state

    def _found_state(self, pid: int, until: int, generation: int) -> list[MapRecord]:
        begins = [record for record in self._begins.get(pid, ()) if record.clock <= until]
        since = begins[-1].clock if begins else 0
        inherited: list[MapRecord] = []
        if begins and generation < _GENERATIONS and begins[-1].parent_pid != pid:
            inherited = self._state(begins[-1].parent_pid, since, generation + 1)
        return inherited + [record for record in self._maps.get(pid, ()) if since <= record.clock <= until]

    def _number(self, name: str) -> int:
        number = self._numbers.setdefault(name, len(self.names))
        if number == len(self.names):
            self.names.append(name)
        return number
