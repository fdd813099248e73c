"""The sender's own account of a trial's window: its TCP state at 1 kHz, and where its threads waited."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from offloadbench.ends import End
from offloadbench.engine.monitor import MODULE, TITLE, Monitor, Watched
from offloadbench.kernel import netns, processes, tcpdiag, waits
from offloadbench.model import TcpTrace, Waits


class Account:
    """A monitor beside the device under test; with no connections to follow it does nothing.

    Args:
        watched: remote (address, port) of the connections to follow, all at one address and port.
        cpus: for the monitor.
        with_waits: also record the scheduler's switches of the sending threads; its cost is in the result.

    Raises:
        TrafficError: sock_diag does not answer.
        ProfilerError: switches cannot be recorded.
    """

    def __init__(
        self, dut: End, watched: Sequence[tuple[str, int]], cpus: frozenset[int], folder: Path, *, with_waits: bool
    ) -> None:
        self._monitor: Monitor | None = None
        self._waits: waits.Recorder | None = None
        self._opened_ns = 0
        if not watched:
            return
        address, port = watched[0]
        self._monitor = Monitor(dut.launch(MODULE, TITLE, cpus), Watched(remote_address=address, remote_port=port))
        try:
            if with_waits:
                self._waits = waits.Recorder(_threads(dut, address, port), folder, "sender")
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

    def finish(self, window_s: float) -> tuple[list[TcpTrace], Waits | None]:
        """End the window: the traces of what was followed, and the waits where they were asked for."""
        if self._waits:
            self._waits.disable()
        traces = self._monitor.finish(window_s) if self._monitor else []
        return traces, self._waits.result(self._opened_ns, window_s) if self._waits else None

    def close(self) -> None:
        """End what still runs. Safe to call twice."""
        if self._monitor:
            self._monitor.close()
        if self._waits:
            self._waits.close()


def _threads(dut: End, address: str, port: int) -> list[int]:
    """Threads of the processes that hold the connections."""
    with netns.entered(dut.namespace):
        found = tcpdiag.matching(tcpdiag.connections(), remote=(address, port))
    pids = sorted({pid for one in found for pid in processes.holding_socket(one.inode)})
    return [thread for pid in pids for thread in processes.threads(pid)][: waits.THREADS_MAX]
