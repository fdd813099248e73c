"""What people wait for: a report of 12 cases x 5 repeats x 2 workloads, a comparison of two runs of 1,000 trials, help.

    python -m tests.benchmarks.reports RUN [ROUNDS]

RUN is a run file of `offloadbench run --nic lab --cases ladder` (both workloads, any window): its real trials are
enlarged to windows of 60 s, under the names of 12 cases whose packets look like theirs, in 5 blocks. The enlarged run
is also saved in each packing. Times are CPU seconds of a process of its own, start-up included, the least of the
rounds, and seconds by the clock; sizes are of the files.
"""

from __future__ import annotations

import argparse
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from offloadbench.analysis.profile import contamination
from offloadbench.definitions import catalog
from offloadbench.definitions.plan import effective_state
from offloadbench.engine.sender.account import trace_rows
from offloadbench.files import run_file
from offloadbench.files.packed_columns import pack_columns, pack_profile, unpack_profile, unpack_tcp
from offloadbench.model import CaseDefinition, ProfileCounts, Run, Samples, TcpTrace, Trial, WireReport
from tests.unit.repeats import ABLE, noise, records, repeated

CASES, REPEATS, SECONDS = 12, 5, 60
COMPARED = 1000
replace = msgspec.structs.replace


def _samples(samples: Samples, cpus: int, factor: float, seed: int) -> Samples:
    """A minute of these samples, each second of its own, `factor` times as busy."""
    drawn = np.random.default_rng(seed)
    at = [second % len(samples.t_s) for second in range(SECONDS)]
    scatter = np.exp(drawn.normal(0, 0.01, SECONDS))
    idle = [
        max(0.0, spent * cpus - (spent * cpus - idle) * factor)
        for spent, idle in zip(samples.interval_s, samples.counters["cpu_idle_exact_s"], strict=True)
    ]
    counters = samples.counters | {"cpu_idle_exact_s": idle}
    return replace(
        samples,
        t_s=[second + 1 + round(late, 6) for second, late in enumerate((scatter * 1e-3).tolist())],
        interval_s=[samples.interval_s[second] for second in at],
        late_s=[samples.late_s[second] for second in at],
        counters={
            name: [
                round(column[second] * (1.0 if "idle" in name else float(scale)), 6)
                for second, scale in zip(at, scatter, strict=True)
            ]
            for name, column in counters.items()
        },
    )


def _profile(counts: ProfileCounts, window_s: float) -> ProfileCounts:
    """The samples of a minute: those of the window again and again, each time in other seconds."""
    columns = unpack_profile(counts)
    times = round(SECONDS / window_s)
    tiled = {name: np.tile(column, times) for name, column in columns.items()}
    shift = np.repeat(np.arange(times), counts.rows) * round(window_s)
    tiled["second"] = (tiled["second"].astype(np.int64) + shift).astype(np.uint16)
    order = np.lexsort((tiled["second"], tiled["cpu"], tiled["process"], tiled["mode"], tiled["address"]))
    columns = {name: column[order] for name, column in tiled.items()}
    return replace(
        counts, rows=counts.rows * times, columns=pack_profile(columns), samples=counts.samples * times, chains="",
        chain_count=0,
    )  # fmt: skip


def _trace(trace: TcpTrace, rows_max: int) -> TcpTrace:
    """As many rows as a minute leaves in a run of this size."""
    rows = min(round(SECONDS * 1e6 / trace.period_us), rows_max)
    columns = unpack_tcp(trace)
    period_us = int(columns["t_us"][-1] - columns["t_us"][0]) + trace.period_us
    times = math.ceil(rows / trace.rows)
    parts = {}
    for name, column in columns.items():
        growth = period_us if name == "t_us" else column[-1] - column[0] if name.endswith(("_bytes", "_us")) else 0
        counts = (np.diff(column) >= 0).all()
        parts[name] = np.concatenate([column + growth * turn * counts for turn in range(times)])[:rows]
    return replace(
        trace, rows=rows, columns=pack_columns(parts), window_s=float(SECONDS), ticks_due=SECONDS * 1000,
        ticks_taken=SECONDS * 1000,
    )  # fmt: skip


def _carried(wire: WireReport, scale: float, seed: int) -> WireReport:
    """What the cable carried in a minute; no two trials carry the same."""
    varied = scale * float(np.random.default_rng(seed).normal(1, 1e-4))
    way = replace(wire.to_peer, l2_bytes=round(wire.to_peer.l2_bytes * varied))
    return replace(wire, interval_s=wire.interval_s * scale, to_peer=way)


