"""How sure a change is. The trial is the unit: seconds of one trial are not independent of each other.

Inside a run, two cases are paired within blocks: Student's t on the logarithms of their ratios. Between runs: Welch's t
on logarithms (Welch 1947); its standard error is widened where successive trials resemble each other (effective sample
size from the lag-1 autocorrelation with Kendall's correction of bias; Zwiers and von Storch 1995). Changes of modules,
which may be zero, are tested on the raw scale.

The interval of a difference is the ratio's, at the baseline's level: the two never disagree about zero.

One trial a side has no scatter between trials. Its interval comes from independent batches of seconds inside the trial
(batch means, Law and Kelton) and knows nothing of what differs between trials: an indication, never a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from offloadbench.analysis import student_t
from offloadbench.errors import StatisticError

ALPHA = 0.05
# with fewer trials a side their autocorrelation cannot be estimated
_SERIAL_FEWEST = 5
_SERIAL_LIMIT = 0.9
# batches of seconds inside a trial: fewer give no interval worth showing
_BATCHES_FEWEST = 5
_BATCH_SHORTEST = 2
PAIRED, WELCH, BATCHES = "paired t within blocks", "Welch t between runs", "batch means within one trial"

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A change from A to B on the scale on which it is tested.

    Attributes:
        a, b: geometric means (log) or means (raw) of the two sides, in the metric's unit.
        change, standard_error: of the logarithms (log) or in the metric's unit (raw); the error is NaN without scatter.
        degrees: degrees of freedom.
        trials_a, trials_b: trials that it rests on; blocks when paired.
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


def _scaled(values: Sequence[float] | Values, *, log: bool) -> Values:
    found = np.asarray(values, dtype=float)
    if not len(found):
        raise StatisticError("a side has no trials", "measure both sides")
    if not np.isfinite(found).all() or (log and (found <= 0).any()):
        wrong = found[~np.isfinite(found) | (found <= 0)]
        raise StatisticError(f"{wrong[0]:g} among the trials has no logarithm", "leave the trial out, or measure again")
    return np.log(found) if log else found


def _checked(estimate: Estimate) -> Estimate:
    """The estimate, unless no test can be made of it."""
    if estimate.standard_error == 0 and estimate.change != 0:
        raise StatisticError(
            "the trials of a side do not differ at all, so no test can weigh the change",
            "copies of a trial are not repeats",
        )
    return estimate


def _centre(scaled: Values, *, log: bool) -> float:
    return math.exp(scaled.mean()) if log else float(scaled.mean())


def paired(a: Sequence[float] | Values, b: Sequence[float] | Values, *, log: bool = True) -> Estimate:
    """The change within blocks: the same block of the run gives one value of each.

    Raises:
        StatisticError: no values, values that have no logarithm, or a change without any scatter.
    """
    x, y = _scaled(a, log=log), _scaled(b, log=log)
    changes = y - x
    blocks = len(changes)
    error = float(changes.std(ddof=1)) / math.sqrt(blocks) if blocks > 1 else math.nan
    error = 0.0 if error < _rounding(x, y) else error
    centres = _centre(x, log=log), _centre(y, log=log)
    change = float(changes.mean()) if error else _cleared(float(changes.mean()), x, y)
    return _checked(Estimate(*centres, change, error, max(1, blocks - 1), blocks, blocks, PAIRED, log))


def _rounding(x: Values, y: Values) -> float:
    """What floating point leaves of a scatter that is none."""
    return 64 * float(np.finfo(float).eps) * float(max(np.abs(x).max(), np.abs(y).max(), 1.0))


def _cleared(change: float, x: Values, y: Values) -> float:
    return 0.0 if abs(change) < _rounding(x, y) else change


def welch(a: Sequence[float] | Values, b: Sequence[float] | Values, *, log: bool = True) -> Estimate:
    """The change between two runs' trials, each side in the order in which it was measured.

    Raises:
        StatisticError: no values, values that have no logarithm, or a change without any scatter.
    """
    x, y = _scaled(a, log=log), _scaled(b, log=log)
    centres = _centre(x, log=log), _centre(y, log=log)
    change = float(y.mean() - x.mean())
    if min(len(x), len(y)) < 2:
        return Estimate(*centres, change, math.nan, 1, len(x), len(y), WELCH, log)
    parts = np.array([x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)])
    variance = float(parts.sum())
    if math.sqrt(variance) < _rounding(x, y):
        change = _cleared(change, x, y)
        return _checked(Estimate(*centres, change, 0.0, len(x) + len(y) - 2, len(x), len(y), WELCH, log))
    degrees = _satterthwaite(parts, np.array([len(x) - 1.0, len(y) - 1.0]))
    inflation = serial_inflation(x, y)
    error = math.sqrt(variance * inflation)
    return Estimate(*centres, change, error, max(1.0, degrees / inflation), len(x), len(y), WELCH, log)


def _satterthwaite(parts: Values, degrees: Values) -> float:
    return float(parts.sum() ** 2 / (parts**2 / degrees).sum())


def serial_inflation(x: Values, y: Values) -> float:
    """By how much successive trials that resemble each other widen the variance of the means; 1 with few trials."""
    if min(len(x), len(y)) < _SERIAL_FEWEST:
        return 1.0
    centred = [side - side.mean() for side in (x, y)]
    products = sum(float(side[1:] @ side[:-1]) for side in centred)
    squares = sum(float(side @ side) for side in centred)
    raw = products / squares
    unbiased = raw + (1 + 3 * raw) / ((len(x) + len(y)) / 2)
    correlation = min(max(unbiased, 0.0), _SERIAL_LIMIT)
    return (1 + correlation) / (1 - correlation)


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
    logs = _scaled(values, log=True)
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
        if squares < len(ratios) * _rounding(ratios, ratios) ** 2:
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
