"""The sender's own account of a trial's window: its TCP state at 1 kHz, where its threads waited, its packets."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from offloadbench.analysis.sender import sent_packets as packets
from offloadbench.engine.sender.monitor import MODULE, TITLE, Monitor, Watched
from offloadbench.kernel.system import netns, processes
from offloadbench.kernel.tcp import sock_diag
from offloadbench.kernel.trace import scheduler_waits as waits
from offloadbench.kernel.trace.tcpdump import Capture
from offloadbench.model import PacketTrace, Plan, TcpTrace, Waits
from offloadbench.roles.ends import End

# in a run file, of one workload: about 5 MB; four trials of a minute at 1 kHz keep every row
_TRACE_ROWS = 180_000


@dataclass(frozen=True, slots=True)
class Told:
    """What a sender told of one window."""

    tcp: list[TcpTrace] = field(default_factory=list)
    waits: Waits | None = None
    packets: PacketTrace | None = None


def trace_rows(plan: Plan) -> int:
    """How many rows of a trial's traces the run file keeps: with many trials, the middle of each window has to do."""
    return _TRACE_ROWS // max(1, len(plan.cases) * max(plan.repeats, plan.max_repeats))


class SenderAccount:
    """A monitor beside the device under test; with no connections to follow it does nothing.

    Args:
        watched: remote (address, port) of the connections to follow, all at one address and port.
        cpus: for the monitor.
        wanted: `waits` also records the scheduler's switches of the sending threads, `capture` the packets; what they
            cost is in the result.

    Raises:
        TrafficError: sock_diag does not answer.
        ProfilerError: switches or packets cannot be recorded.
    """

    def __init__(
        self, dut: End, watched: Sequence[tuple[str, int]], cpus: frozenset[int], folder: Path, wanted: Plan
    ) -> None:
        self._monitor: Monitor | None = None
        self._waits: waits.WaitRecorder | None = None
        self._capture: Capture | None = None
        self._port = 0
        self._opened_ns = self._opened_realtime_ns = 0
        if not watched:
            return
        address, port = watched[0]
        target, rows_max = Watched(remote_address=address, remote_port=port), trace_rows(wanted)
        self._monitor = Monitor(dut.launch(MODULE, TITLE, cpus), target, rows_max=rows_max)
        try:
            self._port = port
            if wanted.waits:
                self._waits = waits.WaitRecorder(_threads(dut, address, port), folder, "sender")
            if wanted.capture:
                self._capture = Capture(dut.ifname, dut.namespace, address, port, folder)
        except BaseException:
            self.close()
            raise

    @property
    def problem(self) -> str:
        """What the monitor could not set up, as a sentence."""
        return self._monitor.problem if self._monitor else ""

    def open(self) -> None:
        """Begin the window."""
        if self._waits:
            self._waits.enable()
        if self._monitor:
            self._opened_ns = self._monitor.open()
            self._opened_realtime_ns = time.time_ns()

    def finish(self, window_s: float) -> Told:
        """End the window: the traces of what was followed, and what else was asked for."""
        if self._waits:
            self._waits.disable()
        captured = self._capture.stop() if self._capture else None
        traces = self._monitor.finish(window_s) if self._monitor else []
        waited = self._waits.result(self._opened_ns, window_s) if self._waits else None
        found = packets.read(captured, self._port, self._opened_realtime_ns, window_s) if captured else None
        if captured:
            captured.unlink()
        return Told(traces, waited, found)

    def close(self) -> None:
        """End what still runs. Safe to call twice."""
        if self._monitor:
            self._monitor.close()
        if self._waits:
            self._waits.close()
        if self._capture:
            self._capture.stop()


def _threads(dut: End, address: str, port: int) -> list[int]:
    """Threads of the processes that hold the connections."""
    with netns.entered(dut.namespace):
        found = sock_diag.matching(sock_diag.connections(), remote=(address, port))
    pids = sorted({pid for one in found for pid in processes.holding_socket(one.inode)})
    return [thread for pid in pids for thread in processes.threads(pid)][: waits.THREADS_MAX]
