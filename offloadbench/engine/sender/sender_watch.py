"""Watch any sender on this machine for a while, without a run."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from offloadbench.base.errors import HostError, Interrupted, TrafficError
from offloadbench.base.signals import uninterrupted
from offloadbench.changes.mounted_tracefs import MountedTracefs
from offloadbench.engine.sender.monitor import MODULE, TITLE, Monitor, Watched
from offloadbench.kernel.system import netns, processes
from offloadbench.kernel.tcp import sock_diag
from offloadbench.kernel.trace import perf, tracefs
from offloadbench.kernel.trace import scheduler_waits as waits
from offloadbench.model import TcpTrace, Waits
from offloadbench.roles.ends import ProcessRole, Role, python_role
from offloadbench.roles.messages import TcpGlance

_GLANCE_S = 1.0

Glances = Sequence[TcpGlance]
Show = Callable[[float, Glances], None]


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What to watch.

    Attributes:
        waits: also record where the sender's threads wait, which needs root and perf.
    """

    watched: Watched
    namespace: str | None = None
    period_us: int = 1000
    duration_s: float = 10.0
    waits: bool = False


@dataclass(frozen=True, slots=True)
class WatchResult:
    """What a watch found.

    Attributes:
        traces: of connections that sent anything, the one that sent most first.
        silent: how many others were watched.
        cpu_busy_ratio: the sender's processes, in CPUs, while they were there; None where they cannot be told.
        problems: what could not be done as asked, as sentences.
    """

    traces: list[TcpTrace]
    silent: int
    waited: Waits | None
    cpu_busy_ratio: float | None
    problems: list[str]
    interrupted: bool


def watch(options: WatchOptions, show: Show, sent_bytes: Callable[[TcpTrace], int]) -> WatchResult:
    """Watch for the duration or until interrupted.

    Args:
        show: told (seconds, last reading of each connection) once a second.
        sent_bytes: of a trace.

    Raises:
        HostError: no such namespace, or no right to enter it.
        TrafficError: no connection matches.
        ProfilerError: waits were asked for and cannot be recorded.
    """
    pids = _senders(options)
    with contextlib.ExitStack() as stack:
        monitor = Monitor(_role(options.namespace), options.watched, period_us=options.period_us)
        stack.callback(monitor.close)
        recorder = stack.enter_context(_recorder(pids)) if options.waits else None
        if recorder:
            recorder.enable()
        used, began_s = _Used(pids), time.monotonic()
        opened_ns = monitor.open()

        def look(t_s: float, glances: Glances) -> None:
            used.look()
            show(t_s, glances)

        interrupted = _look(monitor, options.duration_s, look)
        window_s = time.monotonic() - began_s
        busy_ratio = used.busy_ratio() if pids else None
        if recorder:
            recorder.disable()
        traces = monitor.finish(window_s)
        waited = recorder.result(opened_ns, window_s) if recorder else None
    sending = sorted((trace for trace in traces if sent_bytes(trace)), key=sent_bytes, reverse=True)
    if not sending:
        raise TrafficError(
            f"none of {len(traces)} connections sent anything in {window_s:.0f} s",
            "`ss -tn` lists connections; --namespace looks into another network namespace",
        )
    problems = [monitor.problem] if monitor.problem else []
    return WatchResult(sending, len(traces) - len(sending), waited, busy_ratio, problems, interrupted)


class _Used:
    """CPU time of processes, as long as each of them was there."""

    def __init__(self, pids: list[int]) -> None:
        now_s = time.monotonic()
        self._began = {pid: (now_s, processes.cpu_s(pid)) for pid in pids}
        self._last = dict(self._began)

    def look(self) -> None:
        """Read those that are there; 0 is the time of one that has ended."""
        now_s = time.monotonic()
        read = ((pid, processes.cpu_s(pid)) for pid in self._began)
        self._last |= {pid: (now_s, cpu_s) for pid, cpu_s in read if cpu_s >= self._last[pid][1]}

    def busy_ratio(self) -> float | None:
        """Of a CPU, all processes together; None where none was there long enough to be read twice."""
        self.look()
        ratios = [
            (last_cpu_s - cpu_s) / (last_s - began_s)
            for (began_s, cpu_s), (last_s, last_cpu_s) in zip(self._began.values(), self._last.values(), strict=True)
            if last_s > began_s
        ]
        return sum(ratios) if ratios else None


def _look(monitor: Monitor, duration_s: float, show: Show) -> bool:
    """Wait for the end of the window; whether it was interrupted."""
    began_s = time.monotonic()
    try:
        while (left_s := duration_s - (time.monotonic() - began_s)) > 0:
            time.sleep(min(_GLANCE_S, left_s))
            # an answer cut off would be taken for that to the next order
            with uninterrupted():
                show(time.monotonic() - began_s, monitor.glance())
    except Interrupted:
        return True
    return False


def _role(namespace: str | None) -> Role:
    def start(stdin: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
        with _inside(namespace):
            # a session of its own: Ctrl-C at the terminal ends the window, not the monitor
            return subprocess.Popen(
                python_role(MODULE), stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
            )

    return ProcessRole(TITLE, start)


@contextlib.contextmanager
def _inside(namespace: str | None) -> Iterator[None]:
    if namespace is not None and not netns.exists(namespace):
        raise HostError(f"no network namespace {namespace}", "`ip netns list` names them")
    try:
        with netns.entered(namespace):
            yield
    except PermissionError as error:
        raise HostError(
            f"namespace {namespace}: {error.strerror}", "entering a namespace needs CAP_SYS_ADMIN"
        ) from error


def _senders(options: WatchOptions) -> list[int]:
    """Processes that hold the connections that are there now."""
    chosen = options.watched
    remote = (chosen.remote_address, chosen.remote_port) if chosen.remote_address else None
    with _inside(options.namespace):
        found = sock_diag.matching(sock_diag.connections(), chosen.local_port, remote)
    return sorted({pid for one in found[: chosen.connections_max] for pid in processes.holding_socket(one.inode)})


@contextlib.contextmanager
def _recorder(pids: list[int]) -> Iterator[waits.WaitRecorder]:
    """A recorder on the senders' threads; tracefs is left as it was found."""
    perf.require()
    threads = [thread for pid in pids for thread in processes.threads(pid)]
    mounted = tracefs.tracefs_mounted()
    try:
        with tempfile.TemporaryDirectory(prefix="offloadbench-") as folder:
            recorder = waits.WaitRecorder(threads[: waits.THREADS_MAX], Path(folder), "watch")
            try:
                yield recorder
            finally:
                recorder.close()
    finally:
        if not mounted:
            MountedTracefs().undo(lambda _: None)
