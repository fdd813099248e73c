"""CPU time that people wait for: help, and comparing two runs of a thousand trials."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import msgspec

from offloadbench import catalog, runfile
from offloadbench.model import Run
from tests.unit.repeats import measured, noise, repeated

CASES = ("tso", "gso", "csum", "none")
SECONDS = 60


def _cpu_s(*arguments: str) -> float:
    """The least of three runs: the machine may be busy."""
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "offloadbench", *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(spent)


def _thousand(base: Run, seed: int) -> Run:
    """A thousand profiled trials of 60 s."""
    profile = base.trials[0].profile
    trials = []
    for index, name in enumerate(CASES):
        case = next(case for case in catalog.all_cases() if case.name == name)
        for repeat, factor in enumerate(noise(250, 0.02, seed + index), 1):
            trial = measured(case, repeat, 0.5 * (index + 1) * factor, rate_bits_per_s=1e9 * factor)
            assert trial.samples is not None
            rows = [1.0 + 0.0000123 * second for second in range(SECONDS)]
            samples = msgspec.structs.replace(
                trial.samples,
                t_s=[float(second + 1) for second in range(SECONDS)],
                interval_s=[1.0000123] * SECONDS,
                late_s=[0.000123] * SECONDS,
                counters={key: [column[0] * row for row in rows] for key, column in trial.samples.counters.items()},
            )
            trials.append(msgspec.structs.replace(trial, samples=samples, window_s=float(SECONDS), profile=profile))
    return repeated(base, trials, run_id=f"run{seed}")


def test_help_takes_less_than_a_fifth_of_a_second() -> None:
    assert _cpu_s("--help") < 0.2


def test_two_runs_of_a_thousand_trials_are_compared_in_two_seconds(sample_run: Run, tmp_path: Path) -> None:
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for number, path in enumerate(paths):
        runfile.save(_thousand(sample_run, 1000 * number), path)
    assert _cpu_s("compare", *map(str, paths)) < 2
