"""perf(1), driven through sh: what it can count here, and a recording bracketed by its control fifo.

perf silently records cpu-clock where there is no PMU, and `perf stat` exits 0 on "<not supported>": the events
are tried first, and what was recorded is read back from the file.

The CPU clock is sampled every 1,003,009 ns (997 Hz), not every 1 ms: that is a fraction of every kernel's tick (1, 2,
4 or 10 ms), so that all samples of a window lie at the same few places of the tick. Measured with windows of both
periods, interleaved (tests.benchmarks.sampling_period, FTP load, 250 Hz, a CPU that others filled): 93 to 94 % of the
samples lay in the fullest twentieth of the tick, against 5.8 %. No mean share moved by more than chance allows (of 24
intervals of 95 % one leaves out 0: driver, case tso, +0.05 to +0.29 points). In the case none windows scattered up to
three times as much (standard deviation of irq 1.6 against 0.7 points, of skb 0.85 against 0.30), in the case tso
about as much.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sh

from offloadbench.base.errors import ProfilerError
from offloadbench.base.units import format_cpulist
from offloadbench.kernel.trace import perfdata
from offloadbench.model import ProfileCounts, ProfileEvent

CLOCK_PERIOD_NS = 1_003_009
# prime, so that no loop of the workload beats with it; about 1.5 kHz at 3 GHz
HARDWARE_PERIOD = 2_000_003
_QUANTITIES = {"instructions": "instructions", "cycles": "cycles", "cpu-clock": "kernel_cpu_time_ns"}
_CLOCK = "cpu-clock"
# modifiers that leave out user, kernel, hypervisor, host or guest (perf-list(1))
_ONE_MODE = re.compile("[/:][pPSDIWeb]*[ukhHG][ukhHGpPSDIWeb]*$")
_CONTROL_TIMEOUT_S = 60.0
NO_BUILD_IDS = ["--no-buildid", "--no-buildid-cache"]
# percent; below, perf shared the counter with other events in turn
_FULLY_COUNTED = 99.0


def require() -> None:
    """Raise ProfilerError unless perf can be run."""
    try:
        sh.perf("--version")
    except sh.CommandNotFound as error:
        raise ProfilerError(
            "perf is not installed", "apt-get install linux-perf (Debian), or run --no-profile"
        ) from error
    except sh.ErrorReturnCode as error:
        raise ProfilerError(f"perf does not run: {_stderr(error)}", "install the perf of this kernel") from error


def _stderr(error: Any) -> str:
    text = error.stderr.decode(errors="replace").strip()
    return text.splitlines()[-1] if text else "no message"


def available_events() -> list[ProfileEvent]:
    """Instructions and cycles where the PMU counts them; otherwise the CPU clock at 997 Hz."""
    events = []
    for name in ("instructions", "cycles"):
        try:
            text = str(sh.perf("stat", "-x", ",", "-e", name, "--", "true", _err_to_out=True))
        except sh.ErrorReturnCode:
            continue
        rows = [line.split(",") for line in text.splitlines()]
        if any(len(row) > 2 and row[0].isdigit() and row[2].startswith(name) for row in rows):
            events.append(ProfileEvent(name=name, quantity=_QUANTITIES[name], period=HARDWARE_PERIOD))
    return events or [ProfileEvent(name="cpu-clock", quantity="kernel_cpu_time_ns", period=CLOCK_PERIOD_NS)]


class Controlled:
    """A perf process, armed early and counting only between `enable` and `disable` (--control fifo).

    It opens its events beside whatever its maker does next. Until it is enabled its events are off, and it sleeps.

    Args:
        arguments: of perf, with what it counts and on which CPUs.
        folder, name: where its log and fifos are.
    """

    def __init__(self, arguments: list[str], folder: Path, name: str) -> None:
        self._log = folder / f"{name}.log"
        self._fifos = (folder / f"{name}.ctl", folder / f"{name}.ack")
        self._ending = False
        for fifo in self._fifos:
            os.mkfifo(fifo, 0o600)
        # opened for both directions, so that neither side waits for the other to open
        self._control, self._ack = (os.open(fifo, os.O_RDWR | os.O_NONBLOCK) for fifo in self._fifos)
        control = f"--control=fifo:{self._fifos[0]},{self._fifos[1]}"
        self._process = _start([*arguments, "--delay=-1", control], self._log)

    def ready(self) -> None:
        """Return when perf has opened its events.

        Raises:
            ProfilerError: it cannot.
        """
        # answered by the loop in which it waits for orders
        self._command("ping")

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    def _command(self, word: str) -> None:
        os.write(self._control, f"{word}\n".encode())
        poller = select.poll()
        poller.register(self._ack, select.POLLIN)
        for _ in range(int(_CONTROL_TIMEOUT_S * 10)):
            if poller.poll(100):
                os.read(self._ack, 64)
                return
            if not self._process.is_alive():
                break
        raise ProfilerError(f"perf did not answer {word!r}: {_last_line(self._log)}", "see `offloadbench doctor`")

    def said(self) -> str:
        """What perf has said so far."""
        try:
            return self._log.read_text(errors="replace")
        except OSError:
            return ""

    def enable(self) -> None:
        self._command("enable")

    def disable(self) -> None:
        self._command("disable")

    def stop(self) -> None:
        """Ask `perf record` to end; `finish_recording` waits for it."""
        if not self._ending:
            self._ending = True
            with contextlib.suppress(ProfilerError):
                self._command("stop")

    def finish_recording(self, data: Path) -> Path:
        """Stop `perf record` and return the path of its complete perf.data."""
        self.stop()
        self._wait()
        return data

    def _wait(self) -> None:
        try:
            self._process.wait(timeout=_CONTROL_TIMEOUT_S)
        except (sh.ErrorReturnCode, sh.TimeoutException) as error:
            raise ProfilerError(f"perf failed: {_last_line(self._log)}", "see `offloadbench doctor`") from error
        finally:
            self.close()

    def close(self) -> None:
        """End perf if it still runs, and give back the fifos. Safe to call twice."""
        if self._process.is_alive():
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            with contextlib.suppress(sh.ErrorReturnCode, sh.TimeoutException):
                self._process.wait(timeout=10)
        for number in (self._control, self._ack):
            with contextlib.suppress(OSError):
                os.close(number)
        self._control = self._ack = -1
        for fifo in self._fifos:
            fifo.unlink(missing_ok=True)


class PerfRecorder(Controlled):
    """`perf record`: samples of all events.

    Args:
        chains: with the calling kernel functions.
        keep: for the user, with the build ids of what was sampled.
    """

    def __init__(
        self,
        events: list[ProfileEvent],
        cpus: frozenset[int],
        folder: Path,
        name: str,
        *,
        chains: bool = False,
        keep: bool = False,
    ) -> None:
        self.data = folder / f"{name}.perf.data"
        arguments = ["record", "-k", "CLOCK_MONOTONIC", "-o", str(self.data), "-C", format_cpulist(cpus)]
        if not keep:
            # only who reads it with perf elsewhere needs them; perf would read its whole recording again for them
            arguments += NO_BUILD_IDS
        for event in events:
            # the only event where it is recorded: it takes no terms, and -c is for all events
            if event.name == _CLOCK:
                arguments += ["-e", event.name, "-c", str(event.period)]
            else:
                arguments += ["-e", f"{event.name}/period={event.period}/"]
        if chains:
            # the kernel unwinds itself (ORC); user frames would cost more than they tell here
            arguments += ["-g", "--kernel-callchains"]
        super().__init__(arguments, folder, f"{name}.perf")

    def finish(self) -> Path:
        """Stop perf and return the path of its complete perf.data."""
        return self.finish_recording(self.data)


class Counter(Controlled):
    """`perf stat`: plain counts of the same events over the same window, against which samples are checked."""

    def __init__(self, events: list[ProfileEvent], cpus: frozenset[int], folder: Path, name: str) -> None:
        self._events = [event.name for event in events]
        self._counts = folder / f"{name}.stat"
        arguments = ["stat", "-x", ",", "-o", str(self._counts), "-e", ",".join(self._events)]
        super().__init__([*arguments, "-C", format_cpulist(cpus)], folder, f"{name}.stat")

    def stop(self) -> None:
        """Ask perf to end; `finish` waits for it."""
        # perf stat prints when it is interrupted, and knows no `stop`
        if not self._ending:
            self._ending = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGINT)

    def finish(self) -> tuple[dict[str, float], str]:
        """Stop perf and return what it counted: event -> mean rate of one CPU, and what may be wrong with it.

        A rate, for the window of a second perf process cannot be exactly that of the first.
        """
        self.stop()
        with contextlib.suppress(ProfilerError):
            self._wait()
        try:
            return parse_rates(self._counts.read_text(), self._events)
        except OSError as error:
            return {}, f"perf stat wrote nothing: {error.strerror}"
        finally:
            self._counts.unlink(missing_ok=True)


def parse_rates(text: str, events: list[str]) -> tuple[dict[str, float], str]:
    """`perf stat -x,`: value, unit, event, run time in ns over all CPUs, percentage of the time (perf-stat(1)).

    Returns:
        Event -> count per second of one CPU (cpu-clock in ns), and a sentence when some could not be counted, or were
        scaled up because counters were shared.
    """
    rates: dict[str, float] = {}
    problems = []
    for line in text.splitlines():
        columns = line.split(",")
        name = next((event for event in events if len(columns) > 4 and columns[2].split(":")[0] == event), None)
        if name is None:
            continue
        try:
            value, run_ns, percentage = float(columns[0]), float(columns[3]), float(columns[4])
            rates[name] = value * (1e6 if columns[1] == "msec" else 1.0) / (run_ns * 1e-9 * 100 / percentage)
        except (ValueError, ZeroDivisionError):
            problems.append(f"{name}: {columns[0].strip('<>')}")
            continue
        if percentage < _FULLY_COUNTED:
            problems.append(f"{name} was counted {percentage:.0f} % of the time and scaled up")
    problems += [f"{name}: no count" for name in events if name not in rates and not problems]
    return rates, "; ".join(problems)


def _start(arguments: list[str], log: Path) -> Any:
    try:
        return sh.perf(*arguments, _bg=True, _bg_exc=False, _new_session=True, _out=str(log), _err=str(log))
    except sh.CommandNotFound as error:
        raise ProfilerError("perf is not installed", "apt-get install linux-perf (Debian)") from error


def _last_line(log: Path) -> str:
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1] if lines else "no message"


def read_all(recording: perfdata.Recording, functions: npt.NDArray[np.uint64]) -> list[ProfileCounts]:
    """All samples of any recording as counts, whatever its events; see `perfdata.fold_all`.

    What an event measures is told by its name: where that is none of ours, the quantity is the name itself. Events of
    one name are numbered.

    Args:
        functions: sorted start addresses of the kernel's functions, for call chains where there are any.
    """
    chained = any(event.sample_type & perfdata.SampleField.CALLCHAIN for event in recording.header.events)
    names = names_apart([event.name for event in recording.header.events])
    events = [
        ProfileEvent(name=name, quantity=quantity(event.name), period=event.sample_period)
        for name, event in zip(names, recording.header.events, strict=True)
    ]
    return perfdata.fold_all(recording, events, functions if chained else None)


def names_apart(names: Sequence[str]) -> list[str]:
    """Names of events, those that have come before with their number: `cycles`, `cycles (2)`."""
    numbers = [list(names[:at]).count(name) + 1 for at, name in enumerate(names)]
    return [name if number == 1 else f"{name} ({number})" for name, number in zip(names, numbers, strict=True)]


def quantity(event: str) -> str:
    """What a sum of the weights of an event means, by its name; the name itself where it is none of ours."""
    found = next((meaning for name, meaning in _QUANTITIES.items() if name in re.split("[/:]", event)), event)
    # instructions of user mode over cycles of every mode would be no instructions per cycle
    return event if found != _QUANTITIES[_CLOCK] and _ONE_MODE.search(event) else found


def read_counts(
    data: Path,
    events: list[ProfileEvent],
    window_start_s: float,
    window_s: float,
    functions: npt.NDArray[np.uint64] | None = None,
    *,
    own: frozenset[int] = frozenset(),
) -> ProfileCounts:
    """The recording as counts. Samples just outside the window (perf's own latency) are left out.

    Args:
        functions: sorted start addresses of the kernel's functions, where call chains were recorded.
        own: pids of the run's processes.
    """
    recording = perfdata.read(data)
    if recording.problem:
        raise ProfilerError(f"the recording is damaged: {recording.problem}", "see `offloadbench doctor`")
    return perfdata.fold(recording, events, window_start_s, window_s, functions, own=own)
