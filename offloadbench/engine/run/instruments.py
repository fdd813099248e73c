"""What watches a trial: perf for the samples of its window, and for the packets of a moment of its warm-up.

Beside a full load perf takes a second to start, and nearly as long to end. So it starts when the case is set, beside
the traffic's own start, and ends while the traffic comes to its end. While the window lasts it only samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from offloadbench.base.errors import ProfilerError
from offloadbench.engine.run.profiler import Profiler, Wanted
from offloadbench.kernel.trace import tracepoints
from offloadbench.model import PacketShapes


class Instruments:
    """The perf processes of one trial.

    Args:
        cpus: the measured ones.
        devices: the device under test, and the NICs that transmit and receive for it, see `tracepoints.PacketRecorder`.
        name: of the trial, for files in `folder`.

    Attributes:
        problem: why there are no packets; "" where there are, or may still be.

    Raises:
        ProfilerError: perf is not installed, and a profile is wanted.
    """

    def __init__(self, profile: Wanted, cpus: frozenset[int], devices: Sequence[str], folder: Path, name: str) -> None:
        self.problem = ""
        self._recorder: tracepoints.PacketRecorder | None = None
        self._recorded: Path | None = None
        self.profiler = Profiler(profile, cpus, folder, name)
        try:
            self._attempt(lambda: self._arm(devices, folder))
        except BaseException:
            self.close()
            raise

    def _attempt(self, step: Callable[[], None]) -> None:
        """Packets are a proof beside the figures: what prevents them is noted, and ends no trial."""
        try:
            step()
        except ProfilerError as error:
            self.problem = self.problem or error.message
            self._drop()

    def _arm(self, devices: Sequence[str], folder: Path) -> None:
        self._recorder = tracepoints.PacketRecorder(devices[0], devices[1:], folder)

    def look(self, seconds: float) -> None:
        """Record packets for so long."""
        recorder = self._recorder

        def record() -> None:
            if recorder:
                recorder.ready()
                recorder.record(seconds)

        self._attempt(record)

    def ready(self) -> None:
        """Return when the recorder of packets has ended, and perf only waits for the window.

        Raises:
            ProfilerError: perf cannot record samples.
        """

        def end() -> None:
            if self._recorder:
                self._recorded = self._recorder.finish()

        self._attempt(end)
        self.profiler.ready()

    def packets(self) -> list[PacketShapes]:
        """What `look` recorded, by shape. Once, and not beside a load: perf reads its recording for it."""
        found: list[PacketShapes] = []
        recorded, self._recorded = self._recorded, None

        def read() -> None:
            if recorded:
                found.extend(tracepoints.shapes(recorded))

        self._attempt(read)
        return found

    def _drop(self) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder:
            recorder.close()

    def close(self) -> None:
        """End what still runs. Safe to call twice."""
        try:
            self._drop()
        finally:
            self.profiler.close()
