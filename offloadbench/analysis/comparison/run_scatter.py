"""How far the means of identical runs scatter, and how much of that the trials inside the runs explain.

Model: the logarithm of a trial is a level, plus what its run adds (standard deviation `run_sd`), plus what the trial
adds (`trial_sd`). A run's mean of n trials scatters by sqrt(run_sd^2 + trial_sd^2 / n), so by at least `run_sd`: more
trials do not help against what differs between runs, more runs do. Components by unweighted means (analysis of
variance); the interval of `run_sd` by the modified large-sample method (Ting, Burdick, Graybill, Jeyaratnam, Lu 1990).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offloadbench.analysis.comparison import compatibility
from offloadbench.analysis.comparison.usable_trials import HEADLINES, observations, values
from offloadbench.analysis.statistics import run_means
from offloadbench.analysis.statistics.estimates import ALPHA
from offloadbench.base.errors import RunFileError, StatisticError
from offloadbench.base.units import format_change
from offloadbench.model import Run


@dataclass(frozen=True, slots=True)
class Scatter:
    """Components of variance of trials in several runs; every sd is of natural logarithms (0.05 is about 5 %).

    Attributes:
        runs: how many; trials: of all runs together.
        means_sd: of the run means; NaN with one run.
        degrees: of freedom of `means_sd`: runs less one.
        means_low, means_high: its 95 % interval (chi square).
        trial_sd: inside a run, pooled; NaN where no run has two trials.
        trial_degrees: of freedom of `trial_sd`.
        run_sd: what the runs add beyond their trials; 0 where the trials explain all of `means_sd`.
        run_low, run_high: its 95 % interval.
        explained_ratio: share of the variance of the run means that their trials explain; at most 1.
    """

    runs: int
    trials: int
    means_sd: float
    degrees: int
    means_low: float
    means_high: float
    trial_sd: float
    trial_degrees: int
    run_sd: float
    run_low: float
    run_high: float
    explained_ratio: float


@dataclass(frozen=True, slots=True)
class RunScatter:
    """The scatter of one figure of one case between identical runs.

    Attributes:
        metric: a field of `metrics.Metrics`.
    """

    workload: str
    case: str
    metric: str
    scatter: Scatter


def components(runs: Sequence[Sequence[float]]) -> Scatter:
    """Components of variance.

    Args:
        runs: a list of trials for each run, in the metric's unit.

    Raises:
        StatisticError: a run has no trials, or a value has no logarithm.
    """
    sides = [np.asarray(run, dtype=float) for run in runs]
    if any(not len(side) or not np.isfinite(side).all() or (side <= 0).any() for side in sides):
        raise StatisticError("a run has no trial, or one whose figure has no logarithm", "leave that run out")
    logs = [np.log(side) for side in sides]
    count, trials = len(logs), sum(len(side) for side in logs)
    within, trial_degrees = run_means.inside(logs)
    expected = run_means.given_by_trials(logs, within)
    found = float(np.var([side.mean() for side in logs], ddof=1)) if count > 1 else math.nan
    low, high = _chi_square(found, count - 1)
    run_low, run_high = _beyond(found, count - 1, expected, trial_degrees)
    return Scatter(
        runs=count,
        trials=trials,
        means_sd=math.sqrt(found),
        degrees=count - 1,
        means_low=low,
        means_high=high,
        trial_sd=math.sqrt(within),
        trial_degrees=trial_degrees,
        # in this order a NaN stays one, here and below
        run_sd=math.sqrt(max(found - expected, 0.0)),
        run_low=run_low,
        run_high=run_high,
        explained_ratio=min(expected / found, 1.0) if found else math.nan,
    )


def _chi_square(variance: float, degrees: int) -> tuple[float, float]:
    """The 95 % interval of a standard deviation."""
    from scipy import special

    if degrees < 1:
        return math.nan, math.nan
    low, high = (math.sqrt(variance * degrees / special.chdtri(degrees, tail)) for tail in (ALPHA / 2, 1 - ALPHA / 2))
    return low, high


def _beyond(found: float, degrees: int, expected: float, trial_degrees: int) -> tuple[float, float]:
    """The 95 % interval of the root of `found - expected`, which are estimated variances with degrees of freedom."""
    from scipy import special

    if degrees < 1 or trial_degrees < 1:
        return math.nan, math.nan
    tail = ALPHA / 2
    # quantiles of chi square over its degrees: upper and lower, of both variances
    up, down = special.chdtri(degrees, tail) / degrees, special.chdtri(degrees, 1 - tail) / degrees
    trial_up = special.chdtri(trial_degrees, tail) / trial_degrees
    trial_down = special.chdtri(trial_degrees, 1 - tail) / trial_degrees
    above = special.fdtri(degrees, trial_degrees, 1 - tail)
    below = special.fdtri(degrees, trial_degrees, tail)
    g_run, h_run, g_trial, h_trial = 1 - 1 / up, 1 / down - 1, 1 - 1 / trial_up, 1 / trial_down - 1
    g_both = ((above - 1) ** 2 - (g_run * above) ** 2 - h_trial**2) / above
    h_both = ((1 - below) ** 2 - (h_run * below) ** 2 - g_trial**2) / below
    lower = (g_run * found) ** 2 + (h_trial * expected) ** 2 + g_both * found * expected
    upper = (h_run * found) ** 2 + (g_trial * expected) ** 2 + h_both * found * expected
    low = found - expected - math.sqrt(max(0.0, lower))
    high = found - expected + math.sqrt(max(0.0, upper))
    return math.sqrt(max(0.0, low)), math.sqrt(max(0.0, high))


def run_scatter(runs: Sequence[Run], metrics: Sequence[str] = HEADLINES) -> list[RunScatter]:
    """The scatter of every workload, case and metric that all these runs have, by workload and ladder.

    Raises:
        RunFileError: fewer than two runs, the same run twice, or runs that do not answer the same question.
        StatisticError: a figure has no logarithm.
    """
    if len({run.run_id for run in runs}) < max(2, len(runs)):
        raise RunFileError(
            "the scatter between runs needs two different runs or more", "see: offloadbench run --runs N"
        )
    for other in runs[1:]:
        hindrances = compatibility.obstacles(runs[0], other)
        if hindrances:
            raise RunFileError(f"these are not runs of one kind: {'; '.join(hindrances)}", "give runs made alike")
    seen = [observations(run) for run in runs]
    found = []
    for workload in seen[0].workloads():
        for case in seen[0].cases(workload):
            sides = [one.case(workload, case) for one in seen]
            if not all(sides):
                continue
            for metric in metrics:
                figures = [values(side.values(), metric) for side in sides]
                found.append(RunScatter(workload, case, metric, components(figures)))
    return found


def sentences(found: Sequence[RunScatter]) -> list[str]:
    """A sentence for each."""
    return [f"{one.workload} {one.case}, {one.metric}: {_words(one.scatter)}" for one in found]


def _words(scatter: Scatter) -> str:
    means = f"the means of {scatter.runs} runs scatter by {_percent(scatter.means_sd)}"
    means += f" ({_percent(scatter.means_low)} to {_percent(scatter.means_high)})"
    if math.isnan(scatter.run_sd):
        return f"{means}; with one trial a run it cannot be told how much of it is between runs"
    return (
        f"{means}; the scatter between blocks explains {100 * scatter.explained_ratio:.0f} % of that variance; "
        f"beyond it runs scatter by {_percent(scatter.run_sd)} "
        f"({_percent(scatter.run_low)} to {_percent(scatter.run_high)})"
    )


def _percent(sd: float) -> str:
    """A geometric standard deviation: 0.08 of logarithms -> '8.3 %'."""
    return format_change(math.expm1(sd))
