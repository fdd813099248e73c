"""The profile of one window: perf's samples, and a plain count of the same events to check them against."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from offloadbench.kernel.system import processes
from offloadbench.kernel.trace import perf
from offloadbench.model import ProfileCounts, ProfileEvent


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run profiles.

    Attributes:
        functions: start addresses of the kernel's functions, where call chains are recorded; None otherwise.
        keep: folder for each trial's perf.data; None to drop them.
    """

    events: list[ProfileEvent]
    functions: npt.NDArray[np.uint64] | None = None
    keep: Path | None = None


class Profiler:
    """perf on the measured CPUs, armed long before the window; with no events it does nothing.

    It starts beside what its maker does next, and notes processes that begin on its CPUs from then on. `ready` is when
    nothing of its start is left; after `stop` it ends beside what comes next.
    """

    def __init__(self, wanted: Wanted, cpus: frozenset[int], folder: Path, name: str) -> None:
        self._wanted = wanted
        self._cpus = len(cpus)
        self._recorder: perf.PerfRecorder | None = None
        self._counter: perf.Counter | None = None
        self._cpu_s = 0.0
        if wanted.events:
            chains = wanted.functions is not None
            keep = wanted.keep is not None
            self._recorder = perf.PerfRecorder(wanted.events, cpus, folder, name, chains=chains, keep=keep)
            try:
                self._counter = perf.Counter(wanted.events, cpus, folder, name)
            except BaseException:
                self.close()
                raise

    def ready(self) -> None:
        """Return when perf only waits for the window.

        Raises:
            ProfilerError: perf cannot record.
        """
        if self._recorder and self._counter:
            self._recorder.ready()
            self._counter.ready()

    def enable(self) -> None:
        if self._recorder and self._counter:
            self._cpu_s = self._spent_s()
            self._recorder.enable()
            self._counter.enable()

    def disable(self) -> float:
        """Close the window; returns the CPU seconds that perf itself took in it."""
        if not (self._recorder and self._counter):
            return 0.0
        self._counter.disable()
        self._recorder.disable()
        return self._spent_s() - self._cpu_s

    def stop(self) -> None:
        """Ask perf to end; `result` waits for it."""
        if self._recorder and self._counter:
            self._recorder.stop()
            self._counter.stop()

    def _spent_s(self) -> float:
        running = [process for process in (self._recorder, self._counter) if process]
        return sum(processes.cpu_s(process.pid) for process in running)

    def result(self, window_start_s: float, window_s: float, own: frozenset[int]) -> ProfileCounts | None:
        """End perf and return what it recorded; None without a profile.

        Args:
            own: pids of the run's processes.
        """
        if not (self._recorder and self._counter):
            return None
        data = self._recorder.finish()
        wanted = self._wanted
        profile = perf.read_counts(data, wanted.events, window_start_s, window_s, wanted.functions, own=own)
        if self._wanted.keep:
            self._wanted.keep.mkdir(parents=True, exist_ok=True)
            (self._wanted.keep / data.name).write_bytes(data.read_bytes())
        data.unlink()
        rates, problem = self._counter.finish()
        # a rate over all the time in which perf was on, for samples of the window alone
        counted = {event: rate * self._cpus * window_s for event, rate in rates.items()}
        return msgspec.structs.replace(profile, counted=counted, counting=problem)

    def close(self) -> None:
        """End what still runs. Safe to call twice."""
        for process in (self._recorder, self._counter):
            if process:
                process.close()
