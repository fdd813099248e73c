"""Verdicts on a family of estimates: the headline metrics of all cases of one workload, judged together.

Holm's step-down procedure (Holm 1979). The interval of a judgement is taken at the level at which that procedure tested
it, so it leaves out "no change" exactly when the verdict is `changed`; the plain 95 % interval stands beside it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from offloadbench.analysis.statistics import student_t
from offloadbench.analysis.statistics.estimates import ALPHA, INDICATIVE, Estimate

POWER = 0.8
# blocks from which there is a verdict: with fewer degrees of freedom than these have, Student's t leans on the normal
# distribution alone
FEWEST = 3
_FEWEST_DEGREES = FEWEST - 1
# "too few" asks for as many trials as would find a change of so many standard deviations with the power above
OBVIOUS_CHANGE = 10.0
CHANGED, UNDECIDED, TOO_FEW, INDICATION = "changed", "~", "too few", "indication"
# other processes' work on the measured CPUs could be the difference (`offloadbench.analysis.comparison.foreign_work`)
CONTAMINATED = "contaminated"


@dataclass(frozen=True, slots=True)
class Judgement:
    """An estimate judged within its family.

    Attributes:
        p, p_holm: raw, and adjusted over the family; NaN for an indication and without an interval.
        level: the confidence of `ratio_low` .. `difference_high`; 0.95 to 1 - 0.05 / size of the family.
        verdict: `changed`, `~` (nothing shown), `too few` (trials or runs), `indication` (one trial or run a side),
            `contaminated`.
        trials_needed: trials of a run, or runs, a side from which an obvious change (`OBVIOUS_CHANGE`) would be found
            in this family.
        detectable_change: the smallest relative change that such data would show with 80 % power, at this level and
            these degrees of freedom (noncentral t); as often too small as too large, since the scatter is estimated.
        reason: why it is `contaminated`; "" otherwise.
    """

    estimate: Estimate
    p: float
    p_holm: float
    level: float
    verdict: str
    trials_needed: int
    detectable_change: float
    reason: str = ""

    def reversed(self) -> Judgement:
        """The same answer to the same question with its sides exchanged."""
        estimate = self.estimate
        sides = replace(
            estimate,
            a=estimate.b,
            b=estimate.a,
            change=-estimate.change,
            trials_a=estimate.trials_b,
            trials_b=estimate.trials_a,
            runs_a=estimate.runs_b,
            runs_b=estimate.runs_a,
        )
        return replace(self, estimate=sides)

    def ratios(self, level: float | None = None) -> tuple[float, float, float]:
        """B over A, and its interval at `level`, by default the judgement's own."""
        low, high = self.estimate.interval(level or self.level)
        return self.estimate.ratio(self.estimate.change), self.estimate.ratio(low), self.estimate.ratio(high)

    def differences(self, level: float | None = None) -> tuple[float, float, float]:
        """B minus A in the metric's unit, and its interval."""
        low, high = self.estimate.interval(level or self.level)
        return (
            self.estimate.difference(self.estimate.change),
            self.estimate.difference(low),
            self.estimate.difference(high),
        )


def holm(p_values: Sequence[float], tests: int, alpha: float = ALPHA) -> tuple[list[float], list[float]]:
    """Holm's step-down procedure over a family.

    Args:
        p_values: raw; NaN for what was not tested.
        tests: size of the family; more than there are p values when some tests could not be made.
        alpha: the family's part of `ALPHA`, where several families share it (Bonferroni).

    Returns:
        Adjusted p values, at most `ALPHA` where the test rejects, and for each the confidence of the interval that
        agrees with its verdict.
    """
    adjusted, levels = [math.nan] * len(p_values), [1 - alpha] * len(p_values)
    left, highest, stopped_at = tests, 0.0, 0
    for index in sorted((i for i, p in enumerate(p_values) if not math.isnan(p)), key=lambda i: p_values[i]):
        highest = max(highest, min(1.0, p_values[index] * left * ALPHA / alpha))
        adjusted[index] = highest
        if highest > ALPHA and not stopped_at:
            stopped_at = left
        levels[index] = 1 - alpha / (stopped_at or left)
        left -= 1
    return adjusted, levels


def trials_needed(tests: int, alpha: float = ALPHA, *, of_runs: bool = False) -> int:
    """Units a side from which a change of `OBVIOUS_CHANGE` standard deviations would be found with 80 % power.

    At Holm's strictest level, for this many tests in the family: blocks that are paired, or runs.
    """
    units = 2 if of_runs else FEWEST
    while _reach(1 - alpha / tests, 2 * units - 2 if of_runs else units - 1) * math.sqrt(2 / units) > OBVIOUS_CHANGE:
        units += 1
    return units


@functools.lru_cache(maxsize=4096)
def _reach(level: float, degrees: float) -> float:
    """The change, in true standard errors, that a test at this level finds with the power above."""
    return student_t.noncentrality(degrees, student_t.quantile(degrees, (1 + level) / 2), 1 - POWER)


def testable(estimate: Estimate) -> bool:
    """Whether a test of these data can ever call a change."""
    return estimate.method not in INDICATIVE and estimate.degrees >= _FEWEST_DEGREES


def _detectable(estimate: Estimate, level: float) -> float:
    # half of all estimates of the scatter lie below its median: taken as they are they would promise too much
    error = estimate.standard_error / math.sqrt(student_t.median_variance(estimate.degrees))
    return abs(estimate.ratio(_reach(level, estimate.degrees) * error) - 1)


def cells(judgement: Judgement) -> dict[str, object]:
    """A judgement as cells of a row; the interval is at `level`, `_95` is the plain one."""
    ratios, plain, differences = judgement.ratios(), judgement.ratios(0.95), judgement.differences()
    return {
        "ratio": ratios[0],
        "ratio_low": ratios[1],
        "ratio_high": ratios[2],
        "ratio_low_95": plain[1],
        "ratio_high_95": plain[2],
        "difference": differences[0],
        "difference_low": differences[1],
        "difference_high": differences[2],
        "level": judgement.level,
        "p": judgement.p,
        "p_holm": judgement.p_holm,
        "verdict": judgement.verdict,
        "trials_needed": judgement.trials_needed,
        "detectable_change": judgement.detectable_change,
        "method": judgement.estimate.method,
    }


def judge(estimates: Sequence[Estimate], alpha: float = ALPHA) -> list[Judgement]:
    """Every estimate of one family, judged together.

    Args:
        alpha: the family's part of `ALPHA`, see `holm`.
    """
    tests = len(estimates)
    p_values = [e.p if testable(e) else math.nan for e in estimates]
    adjusted, levels = holm(p_values, tests, alpha)
    return [
        Judgement(
            estimate=estimate,
            p=p,
            p_holm=p_holm,
            level=level,
            verdict=_verdict(estimate, p_holm, 1 - alpha / tests),
            trials_needed=trials_needed(tests, alpha, of_runs=estimate.of_runs),
            detectable_change=_detectable(estimate, level),
        )
        for estimate, p, p_holm, level in zip(estimates, p_values, adjusted, levels, strict=True)
    ]


def _verdict(estimate: Estimate, p_holm: float, strictest: float) -> str:
    if estimate.method in INDICATIVE:
        return INDICATION
    if p_holm <= ALPHA:
        return CHANGED
    units_a, units_b = estimate.units
    reach = _reach(strictest, estimate.degrees) * math.sqrt(1 / units_a + 1 / units_b)
    return UNDECIDED if testable(estimate) and reach <= OBVIOUS_CHANGE else TOO_FEW
