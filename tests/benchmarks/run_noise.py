"""Runs with a run effect, simulated: what a comparison of them says, with known truth.

A trial's logarithm is its case's level, plus what its run adds, plus what its block adds, plus noise of its own. What a
run adds is partly the same for all its cases; throughput and CPU per GB move against each other, as on a CPU that is
full.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from offloadbench.analysis.statistics import run_means
from offloadbench.analysis.statistics.estimates import Estimate
from offloadbench.analysis.statistics.holm import CHANGED, Judgement, judge
from offloadbench.analysis.statistics.run_means import KnownScatter

Values = npt.NDArray[np.float64]
# the benchmark's two headline metrics
METRICS = 2
_AGAINST = -0.8


@dataclass(frozen=True)
class Noise:
    """How trials and runs scatter, standard deviations of logarithms.

    Attributes:
        trial: of a trial by itself.
        run: of what a run adds, the same in all its trials.
        block: of what a block adds, the same for its cases.
        shared: correlation of what a run (or block) adds to two of its cases.
    """

    trial: float
    run: float = 0.0
    block: float = 0.0
    shared: float = 0.5


@dataclass(frozen=True)
class Design:
    """What is measured on the two sides.

    Attributes:
        trials_a, trials_b: of each run.
        others: runs of the baseline's configuration besides, for their scatter.
        exact: whether the true scatter of the means of runs is given.
    """

    runs_a: int
    runs_b: int
    trials_a: int = 5
    trials_b: int = 5
    cases: int = 3
    others: int = 0
    exact: bool = False

    def __str__(self) -> str:
        known = f", {self.others} others" if self.others else ", scatter given" if self.exact else ""
        trials = f"{self.trials_a}" if self.trials_a == self.trials_b else f"{self.trials_a} and {self.trials_b}"
        return f"{self.runs_a} against {self.runs_b} runs of {trials}{known}"


def _pairs_of_metrics(random: np.random.Generator, size: tuple[int, ...]) -> Values:
    """Standard normal figures of the two metrics, which move against each other; the metric is the last axis."""
    one, other = random.normal(size=(2, *size))
    return np.stack([one, _AGAINST * one + math.sqrt(1 - _AGAINST**2) * other], axis=-1)


def _added(random: np.random.Generator, shape: tuple[int, ...], cases: int, shared: float) -> Values:
    """What a run or block adds to each of its cases; shape (*shape, cases, metrics)."""
    common = _pairs_of_metrics(random, (*shape, 1))
    return math.sqrt(shared) * common + math.sqrt(1 - shared) * _pairs_of_metrics(random, (*shape, cases))


def side(random: np.random.Generator, noise: Noise, shape: tuple[int, int, int], change: float = 0.0) -> Values:
    """Logarithms of shape (runs, trials, cases, metrics); the second metric, CPU per GB, is changed by a ratio.

    Args:
        shape: runs, trials, cases.
    """
    runs, trials, cases = shape
    found = noise.trial * _pairs_of_metrics(random, (runs, trials, cases))
    found += noise.run * _added(random, (runs,), cases, noise.shared)[:, None]
    if noise.block:
        found += noise.block * _added(random, (runs, trials), cases, noise.shared)
    found[..., 1] += math.log1p(change)
    return found


def _means_sd(noise: Noise, trials: int, averaged: int) -> float:
    """The true standard deviation of the mean of a run, over so many cases."""
    added = noise.run**2 + noise.block**2 / trials
    together = noise.shared + (1 - noise.shared) / averaged
    return math.sqrt(added * together + noise.trial**2 / trials / averaged)


def estimates(
    random: np.random.Generator, noise: Noise, design: Design, *, change: float = 0.0, by_workload: bool = False
) -> list[Estimate]:
    """One comparison's family, CPU per GB at the odd places."""
    a = side(random, noise, (design.runs_a, design.trials_a, design.cases))
    b = side(random, noise, (design.runs_b, design.trials_b, design.cases), change)
    others = side(random, noise, (design.others, design.trials_a, design.cases))
    if by_workload:
        a, b, others = (group.mean(axis=2, keepdims=True) for group in (a, b, others))
    sd = _means_sd(noise, design.trials_a, design.cases if by_workload else 1)
    known = KnownScatter(sd) if design.exact else None
    found = []
    for case in range(a.shape[2]):
        for metric in range(METRICS):
            groups = [[np.exp(run[:, case, metric]) for run in group] for group in (a, b, others)]
            found.append(run_means.change(groups[0], groups[1], others=groups[2], known=known))
    return found


Judge = Callable[[Sequence[Estimate]], list[Judgement]]


def called(
    noise: Noise, design: Design, simulations: int, seed: int, *, change: float = 0.0, by_workload: bool = False
) -> float:
    """Share of comparisons that call CPU per GB changed in any row (with a change), or anything (without)."""
    random = np.random.default_rng(seed)
    hits = 0
    for _ in range(simulations):
        judged = judge(estimates(random, noise, design, change=change, by_workload=by_workload))
        hits += any(one.verdict == CHANGED for one in (judged[1::METRICS] if change else judged))
    return hits / simulations


def coverage(noise: Noise, design: Design, simulations: int, seed: int, *, by_workload: bool = False) -> float:
    """Share of plain 95 % intervals of CPU per GB that hold the true change of 5 %."""
    random = np.random.default_rng(seed)
    truth, held, count = math.log1p(0.05), 0, 0
    for _ in range(simulations):
        for one in estimates(random, noise, design, change=0.05, by_workload=by_workload)[1::METRICS]:
            low, high = one.interval()
            held += low <= truth <= high
            count += 1
    return held / count


def trials_as_units(noise: Noise, design: Design, simulations: int, seed: int) -> float:
    """Share of A/A comparisons called changed where the trials of all runs of a side are units: the old way."""
    from scipy import stats

    random = np.random.default_rng(seed)
    hits, tests = 0, design.cases * METRICS
    for _ in range(simulations):
        a = side(random, noise, (design.runs_a, design.trials_a, design.cases)).reshape(-1, tests)
        b = side(random, noise, (design.runs_b, design.trials_b, design.cases)).reshape(-1, tests)
        hits += bool((stats.ttest_ind(a, b, equal_var=False).pvalue * tests < 0.05).any())
    return hits / simulations


def mixed_model(noise: Noise, design: Design, simulations: int, seed: int) -> float:
    """The same for REML with Satterthwaite's degrees of freedom, which in a balanced design has a closed form."""
    from scipy import stats

    random = np.random.default_rng(seed)
    runs, trials, tests = design.runs_a, design.trials_a, design.cases * METRICS
    hits = 0
    for _ in range(simulations):
        a, b = (side(random, noise, (runs, trials, design.cases)).reshape(runs, trials, tests) for _ in range(2))
        between = trials * (a.mean(axis=1).var(axis=0, ddof=1) + b.mean(axis=1).var(axis=0, ddof=1)) / 2
        within = (a.var(axis=1, ddof=1).mean(axis=0) + b.var(axis=1, ddof=1).mean(axis=0)) / 2
        few, many = 2 * (runs - 1), 2 * runs * (trials - 1)
        # a run effect estimated as zero: all squares estimate the variance of trials
        pooled = (few * between + many * within) / (few + many)
        none = between <= within
        variance, degrees = np.where(none, pooled, between), np.where(none, few + many, few)
        moved = a.mean(axis=(0, 1)) - b.mean(axis=(0, 1))
        p = 2 * stats.t.sf(np.abs(moved) / np.sqrt(2 * variance / (runs * trials)), degrees)
        hits += bool((p * tests < 0.05).any())
    return hits / simulations
