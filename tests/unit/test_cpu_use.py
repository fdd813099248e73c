"""CPU time of the run's processes and of others over a window, as the kernel keeps it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from offloadbench.engine.run.cpu_use import ProcessWatch
from offloadbench.kernel.system import cpu_ticks, processes

_BURN = "import time; print(flush=True)\nwhile time.process_time() < 20: pass"
CPUS = frozenset(os.sched_getaffinity(0))


@contextmanager
def _burning(**environment: str) -> Iterator[int]:
    command = [sys.executable, "-I", "-c", _BURN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ) | environment) as child:
        try:
            assert child.stdout is not None and child.stdout.readline()
            yield child.pid
        finally:
            child.kill()


def test_own_processes_are_those_with_the_runs_marker_and_all_others_are_named() -> None:
    with _burning(**{processes.MARKER: "of-this-run"}) as own, _burning() as other:
        watch = ProcessWatch("of-this-run", CPUS)
        assert own in watch.own
        assert other not in watch.own
        before = {pid: processes.cpu_s(pid) for pid in (own, other)}
        watch.open()
        time.sleep(0.3)
        use = watch.close()
        took = {pid: processes.cpu_s(pid) - before[pid] for pid in (own, other)}
        name = processes.name(other)
    # both ran a little before and after the two readings, and this test is one of the run's own
    assert use.own_s > 0.0
    assert use.own_s <= took[own] + processes.cpu_s()
    assert use.others_s[name] > 0.0
    assert use.interval_s >= 0.3
    assert "swapper/0" not in use.others_s


def test_what_may_not_run_on_the_measured_cpus_took_nothing_of_them() -> None:
    with _burning() as other:
        watch = ProcessWatch("none", frozenset({max(CPUS) + 1000}))
        watch.open()
        time.sleep(0.1)
        use = watch.close()
        assert processes.allowed_cpus(other) == CPUS
    assert (use.own_s, use.others_s) == (0.0, {})


def test_a_process_that_is_gone_may_run_nowhere() -> None:
    with _burning() as pid:
        pass
    assert processes.allowed_cpus(pid) == frozenset()
    assert processes.cpu_times().get(pid, 0.0) == 0.0


def test_kernel_threads_have_their_cpu_time_too() -> None:
    (thread,) = processes.named("ksoftirqd/0")
    assert processes.cpu_times()[thread] > 0.0


def test_ticks_give_the_wait_for_the_disk_within_idle_and_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    class Row:
        user, nice, system, softirq, irq, steal = 1.0, 0.5, 2.0, 0.25, 0.25, 0.5
        idle, iowait = 4.0, 3.0

    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: [Row])
    read = cpu_ticks.read(frozenset({0}))
    assert (read["cpu_idle_s"], read["cpu_iowait_s"]) == (7.0, 3.0)
    assert read["cpu_ticks_s"] == 11.5
