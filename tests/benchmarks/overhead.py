"""What does a run cost beside its warm-ups and windows? A real run, with the time of its stages by trial and by run.

    python -m tests.benchmarks.overhead [--rounds N] [ARGUMENTS of `offloadbench run`...]

Default: `--nic lab-veth --cases tso,none --workloads ftp-get --repeats 3 --duration 3 --warmup 2`, once. A round is a
process of its own, from the start of the interpreter to its end. By trial: the time between its start and its end less
warm-up and window, in the phases that a user is shown, and the calls that take it (some overlap, and some are part of
others). By run: what is left when its trials are taken away.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DEFAULT = (
    "--nic", "lab-veth", "--cases", "tso,none", "--workloads", "ftp-get", "--repeats", "3", "--duration", "3",
    "--warmup", "2",
)  # fmt: skip
# module and qualified name of what takes time; what a version does not have is left out
CALLS = (
    ("engine.run.offloads", "apply"),
    ("engine.run.readback", "ReadBack.__init__"),
    ("engine.run.readback", "ReadBack.changes"),
    ("traffic.ftp.ftp_kind", "FtpTraffic.start"),
    ("kernel.trace.tracepoints", "PacketRecorder.__init__"),
    ("kernel.trace.tracepoints", "PacketRecorder.ready"),
    ("kernel.trace.tracepoints", "PacketRecorder.finish"),
    ("kernel.trace.tracepoints", "record"),
    ("kernel.trace.tracepoints", "shapes"),
    ("kernel.trace.perf", "PerfRecorder.__init__"),
    ("kernel.trace.perf", "Counter.__init__"),
    ("engine.run.profiler", "Profiler.ready"),
    ("engine.run.profiler", "Profiler.enable"),
    ("engine.run.profiler", "Profiler.disable"),
    ("engine.run.profiler", "Profiler.stop"),
    ("kernel.trace.perf", "PerfRecorder.finish"),
    ("kernel.trace.perf", "Counter.finish"),
    ("kernel.trace.perf", "read_counts"),
    ("engine.sender.account", "SenderAccount.__init__"),
    ("engine.sender.account", "SenderAccount.finish"),
    ("traffic.ftp.ftp_kind", "FtpSession.finish"),
    ("traffic.ftp.ftp_kind", "FtpSession.close"),
    ("engine.run.blocks", "method_weights"),
    ("files.run_file", "save"),
    ("engine.standing_bed", "Site.build"),
    ("engine.standing_bed", "Site.rebuild"),
    ("engine.standing_bed", "Site.close"),
    ("engine.run.execute", "_symbols"),
    ("engine.run.execute", "_new_run"),
    ("engine.run.execute", "_wanted_profile"),
    ("kernel.trace.kallsyms", "snapshot"),
    ("kernel.trace.kallsyms", "ko_paths"),
    ("kernel.trace.debuginfo", "sources_of_running"),
    ("files.packed_columns", "pack_text"),
    ("kernel.system.host", "describe"),
    ("traffic.files", "provide"),
    ("engine.standing_bed", "restore_left_behind"),
    ("analysis.comparison.steadiness", "doubts"),
)
Spans = list[tuple[str, float, float]]


def _started_s() -> float:
    """When this process began, on the monotonic clock, to the kernel's tick (proc_pid_stat(5), field 22)."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    uptime_s = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.monotonic() - uptime_s


