"""How sure a change is. Inside a run the block is the unit: seconds of one trial are not independent of each other.

Inside a run, two cases are paired within blocks: Student's t on the logarithms of their ratios. Between runs the run is
the unit (`offloadbench.analysis.statistics.run_means`). Changes of modules, which may be zero, are tested on the raw
scale.

The interval of a difference is the ratio's, at the baseline's level: the two never disagree about zero.

Two kinds of scatter give an interval but never a verdict. Trials of one run a side (Welch's t, Welch 1947) know nothing
of what differs between runs. One trial a side has no scatter between trials: its interval comes from independent
batches of seconds inside the trial (batch means, Law and Kelton).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from offloadbench.analysis.statistics import student_t
from offloadbench.base.errors import StatisticError

ALPHA = 0.05
# batches of seconds inside a trial: fewer give no interval worth showing
_BATCHES_FEWEST = 5
_BATCH_SHORTEST = 2
PAIRED, RUNS, GIVEN = "paired t within blocks", "pooled t on the means of runs", "t with the run scatter given"
ONE_RUN, BATCHES = "Welch t on the trials of one run a side", "batch means within one trial"
# what two runs or two trials differ by is not in these intervals: they indicate, and decide nothing
INDICATIVE = frozenset({ONE_RUN, BATCHES})

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A change from A to B on the scale on which it is tested.

    Attributes:
        a, b: geometric means (log) or means (raw) of the two sides, in the metric's unit.
        change, standard_error: of the logarithms (log) or in the metric's unit (raw); the error is NaN without scatter.
        degrees: degrees of freedom.
        trials_a, trials_b: trials that it rests on; blocks when paired.
        runs_a, runs_b: runs that these are of.
        run_sd: standard deviation of the means of runs that the error rests on, on the scale of the test; NaN where the
            error does not rest on runs.
        note: what to know of the error besides.
    """

    a: float
    b: float
    change: float
    standard_error: float
    degrees: float
    trials_a: int
    trials_b: int
    method: str
    log: bool = True
    runs_a: int = 1
    runs_b: int = 1
    run_sd: float = math.nan
    note: str = ""

    @property
    def of_runs(self) -> bool:
        """Whether the run is the unit, not the trial."""
        return self.method in (RUNS, GIVEN)

    @property
    def units(self) -> tuple[int, int]:
        """Independent units of each side: runs, or trials (blocks) of one run."""
        return (self.runs_a, self.runs_b) if self.of_runs else (self.trials_a, self.trials_b)

    @property
    def p(self) -> float:
        """Two-sided p of "no change"; NaN without an interval."""
        if self.standard_error == 0:
            return 1.0
        return 2 * student_t.below(self.degrees, -abs(self.change / self.standard_error))

    def interval(self, level: float = 1 - ALPHA) -> tuple[float, float]:
        """The change's interval at this confidence, on the scale of the test."""
        reach = student_t.quantile(self.degrees, (1 + level) / 2) * self.standard_error
        return self.change - reach, self.change + reach

    def ratio(self, change: float) -> float:
        """A change on the scale of the test as B over A; NaN where A is zero."""
        if self.log:
            return math.exp(min(change, 700.0))
        return 1 + change / self.a if self.a else math.nan

    def difference(self, change: float) -> float:
        """A change on the scale of the test as B minus A, in the metric's unit."""
        return self.a * math.expm1(min(change, 700.0)) if self.log else change


def scaled(values: Sequence[float] | Values, *, log: bool) -> Values:
    """The values on the scale of the test.

    Raises:
        StatisticError: no values, or values that have no logarithm.
    """
    found = np.asarray(values, dtype=float)
    if not len(found):
        raise StatisticError("a side has no trials", "measure both sides")
    if not np.isfinite(found).all() or (log and (found <= 0).any()):
        wrong = found[~np.isfinite(found) | (found <= 0)]
        raise StatisticError(f"{wrong[0]:g} among the trials has no logarithm", "leave the trial out, or measure again")
    return np.log(found) if log else found


def checked(estimate: Estimate) -> Estimate:
    """The estimate.

    Raises:
        StatisticError: no test can be made of it.
    """
    if estimate.standard_error == 0 and estimate.change != 0:
        raise StatisticError(
            "the trials of a side do not differ at all, so no test can weigh the change",
            "copies of a trial are not repeats",
        )
    return estimate


def _centre(values: Values, *, log: bool) -> float:
    return math.exp(values.mean()) if log else float(values.mean())


def paired(a: Sequence[float] | Values, b: Sequence[float] | Values, *, log: bool = True) -> Estimate:
    """The change within blocks: the same block of the run gives one value of each.

    Raises:
        StatisticError: no values, values that have no logarithm, or a change without any scatter.
    """
    x, y = scaled(a, log=log), scaled(b, log=log)
    changes = y - x
    blocks = len(changes)
    error = float(changes.std(ddof=1)) / math.sqrt(blocks) if blocks > 1 else math.nan
    error = 0.0 if error < rounding(x, y) else error
    centres = _centre(x, log=log), _centre(y, log=log)
    change = float(changes.mean()) if error else cleared(float(changes.mean()), x, y)
    return checked(Estimate(*centres, change, error, max(1, blocks - 1), blocks, blocks, PAIRED, log))


