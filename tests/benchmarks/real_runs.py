"""A folder of real run files of one configuration: every pair and every 3 against 3, and what is called changed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from offloadbench.analysis.comparison.usable_trials import HEADLINES, Observations, observations, values
from offloadbench.analysis.statistics import run_means
from offloadbench.analysis.statistics.estimates import Estimate, welch
from offloadbench.analysis.statistics.holm import CHANGED, judge
from offloadbench.files import run_file

COST = "cpu_s_per_gb"
_FEWEST = 6
# workload, case (or "" for the mean over all cases), metric -> the values of each run
Figures = dict[tuple[str, str, str], list[list[float]]]


@dataclass(frozen=True)
class Split:
    """Runs of the two sides, and those that are left."""

    a: tuple[int, ...]
    b: tuple[int, ...]
    others: tuple[int, ...]


def load(folder: Path) -> list[Observations]:
    """The run files of a folder, by the time at which they were made."""
    paths = [path for path in folder.iterdir() if path.name.endswith((".json", ".json.gz", ".json.xz"))]
    runs = [observations(run_file.load(path)) for path in paths]
    return sorted(runs, key=lambda seen: seen.run.created_utc)


def figures(runs: Sequence[Observations], *, by_workload: bool) -> Figures:
    """What is compared; cases that every run has, and, for a workload, blocks that have them all."""
    found: Figures = {}
    for workload in runs[0].workloads():
        cases = [case for case in runs[0].cases(workload) if all(run.case(workload, case) for run in runs)]
        sides = [[run.case(workload, case) for case in cases] for run in runs]
        for metric in HEADLINES:
            for index, case in enumerate(cases):
                found[workload, case, metric] = [values(run[index].values(), metric) for run in sides]
            blocks = [sorted(set.intersection(*(set(case) for case in run))) for run in sides]
            if by_workload:
                for case in cases:
                    del found[workload, case, metric]
                found[workload, "", metric] = [
                    [float(np.exp(np.mean(np.log([case[b].value(metric) for case in run])))) for b in mine]
                    for run, mine in zip(sides, blocks, strict=True)
                ]
    return found


def splits(count: int, size: int, most: int, seed: int = 1) -> list[Split]:
    """Every way to take two sides of so many runs, or `most` of them drawn at random."""
    whole = range(count)
    found = [
        Split(a, b, tuple(sorted(set(whole) - set(a) - set(b))))
        for a in itertools.combinations(whole, size)
        for b in itertools.combinations(sorted(set(whole) - set(a)), size)
        if a < b
    ]
    if len(found) <= most:
        return found
    chosen = np.random.default_rng(seed).choice(len(found), most, replace=False)
    return [found[index] for index in sorted(chosen)]


def _estimates(found: Figures, split: Split, plant: float, *, with_others: bool) -> Iterator[tuple[str, Estimate]]:
    for (_, _, metric), runs in found.items():
        scale = 1 + plant if metric == COST else 1.0
        a = [runs[i] for i in split.a]
        b = [[value * scale for value in runs[i]] for i in split.b]
        others = [runs[i] for i in split.others] if with_others else []
        yield metric, run_means.change(a, b, others=others)


def called(found: Figures, chosen: Sequence[Split], plant: float = 0.0, *, with_others: bool = False) -> int:
    """Splits called changed: in any row, or with a plant in a row of CPU per GB. A workload is a family."""
    hits = 0
    for split in chosen:
        hit = False
        for workload in dict.fromkeys(workload for workload, _, _ in found):
            mine = {key: runs for key, runs in found.items() if key[0] == workload}
            metrics, estimates = zip(*_estimates(mine, split, plant, with_others=with_others), strict=True)
            judged = zip(metrics, judge(estimates), strict=True)
            hit |= any(one.verdict == CHANGED for metric, one in judged if not plant or metric == COST)
        hits += hit
    return hits


def called_by_trials(found: Figures, chosen: Sequence[Split]) -> int:
    """The same where the trials of one run a side are taken for units, with Bonferroni: what was done before."""
    hits = 0
    for split in chosen:
        hit = False
        for workload in dict.fromkeys(workload for workload, _, _ in found):
            mine = [runs for key, runs in found.items() if key[0] == workload]
            pairs = [(runs[split.a[0]], runs[split.b[0]]) for runs in mine]
            hit |= any(welch(a, b).p * len(mine) <= 0.05 for a, b in pairs if min(len(a), len(b)) > 2)
        hits += hit
    return hits


def scatter(runs: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Standard deviations of logarithms: of the means of runs, what the trials explain of it, and of the run effect."""
    logs = [np.log(run) for run in runs]
    means = float(np.var([log.mean() for log in logs], ddof=1))
    degrees = sum(len(log) - 1 for log in logs)
    within = sum(float(((log - log.mean()) ** 2).sum()) for log in logs) / degrees if degrees else math.nan
    explained = within * float(np.mean([1 / len(log) for log in logs]))
    return math.sqrt(means), math.sqrt(explained), math.sqrt(max(0.0, means - explained))


def main(folder: Path, plant: float, most: int) -> int:
    runs = load(folder)
    if len(runs) < _FEWEST:
        print(f"{folder} has {len(runs)} run files: at least {_FEWEST} are needed for 3 against 3")
        return 2
    print(f"{len(runs)} runs of {folder}, {runs[0].run.created_utc} to {runs[-1].run.created_utc}")
    by_case = figures(runs, by_workload=False)
    print("  scatter (sd of logarithms)                          run means   trials explain   run effect")
    for (workload, case, metric), values_of_runs in by_case.items():
        parts = "   ".join(f"{sd:10.4f}" for sd in scatter(values_of_runs))
        print(f"  {f'{workload} {case} {metric}':<50} {parts}")
    good = True
    for name, found in (("by case", by_case), ("by workload", figures(runs, by_workload=True))):
        pairs = splits(len(runs), 1, most)
        print(f"{name}, {len(found)} tests:")
        old = called_by_trials(found, pairs)
        print(f"  A/A, all pairs, trials as units (before): {old} of {len(pairs)} called changed")
        for size in (1, 2, 3):
            chosen = splits(len(runs), size, most)
            for with_others in (False, True) if len(runs) - 2 * size > 2 else (False,):
                known = f", scatter from {len(runs) - 2 * size} others" if with_others else ""
                what = f"{size} against {size}{known}"
                false = called(found, chosen, with_others=with_others)
                share = false / len(chosen) if chosen else 0.0
                good &= share <= 0.05 or size == 2
                line = f"  A/A, {what}: {false} of {len(chosen)} called changed ({share:.1%})"
                if plant:
                    right = called(found, chosen, plant, with_others=with_others)
                    line += f"; {plant:.0%} planted: found in {right / max(1, len(chosen)):.1%}"
                print(line)
    return 0 if good else 1
