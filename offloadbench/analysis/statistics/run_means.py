"""How sure a change between runs is. The run is the unit: runs of one configuration differ by more than their trials.

Student's t on the means of runs, their variance pooled over all groups of identical runs (one-way analysis of
variance): both sides, and other runs of the configuration where there are any. It is exact for any size of the run
effect, and with n runs a side it has 2n - 2 degrees of freedom (Welch's would have as few as n - 1). Pooling assumes
that the runs of both sides scatter alike; with as many on each side little depends on that (Scheffe 1959, The Analysis
of Variance, chapter 10), with 3 against 10 much does.

Not a mixed model (REML with Satterthwaite's degrees of freedom; Kuznetsova et al. 2017): wherever the runs of a sample
happen to lie close together it takes the run effect for zero and the trials for units, which calls too much at Holm's
strict levels (tests/benchmarks/statistics.py simulates it). Not pooled over cases either: the cases of one machine
scatter differently (0.16 and 0.09 seen), and one draw of the machine's state hits all of them.

Trials that resemble their neighbours need no correction: what that does to the mean of a run is part of its scatter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offloadbench.analysis.statistics import student_t
from offloadbench.analysis.statistics.estimates import (
    GIVEN,
    RUNS,
    Estimate,
    Values,
    checked,
    cleared,
    rounding,
    scaled,
    welch,
)

Runs = Sequence[Sequence[float] | Values]
# degrees of freedom of a scatter that is taken as exact: t is the normal distribution to four digits
EXACT = 1e6
# what is given is dropped where the data contradict it as clearly as this
_CONTRADICTED_P = 0.01


@dataclass(frozen=True, slots=True)
class KnownScatter:
    """A run scatter that was measured elsewhere.

    Attributes:
        deviation: standard deviation of the logarithms of the means of runs; 0.08 is about 8 %.
        degrees: of freedom of it, `EXACT` where it is to be taken as it is.
    """

    deviation: float
    degrees: float = EXACT


@dataclass(frozen=True, slots=True)
class _Pool:
    """The variance of the means of runs.

    Attributes:
        inverse_trials: mean of 1/trials of the runs that it is of; NaN where that is not known.
    """

    variance: float
    degrees: float
    inverse_trials: float
    method: str
    note: str = ""


def change(a: Runs, b: Runs, *, others: Runs = (), known: KnownScatter | None = None, log: bool = True) -> Estimate:
    """The change from the runs of one side to those of the other.

    Args:
        a, b: the values of each run, in the metric's unit.
        others: more runs of the same configuration, for their scatter only.
        known: the scatter, from elsewhere.

    Returns:
        With one run a side and nothing known of the scatter: `welch`, an indication.

    Raises:
        StatisticError: no values, values that have no logarithm, or a change without any scatter.
    """
    groups = [[scaled(run, log=log) for run in group] for group in (a, b, others)]
    pool = _pool(groups, known)
    if pool is None:
        return welch(a[0], b[0], log=log)
    sides = [np.array([run.mean() for run in group]) for group in groups[:2]]
    trial_variance, trial_degrees = inside([run for group in groups for run in group])
    # with one trial a run all of the scatter is that of the runs' means
    variance = sum(_of_mean(group, pool, trial_variance if trial_degrees else 0.0) for group in groups[:2])
    centres = [math.exp(side.mean()) if log else float(side.mean()) for side in sides]
    moved = float(sides[1].mean() - sides[0].mean())
    error = math.sqrt(variance)
    if error < rounding(*sides):
        error, moved = 0.0, cleared(moved, *sides)
    trials_a, trials_b = (sum(len(run) for run in group) for group in groups[:2])
    return checked(
        Estimate(
            a=centres[0],
            b=centres[1],
            change=moved,
            standard_error=error,
            degrees=pool.degrees,
            trials_a=trials_a,
            trials_b=trials_b,
            method=pool.method,
            log=log,
            runs_a=len(a),
            runs_b=len(b),
            run_sd=math.sqrt(pool.variance),
            note=pool.note,
        )
    )


def _pool(groups: Sequence[Sequence[Values]], known: KnownScatter | None) -> _Pool | None:
    """The scatter of the means of runs inside the groups, and what is known besides; None where neither is there."""
    means = [np.array([run.mean() for run in group]) for group in groups if len(group) > 1]
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in means)
    degrees = sum(len(group) - 1 for group in means)
    inverse = [(1 - 1 / len(group)) * sum(1 / len(run) for run in group) for group in groups if len(group) > 1]
    seen = _Pool(squares / degrees, degrees, sum(inverse) / degrees, RUNS) if degrees else None
    if known is None:
        return seen
    given = known.deviation**2
    runs = [run for group in groups for run in group]
    trial_variance, floor_degrees = inside(runs)
    floor = given_by_trials(runs, trial_variance)
    if seen is not None:
        if student_t.above_f(seen.variance / given, seen.degrees, known.degrees) < _CONTRADICTED_P:
            note = f"these runs scatter by {_percent(seen.variance)}, more than the {_percent(given)} given: not used"
            return _Pool(seen.variance, seen.degrees, seen.inverse_trials, RUNS, note)
        together = seen.degrees + known.degrees
        return _Pool((squares + known.degrees * given) / together, together, seen.inverse_trials, GIVEN)
    if floor_degrees and student_t.above_f(floor / given, floor_degrees, known.degrees) < _CONTRADICTED_P:
        note = f"the trials alone scatter the means of runs by {_percent(floor)}: more than the {_percent(given)} given"
        return _Pool(floor, min(floor_degrees, known.degrees), math.nan, GIVEN, note)
    return _Pool(given, known.degrees, math.nan, GIVEN)


def _percent(variance: float) -> str:
    return f"{100 * math.sqrt(variance):.2g} %"


def inside(runs: Sequence[Values]) -> tuple[float, int]:
    """The variance of trials inside their runs, pooled, and its degrees of freedom; NaN and 0 where no run has two."""
    degrees = sum(len(run) - 1 for run in runs)
    squares = sum(float(((run - run.mean()) ** 2).sum()) for run in runs)
    return (squares / degrees if degrees else math.nan), degrees


def given_by_trials(runs: Sequence[Values], trial_variance: float) -> float:
    """The variance that the scatter of trials alone gives the unweighted mean of a run."""
    return trial_variance * float(np.mean([1 / len(run) for run in runs]))


def _of_mean(group: Sequence[Values], pool: _Pool, trial_variance: float) -> float:
    """The variance of the mean over the runs of a side, which may have more or fewer trials than those of the pool."""
    of_trials = given_by_trials(group, trial_variance)
    adjusted = pool.variance
    if not math.isnan(pool.inverse_trials):
        adjusted += of_trials - trial_variance * pool.inverse_trials
    return max(adjusted, min(pool.variance, of_trials)) / len(group)