def _timed(spans: Spans, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def timed(*arguments: Any, **named: Any) -> Any:
        began_s = time.monotonic()
        try:
            return call(*arguments, **named)
        finally:
            spans.append((name, began_s, time.monotonic()))

    return timed


def _wrap_calls(spans: Spans) -> None:
    for module, qualified in CALLS:
        try:
            holder: Any = importlib.import_module(f"offloadbench.{module}")
            *path, name = qualified.split(".")
            for part in path:
                holder = getattr(holder, part)
            call = getattr(holder, name)
        except (ImportError, AttributeError):
            continue
        setattr(holder, name, _timed(spans, f"{module.rpartition('.')[2]}.{qualified}", call))


def record(arguments: list[str], output: Path) -> int:
    """Run once in this process, and write down what happened when."""
    began_s = _started_s()
    from offloadbench import cli
    from offloadbench.engine import progress_events
    from offloadbench.engine.run import execute

    spans: Spans = []
    events: list[tuple[str, float]] = []
    _wrap_calls(spans)
    run = execute.execute

    def watched(options: Any, emit: Callable[[Any], None]) -> Any:
        def note(event: Any) -> None:
            if isinstance(event, progress_events.Phase):
                events.append((f"{event.name} {event.duration_s}", time.monotonic()))
            elif not isinstance(event, progress_events.Note | progress_events.Sampled):
                events.append((type(event).__name__, time.monotonic()))
            emit(event)

        events.append(("imported", time.monotonic()))
        found = run(options, note)
        events.append(("executed", time.monotonic()))
        return found

    execute.execute = watched
    code = cli.main(["run", *arguments])
    events.append(("over", time.monotonic()))
    output.write_text(json.dumps({"began_s": began_s, "events": events, "spans": spans}))
    return code


def _line(name: str, values: list[float]) -> str:
    ends = f"{min(values):6.2f} to {max(values):5.2f}" if len(values) > 1 else ""
    return f"  {name:<44}{statistics.median(values):7.3f} s  {ends}"


def _trials(events: list[tuple[str, float]]) -> list[tuple[float, float, dict[str, float]]]:
    """Begin, end, and what each phase takes beyond its length, of every trial."""
    found: list[tuple[float, float, dict[str, float]]] = []
    begins = [at for at, (name, _) in enumerate(events) if name == "TrialStarted"]
    for at in begins:
        end = next(number for number in range(at, len(events)) if events[number][0] == "TrialEnded")
        beyond: dict[str, float] = {}
        for (name, began_s), (_, ended_s) in zip(events[at + 1 : end], events[at + 2 : end + 1], strict=True):
            phase, _, length_s = name.rpartition(" ")
            beyond[phase] = ended_s - began_s - float(length_s)
        found.append((events[at][1], events[end][1], beyond))
    return found


def show(runs: list[dict[str, Any]]) -> None:
    """Print the medians over all trials, and over the runs."""
    beside: dict[str, list[float]] = {}
    by_trial: dict[str, list[float]] = {}
    by_run: dict[str, list[float]] = {}
    calls: dict[str, list[float]] = {}
    for run in runs:
        events, spans = run["events"], run["spans"]
        trials = _trials(events)
        for begin_s, end_s, beyond in trials:
            beside.setdefault("beside warm-up and window", []).append(sum(beyond.values()))
            for phase, seconds in beyond.items():
                beside.setdefault(f"  {phase}", []).append(seconds)
            mine: dict[str, float] = {}
            for name, began_s, ended_s in spans:
                if begin_s <= began_s < end_s:
                    mine[name] = mine.get(name, 0.0) + ended_s - began_s
            for name, seconds in mine.items():
                by_trial.setdefault(name, []).append(seconds)
        moment = dict(reversed(events))
        total_s = moment["over"] - run["began_s"]
        parts = {
            "run, trials taken away": total_s - sum(end_s - begin_s for begin_s, end_s, _ in trials),
            "  start of the interpreter, imports": moment["imported"] - run["began_s"],
            "  until the run has begun": moment["RunStarted"] - moment["imported"],
            "  until the first trial": moment["TrialStarted"] - moment["RunStarted"],
            "  between trials": sum(later[0] - earlier[1] for earlier, later in itertools.pairwise(trials)),
            "  from the last trial to the end": moment["over"] - trials[-1][1],
        }
        for name, seconds in parts.items():
            by_run.setdefault(name, []).append(seconds)
        outside: dict[str, float] = {}
        for name, began_s, ended_s in spans:
            if not any(begin_s <= began_s < end_s for begin_s, end_s, _ in trials):
                outside[name] = outside.get(name, 0.0) + ended_s - began_s
        for name, seconds in outside.items():
            calls.setdefault(name, []).append(seconds)
    count = len(next(iter(beside.values())))
    print(f"{len(runs)} runs, {count} trials; medians, and the least and most")
    print("by trial")
    for rows in (beside, by_trial, by_run, calls):
        if rows is by_run:
            print("by run")
        print("\n".join(_line(name, values) for name, values in rows.items()))


def main(rounds: int, arguments: list[str]) -> None:
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            told = Path(folder) / f"{number}.json"
            output = ["--output", str(Path(folder) / f"run-{number}.json")]
            command = [sys.executable, "-m", "tests.benchmarks.overhead", "--record", str(told), *arguments, *output]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            runs.append(json.loads(told.read_text()))
    show(runs)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--record"]:
        raise SystemExit(record(sys.argv[3:], Path(sys.argv[2])))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--rounds", metavar="N", type=int, default=1)
    chosen, rest = parser.parse_known_args()
    main(chosen.rounds, rest or list(DEFAULT))
