"""CPU time of the run's own processes and of all others over a window, read at its two edges."""

from __future__ import annotations

import os
import time

from offloadbench.analysis.profile.attribution import serves_network
from offloadbench.kernel.system import processes
from offloadbench.model import CpuUse

# less is a process that woke up once in a while
_NOTED_S = 0.001


class ProcessWatch:
    """Reads what every process took, before and after; which are the run's own is found out when it is made.

    Two readings take about a millisecond each for 200 processes, both outside the window's seconds.

    Args:
        cpus: the measured ones.
    """

    def __init__(self, run_id: str, cpus: frozenset[int]) -> None:
        self.own = frozenset([os.getpid(), *processes.of_run(run_id)])
        self._cpus = cpus
        self._before: dict[int, float] = {}
        self._opened_s = 0.0

    def open(self) -> None:
        self._opened_s = time.monotonic()
        self._before = processes.cpu_times()

    def close(self) -> CpuUse:
        """What was taken since `open`; a process that has come since took all of its time since."""
        interval_s = time.monotonic() - self._opened_s
        own_s = 0.0
        others: dict[str, float] = {}
        for pid, now_s in processes.cpu_times().items():
            taken_s = now_s - self._before.get(pid, 0.0)
            if taken_s <= 0 or not self._cpus & processes.allowed_cpus(pid):
                continue
            if pid in self.own:
                own_s += taken_s
            elif taken_s > _NOTED_S and not serves_network(comm := processes.name(pid)):
                others[comm] = others.get(comm, 0.0) + taken_s
        return CpuUse(interval_s=interval_s, own_s=own_s, others_s=others)
