"""CPU time by kind, as the timer tick charges it (psutil over /proc/stat)."""

from __future__ import annotations

import os

import psutil

QUANTUM_S = 1.0 / os.sysconf("SC_CLK_TCK")


def read(cpus: frozenset[int]) -> dict[str, float]:
    """Seconds since boot, summed over the CPUs: user, system, softirq, irq, idle (with iowait), iowait, steal, total.

    Guest time is already inside user. Divide by the total's difference, not by wall time: ticks get lost.
    """
    rows = psutil.cpu_times(percpu=True)
    chosen = [rows[cpu] for cpu in sorted(cpus)]
    values = {
        "cpu_user_s": sum(row.user + row.nice for row in chosen),
        "cpu_system_s": sum(row.system for row in chosen),
        "cpu_softirq_s": sum(row.softirq for row in chosen),
        "cpu_irq_s": sum(row.irq for row in chosen),
        "cpu_idle_s": sum(row.idle + row.iowait for row in chosen),
        "cpu_steal_s": sum(row.steal for row in chosen),
    }
    iowait_s = sum(row.iowait for row in chosen)
    return values | {"cpu_ticks_s": sum(values.values()), "cpu_iowait_s": iowait_s}