def rounding(x: Values, y: Values) -> float:
    """What floating point leaves of a scatter that is none."""
    return 64 * float(np.finfo(float).eps) * float(max(np.abs(x).max(), np.abs(y).max(), 1.0))


def cleared(change: float, x: Values, y: Values) -> float:
    """The change, unless it is nothing but rounding."""
    return 0.0 if abs(change) < rounding(x, y) else change


def welch(a: Sequence[float] | Values, b: Sequence[float] | Values, *, log: bool = True) -> Estimate:
    """The change between the trials of one run and those of another; the scatter between runs is not in its interval.

    Raises:
        StatisticError: no values, values that have no logarithm, or a change without any scatter.
    """
    x, y = scaled(a, log=log), scaled(b, log=log)
    centres = _centre(x, log=log), _centre(y, log=log)
    change = float(y.mean() - x.mean())
    if min(len(x), len(y)) < 2:
        return Estimate(*centres, change, math.nan, 1, len(x), len(y), ONE_RUN, log)
    parts = np.array([x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)])
    error = math.sqrt(parts.sum())
    if error < rounding(x, y):
        change = cleared(change, x, y)
        return checked(Estimate(*centres, change, 0.0, len(x) + len(y) - 2, len(x), len(y), ONE_RUN, log))
    degrees = _satterthwaite(parts, np.array([len(x) - 1.0, len(y) - 1.0]))
    return Estimate(*centres, change, error, max(1.0, degrees), len(x), len(y), ONE_RUN, log)


def _satterthwaite(parts: Values, degrees: Values) -> float:
    return float(parts.sum() ** 2 / (parts**2 / degrees).sum())


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """The mean change of independent estimates on one scale: over the cases of a workload, the geometric mean."""
    count = len(estimates)
    parts = np.array([(e.standard_error / count) ** 2 for e in estimates])
    error = math.sqrt(parts.sum())
    known = math.isfinite(error) and error > 0
    degrees = _satterthwaite(parts, np.array([e.degrees for e in estimates])) if known else 1.0
    sides = np.array([[e.a, e.b] for e in estimates])
    a, b = np.exp(np.log(sides).mean(axis=0)) if estimates[0].log else sides.mean(axis=0)
    return Estimate(
        a=float(a),
        b=float(b),
        change=float(np.mean([e.change for e in estimates])),
        standard_error=error,
        degrees=degrees,
        trials_a=min(e.trials_a for e in estimates),
        trials_b=min(e.trials_b for e in estimates),
        method=next((e.method for e in estimates if e.method == BATCHES), estimates[0].method),
        log=estimates[0].log,
    )


def mean_interval(values: Sequence[float] | Values, level: float = 1 - ALPHA) -> tuple[float, float, float]:
    """The geometric mean of a case's trials and its interval: Student's t on logarithms.

    Returns:
        Mean, low and high, in the metric's unit; the ends are NaN with one value.

    Raises:
        StatisticError: no values, or values that have no logarithm.
    """
    logs = scaled(values, log=True)
    count, mean = len(logs), float(logs.mean())
    if count < 2:
        return math.exp(mean), math.nan, math.nan
    reach = student_t.quantile(count - 1, (1 + level) / 2) * float(logs.std(ddof=1)) / math.sqrt(count)
    # few trials that differ much reach farther than a float does
    return math.exp(mean), math.exp(mean - reach), math.exp(min(mean + reach, 700.0))


def batches(numerator: Sequence[float] | Values, denominator: Sequence[float] | Values) -> Values:
    """Ratios of sums over batches of seconds, as long as it takes until neighbours no longer resemble each other.

    Returns:
        At least `_BATCHES_FEWEST` values, or none: too short a window, or no batch length makes them independent.
    """
    above, below = np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
    length = _BATCH_SHORTEST
    while len(above) // length >= _BATCHES_FEWEST:
        count = len(above) // length
        sums = [column[: count * length].reshape(count, length).sum(axis=1) for column in (above, below)]
        if (sums[0] <= 0).any() or (sums[1] <= 0).any():
            break
        ratios = np.log(sums[0] / sums[1])
        centred = ratios - ratios.mean()
        squares = float(centred @ centred)
        # seconds that do not differ at all were not measured
        if squares < len(ratios) * rounding(ratios, ratios) ** 2:
            break
        # lag-1 autocorrelation of white noise: mean about -1/n, standard deviation about 1/sqrt(n)
        if float(centred[1:] @ centred[:-1]) / squares <= 1 / math.sqrt(count):
            return np.array(np.exp(ratios))
        length *= 2
    return np.empty(0)


def indicated(a: float, b: float, batches_a: Values, batches_b: Values) -> Estimate:
    """The change between two single trials, with the scatter inside them; no interval without batches."""
    change = math.log(b / a)
    if not len(batches_a) or not len(batches_b):
        return Estimate(a, b, change, math.nan, 1, 1, 1, BATCHES)
    inside = welch(batches_a, batches_b)
    return Estimate(a, b, change, inside.standard_error, inside.degrees, 1, 1, BATCHES)
