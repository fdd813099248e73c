"""Idle time of CPUs in nanoseconds, where the kernel keeps it.

/proc/stat charges whole ticks to whatever the timer interrupt happens to find, in units of 10 ms. Short bursts
that begin with an interrupt hide from it: on an otherwise idle virtual CPU it showed 4 % where the profiler and
this clock showed 12 %. The nohz code accounts the idle time exactly (kernel/time/tick-sched.c, idle_sleeptime)
and /proc/timer_list prints it, but without the idle period that is still running. A thread that first visits
each CPU ends that period, so that nothing is missing.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Protocol

from offloadbench.kernel import ticks

TIMER_LIST = Path("/proc/timer_list")
_SECTION = re.compile(r"^cpu: (\d+)$|\.idle_sleeptime\s*: (\d+) nsecs", re.MULTILINE)


class IdleClock(Protocol):
    """Reads the idle time of some CPUs.

    Attributes:
        source: where the figure comes from, for the run file.
        quantum_s: its resolution, in seconds.
    """

    source: str
    quantum_s: float

    def idle_s(self, cpus: frozenset[int]) -> float:
        """Sum of the CPUs' idle time since boot, in seconds."""


def parse_timer_list(text: str) -> dict[int, float]:
    """CPU -> idle seconds, from the text of /proc/timer_list; empty where the kernel does not keep them."""
    idle: dict[int, float] = {}
    cpu = -1
    for match in _SECTION.finditer(text):
        if match[1] is not None:
            cpu = int(match[1])
        else:
            idle[cpu] = int(match[2]) * 1e-9
    return idle


class NohzIdleClock:
    """Exact idle time; needs root and CONFIG_NO_HZ."""

    source = "nohz idle_sleeptime (/proc/timer_list), ended on each CPU by a visit"
    quantum_s = 1e-9

    def idle_s(self, cpus: frozenset[int]) -> float:
        home = os.sched_getaffinity(0)
        try:
            for cpu in cpus:
                os.sched_setaffinity(0, {cpu})
        finally:
            os.sched_setaffinity(0, home)
        idle = parse_timer_list(TIMER_LIST.read_text())
        return sum(idle[cpu] for cpu in cpus)


class TickIdleClock:
    """Idle time by the tick, as top(1) shows it."""

    source = "ticks of /proc/stat"
    quantum_s = ticks.QUANTUM_S

    def idle_s(self, cpus: frozenset[int]) -> float:
        return ticks.read(cpus)["cpu_idle_s"]


def best_clock() -> IdleClock:
    """The most precise clock that this machine lets us read."""
    try:
        if any(value > 0 for value in parse_timer_list(TIMER_LIST.read_text()).values()):
            return NohzIdleClock()
    except OSError:
        pass
    return TickIdleClock()