def _enlarged(trial: Trial, cpus: int, factor: float, seed: int) -> Trial:
    """The trial as if it had lasted a minute, its costs changed by `factor`."""
    assert trial.samples and trial.load and trial.evidence and trial.wire
    scale = SECONDS / trial.window_s
    load = trial.load
    return replace(
        trial,
        window_s=float(SECONDS),
        samples=_samples(trial.samples, cpus, factor, seed),
        wire=_carried(trial.wire, scale, seed),
        load=replace(load, payload_bytes=round(load.payload_bytes * scale), interval_s=float(SECONDS)),
        profile=_profile(trial.profile, trial.window_s) if trial.profile else None,
        # packets of another case would contradict this one's name, and the trial would not be drawn
        evidence=replace(trial.evidence, packets=[]),
    )


def _alike(case: CaseDefinition) -> str:
    """The case of the ladder that cuts as this one does: packets of another would contradict its name."""
    state = effective_state(case, ABLE)
    if state["tx-tcp-segmentation"]:
        return "tso"
    if case.gso_max_segs == 1:
        return "csum" if state["tx-checksum-ip-generic"] else "none"
    return "gso"


def _trials(run: Run, cases: int, repeats: int) -> Iterator[Trial]:
    """Trials under the names of the first cases."""
    for workload in dict.fromkeys(trial.workload for trial in run.trials):
        # recorded by the engine since the file of this benchmark was made
        real = {
            trial.case: replace(trial, foreign=contamination.derived(run, trial))
            for trial in run.trials
            if trial.workload == workload and trial.outcome == "ok"
        }
        for number, case in enumerate(catalog.all_cases()[:cases]):
            for repeat, factor in enumerate(noise(repeats, 0.02, number), 1):
                seed = number * repeats + repeat
                trial = _enlarged(real[_alike(case)], len(run.bed.dut_cpus), factor, seed)
                yield replace(trial, case=case.name, repeat=repeat, also_named=[], features=records(case, ABLE))


def enlarged(run: Run, cases: int, repeats: int, run_id: str) -> Run:
    """The run with as many cases and repeats; its kernel symbols are its own."""
    made = repeated(run, list(_trials(run, cases, repeats)), run_id=run_id)
    plan = replace(made.plan, duration_s=SECONDS, workloads=run.plan.workloads)
    rows = trace_rows(plan)
    trials = [replace(trial, tcp=[_trace(trace, rows) for trace in trial.tcp]) for trial in made.trials]
    return replace(made, plan=plan, bed=run.bed, kallsyms=run.kallsyms, trials=trials)


def _spent_s(rounds: int, *arguments: str) -> tuple[float, float]:
    """CPU seconds of a process and its wall time, each the least of the rounds: the machine may be busy."""
    spent, walls = [], []
    for _ in range(rounds):
        before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run([sys.executable, "-m", "offloadbench", *arguments], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        walls.append(time.monotonic() - began_s)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(spent), min(walls)


def _cpu_s(rounds: int, *arguments: str) -> float:
    return _spent_s(rounds, *arguments)[0]


def main(path: Path, rounds: int) -> None:
    real = run_file.load(path)
    print(f"help: {_cpu_s(rounds, '--help'):.2f} s of CPU")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = enlarged(real, CASES, REPEATS, "report")
        for ending in (".json", ".json.gz", ".json.xz"):
            file = folder / f"report{ending}"
            run_file.save(run, file)
            print(f"{len(run.trials)} trials of {SECONDS} s as {ending[1:]}: {file.stat().st_size / 1e6:.1f} MB")
        whole, page = str(folder / "report.json"), folder / "report.html"
        spent, wall = _spent_s(rounds, "report", whole, "--output", str(page))
        print(
            f"report of {len(run.trials)} trials: {wall:.1f} s by the clock, {spent:.1f} s of CPU, "
            f"{page.stat().st_size / 1e6:.1f} MB"
        )
        print(f"the same as Markdown: {_cpu_s(rounds, 'report', whole, '--format', 'md'):.1f} s of CPU")
        workloads = len({trial.workload for trial in real.trials})
        repeats = math.ceil(COMPARED / workloads / 4)
        for run_id in ("a", "b"):
            run_file.save(enlarged(real, 4, repeats, run_id), folder / f"{run_id}.json")
        spent = _cpu_s(rounds, "compare", str(folder / "a.json"), str(folder / "b.json"))
        size = (folder / "a.json").stat().st_size / 1e6
        print(f"compare of two runs of {4 * repeats * workloads} trials ({size:.0f} MB each): {spent:.2f} s of CPU")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=Path)
    parser.add_argument("rounds", metavar="ROUNDS", type=int, nargs="?", default=3)
    arguments = parser.parse_args()
    main(arguments.run, arguments.rounds)
