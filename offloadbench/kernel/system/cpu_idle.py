"""Idle time of CPUs in nanoseconds, where the kernel keeps it.

/proc/stat charges whole ticks to whatever the timer interrupt happens to find, in units of 10 ms. Short bursts
that begin with an interrupt hide from it: on an otherwise idle virtual CPU it showed 4 % where the profiler and
this clock showed 12 %. The nohz code accounts the idle time exactly (kernel/time/tick-sched.c, idle_sleeptime)
and /proc/timer_list prints it, but without the idle period that is still running. A thread that first visits
each CPU ends that period, so that nothing is missing.

While a task of a CPU waits for the disk (io_schedule, nr_iowait > 0), tick_nohz_stop_idle adds the CPU's idle periods
to iowait_sleeptime instead. No instruction runs then either: both are idle time, and the second is also given apart.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from offloadbench.kernel.system import cpu_ticks

TIMER_LIST = Path("/proc/timer_list")
_SECTION = re.compile(r"^cpu: (\d+)$|\.(idle|iowait)_sleeptime\s*: (\d+) nsecs", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class IdleTime:
    """Idle time since boot, in seconds.

    Attributes:
        idle_s: all of it.
        iowait_s: the part in which a task of the CPU waited for the disk.
    """

    idle_s: float
    iowait_s: float


class IdleClock(Protocol):
    """Reads the idle time of some CPUs.

    Attributes:
        source: where the figure comes from, for the run file.
        quantum_s: its resolution, in seconds.
    """

    source: str
    quantum_s: float

    def times(self, cpus: frozenset[int]) -> IdleTime:
        """Sum over the CPUs."""


def parse_timer_list(text: str) -> dict[int, IdleTime]:
    """CPU -> idle time, from the text of /proc/timer_list; empty where the kernel does not keep it."""
    kept: dict[int, dict[str, float]] = {}
    cpu = -1
    for number, kind, nanoseconds in _SECTION.findall(text):
        if number:
            cpu = int(number)
        else:
            kept.setdefault(cpu, {})[kind] = int(nanoseconds) * 1e-9
    return {
        cpu: IdleTime(times["idle"] + times.get("iowait", 0.0), times.get("iowait", 0.0))
        for cpu, times in kept.items()
        if "idle" in times
    }


class NohzIdleClock:
    """Exact idle time; needs root and CONFIG_NO_HZ."""

    source = "nohz idle_sleeptime and iowait_sleeptime (/proc/timer_list), ended on each CPU by a visit"
    quantum_s = 1e-9

    def times(self, cpus: frozenset[int]) -> IdleTime:
        home = os.sched_getaffinity(0)
        try:
            for cpu in cpus:
                os.sched_setaffinity(0, {cpu})
        finally:
            os.sched_setaffinity(0, home)
        times = parse_timer_list(TIMER_LIST.read_text())
        return IdleTime(sum(times[cpu].idle_s for cpu in cpus), sum(times[cpu].iowait_s for cpu in cpus))


class TickIdleClock:
    """Idle time by the tick, as top(1) shows it."""

    source = "ticks of /proc/stat"
    quantum_s = cpu_ticks.QUANTUM_S

    def times(self, cpus: frozenset[int]) -> IdleTime:
        times = cpu_ticks.read(cpus)
        return IdleTime(times["cpu_idle_s"], times["cpu_iowait_s"])


def best_clock() -> IdleClock:
    """The most precise clock that this machine lets us read."""
    try:
        if any(times.idle_s > 0 for times in parse_timer_list(TIMER_LIST.read_text()).values()):
            return NohzIdleClock()
    except OSError:
        pass
    return TickIdleClock()
