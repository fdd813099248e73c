"""Where in the kernel a sender waits, and how long: perf on the scheduler's switches, with kernel call chains.

A thread that gives up its CPU shows by its stack what it waits for (sk_stream_wait_memory: memory in the send buffer).
It needs neither kprobes nor a patched kernel, but root and tracefs, which perf mounts by itself. Each switch costs the
sender an unwound stack.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from offloadbench.base.errors import ProfilerError
from offloadbench.base.units import format_cpulist
from offloadbench.definitions.name_tables import base_name
from offloadbench.files.packed_columns import Columns, pack_waits
from offloadbench.kernel.system import processes
from offloadbench.kernel.trace import kallsyms, perfdata
from offloadbench.kernel.trace.perf import Controlled
from offloadbench.kernel.trace.perfdata import CpuMode
from offloadbench.model import Waits

_EVENT = "sched:sched_switch"
# of prev_state: what lies above says that the thread was preempted, and waits for nothing (include/linux/sched.h,
# TASK_REPORT_MAX)
_SLEEP_STATES = 0xFF
THREADS_MAX = 16
# deeper than any system call's way into a TCP socket
_CHAIN_MAX = 48


class WaitRecorder(Controlled):
    """Switches of some threads between `enable` and `disable`.

    Args:
        threads: thread ids, at most THREADS_MAX.
        folder: for perf's files.

    Raises:
        ProfilerError: a thread is gone, or perf cannot record switches here.
    """

    def __init__(self, threads: Sequence[int], folder: Path, name: str) -> None:
        if not 0 < len(threads) <= THREADS_MAX:
            raise ProfilerError(f"{len(threads)} threads: 1 to {THREADS_MAX} can be watched", "watch another process")
        self.threads = list(threads)
        self._data = folder / f"{name}.waits.data"
        self._cpu_s = 0.0
        arguments = ["record", "-k", "CLOCK_MONOTONIC", "-g", "--kernel-callchains", "-o", str(self._data)]
        # an event a thread: the sample of a switch into a thread carries the id of the one that went
        for thread in threads:
            sleeps = f"(prev_pid == {thread} && prev_state & {_SLEEP_STATES})"
            arguments += ["-e", _EVENT, "--filter", f"{sleeps} || next_pid == {thread}"]
        try:
            cpus = frozenset[int]().union(*(os.sched_getaffinity(thread) for thread in threads))
        except ProcessLookupError as error:
            raise ProfilerError("a thread to watch is gone", "watch a process that runs") from error
        super().__init__([*arguments, "-C", format_cpulist(cpus)], folder, f"{name}.waits")
        self.ready()

    def enable(self) -> None:
        self._cpu_s = processes.cpu_s(self.pid)
        super().enable()

    def disable(self) -> None:
        super().disable()
        self._cpu_s = processes.cpu_s(self.pid) - self._cpu_s

    def result(self, opened_ns: int, window_s: float) -> Waits:
        """End perf and read what it recorded.

        Args:
            opened_ns, window_s: the window on CLOCK_MONOTONIC; waits that began before it are left out.
        """
        data = self.finish_recording(self._data)
        try:
            waits = read(data, self.threads, opened_ns, window_s)
            return msgspec.structs.replace(waits, perf_cpu_s=self._cpu_s)
        finally:
            data.unlink()


def read(data: Path, threads: Sequence[int], opened_ns: int, window_s: float, symbols: str = "") -> Waits:
    """The waits of a recording of switches with an event a thread, in the order of `threads`.

    Args:
        symbols: text of the kernel's /proc/kallsyms; "" for the running one's.
    """
    recording = perfdata.read(data)
    if recording.problem:
        raise ProfilerError(f"the recording is damaged: {recording.problem}", "see `offloadbench doctor`")
    functions = _Functions(symbols or kallsyms.snapshot())
    chains: dict[tuple[str, ...], int] = {}
    switches: list[tuple[int, int, bool, int]] = []
    for batch in recording.batches(chains=True):
        thread = np.array(threads)[batch.event]
        leaves = batch.tid == thread
        assert batch.chains is not None
        offsets, ips, modes = batch.chains.offsets, batch.chains.ip, batch.chains.mode
        for row in range(len(batch.ip)):
            chain = -1
            if leaves[row]:
                part = slice(int(offsets[row]), min(int(offsets[row + 1]), int(offsets[row]) + _CHAIN_MAX))
                names = functions.names(ips[part][modes[part] == CpuMode.KERNEL])
                chain = chains.setdefault(names, len(chains))
            switches.append((int(thread[row]), int(batch.time_ns[row]), bool(leaves[row]), chain))
    rows, unfinished = _paired(switches, opened_ns)
    columns: Columns = {
        "start_us": np.array([(row[0] - opened_ns) // 1000 for row in rows], dtype=np.uint64),
        "duration_us": np.array([row[1] // 1000 for row in rows], dtype=np.uint64),
        "chain": np.array([row[2] for row in rows], dtype=np.uint64),
    }
    return Waits(
        window_s=window_s,
        threads=list(threads),
        chains=[list(chain) for chain in chains],
        rows=len(rows),
        columns=pack_waits(columns),
        unfinished=unfinished,
        lost_switches=recording.total_lost,
        perf_cpu_s=0.0,
    )


def _paired(switches: list[tuple[int, int, bool, int]], opened_ns: int) -> tuple[list[tuple[int, int, int]], int]:
    """Rows (start_ns, duration_ns, chain) by start, and how many waits did not end."""
    rows = []
    left: dict[int, tuple[int, int]] = {}
    for thread, time_ns, leaves, chain in sorted(switches):
        if leaves:
            left[thread] = (time_ns, chain)
        elif thread in left:
            start_ns, waited_in = left.pop(thread)
            if start_ns >= opened_ns:
                rows.append((start_ns, time_ns - start_ns, waited_in))
    return sorted(rows), len(left)


class _Functions:
    """Names of the kernel's functions by address."""

    def __init__(self, symbols: str) -> None:
        rows = sorted((int(line[:16], 16), line[19:].split("\t")[0]) for line in symbols.splitlines())
        self._starts = np.array([row[0] for row in rows], dtype=np.uint64)
        self._names = [base_name(row[1]) for row in rows]

    def names(self, addresses: npt.NDArray[np.uint64]) -> tuple[str, ...]:
        """Functions of a chain whose innermost address comes first, the outermost first."""
        # a return address may lie behind a call that is the last of its function
        index = np.searchsorted(self._starts, addresses - np.uint64(1), side="right") - 1
        return tuple(self._names[at] for at in reversed(index.tolist()) if at >= 0)
