"""Processes: the run's own, found by a marker in their environment, and what is told of any.

Standard library only: roles at a load host use this too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

MARKER = "OFFLOADBENCH_RUN"


def folder_of_run(run_id: str) -> Path:
    """Where a run keeps its temporary files; journalled, so that what a killed process leaves there goes with it."""
    return Path(tempfile.gettempdir()) / f"offloadbench-{run_id}"


def _mark(run_id: str) -> bytes:
    return f"{MARKER}={run_id}".encode()


def _environment(pid: int) -> list[bytes]:
    """A process's environment as it was started; empty for one that has ended or is not ours to look at."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def of_run(run_id: str) -> list[int]:
    """Pids, other than our own, that carry the run's marker."""
    wanted = _mark(run_id)
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        if wanted in _environment(int(folder.name)):
            found.append(int(folder.name))
    return found


def end_of_run(run_id: str, grace_s: float = 12.0) -> list[str]:
    """End every process of the run: SIGTERM to those that no other one keeps, SIGKILL by pid after the grace.

    A role ends what it keeps (tgtd, iscsid) in order, which may take it a logout.

    Returns:
        What was ended.
    """
    told: dict[tuple[int, int], str] = {}
    wanted = _mark(run_id)
    deadline = time.monotonic() + grace_s
    while (left := of_run(run_id)) and time.monotonic() < deadline:
        for pid in left:
            called, one = name(pid), (pid, _started(pid))
            if one not in told and _parent(pid) not in left and _signal(pid, signal.SIGTERM, wanted):
                told[one] = f"{called} (pid {pid})"
        time.sleep(0.05)
    for pid in left:
        _signal(pid, signal.SIGKILL, wanted)
    while of_run(run_id) and time.monotonic() < deadline + grace_s:
        time.sleep(0.05)
    return list(told.values())


def end(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """End a child: close its input where we hold it, then SIGTERM, then SIGKILL, each with this time to work."""
    numbers = [int(signal.SIGTERM), int(signal.SIGKILL)]
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
        # signal 0 does nothing: a closed input asks enough
        numbers.insert(0, 0)
    for number in numbers:
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
            return


def _parent(pid: int) -> int:
    """Pid of the parent (proc_pid_stat(5); the name before it may hold anything); 0 for a process that has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _started(pid: int) -> int:
    """When a process was started, in clock ticks since the machine was (field 22 of proc_pid_stat(5)); 0 for none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0


def _signal(pid: int, number: signal.Signals, wanted: bytes) -> bool:
    """False where the process has ended, whose number may be another's by now."""
    with contextlib.ExitStack() as closing:
        try:
            # Linux 5.3 and Python 3.9; a load host may have neither
            handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1
        except ProcessLookupError:
            return False
        except OSError:
            handle = -1
        if handle >= 0:
            closing.callback(os.close, handle)
        started = _started(pid)
        if wanted not in _environment(pid):
            return False
        try:
            if handle >= 0:
                signal.pidfd_send_signal(handle, number)
            elif _started(pid) == started:
                os.kill(pid, number)
        except ProcessLookupError:
            return False
    return True


def holding_socket(inode: int) -> list[int]:
    """Pids that have this socket open, as far as we may look; a socket of the kernel's own has none."""
    wanted = f"socket:[{inode}]"
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if any(str(link.readlink()) == wanted for link in (folder / "fd").iterdir()):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def name(pid: int) -> str:
    """A process's name as the kernel has it, cut to 15 characters; empty for one that has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def named(wanted: str) -> list[int]:
    """Pids of the processes of this name."""
    found = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    return sorted(pid for pid in found if name(pid) == wanted)


def threads(pid: int) -> list[int]:
    """The threads that a process has now; none if it is gone."""
    try:
        return sorted(int(folder.name) for folder in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def waits_in(thread: int) -> str:
    """The kernel function that a thread sleeps in (proc_pid_wchan(5)); empty where it runs, or it cannot be seen."""
    try:
        name = Path(f"/proc/{thread}/wchan").read_text().strip()
    except OSError:
        return ""
    return "" if name == "0" else name


def cpu_times() -> dict[int, float]:
    """Pid -> CPU seconds so far, of every process and kernel thread."""
    pids = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    return {pid: cpu_s(pid) for pid in pids}


def allowed_cpus(pid: int) -> frozenset[int]:
    """The CPUs that a process's first thread may run on; none if it is gone."""
    try:
        return frozenset(os.sched_getaffinity(pid))
    except OSError:
        return frozenset()


def cpu_s(pid: int | None = None) -> float:
    """CPU seconds of a process so far, all threads, to the nanosecond; our own for None, 0 for one that has ended.

    The clock of another process is MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) of include/linux/posix-timers.h.
    """
    if pid is None:
        return time.process_time()
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0
