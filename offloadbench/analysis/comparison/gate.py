"""Gates of `compare`: a regression fails only when the data support it; an improvement never does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from offloadbench.analysis.comparison.changes import Comparison, Row
from offloadbench.analysis.comparison.metric_names import metric_named
from offloadbench.analysis.comparison.usable_trials import LESS_IS_BETTER
from offloadbench.analysis.statistics.holm import CHANGED, CONTAMINATED, INDICATION, TOO_FEW, testable
from offloadbench.base.errors import OK, REGRESSION, UNDECIDED, UsageError

PASSED, REGRESSED, OPEN = "passed", "regressed", "undecided"
_EXAMPLE = "for example: cpu>+5% or throughput<-3%"


@dataclass(frozen=True, slots=True)
class Gate:
    """A bound on how much worse a metric may get.

    Attributes:
        bound: the relative change from which it is a regression: 0.05 for `>+5%`, -0.03 for `<-3%`.
    """

    metric: str
    bound: float

    def __str__(self) -> str:
        return f"{self.metric}{'>' if self.metric in LESS_IS_BETTER else '<'}{100 * self.bound:+.4g}%"

    def judge(self, row: Row) -> str:
        """`regressed` or `passed` where the row's whole interval lies on one side of the bound, else `undecided`."""
        judgement = row.judgement
        if not testable(judgement.estimate) or judgement.verdict == CONTAMINATED:
            return OPEN
        # NaN, where there is no interval, is on neither side
        _, low, high = judgement.ratios()
        limit = 1 + self.bound
        if self.metric in LESS_IS_BETTER:
            worse, fine = low > limit, high <= limit
        else:
            worse, fine = high < limit, low >= limit
        return REGRESSED if worse and judgement.verdict == CHANGED else PASSED if fine else OPEN


def parse(text: str) -> Gate:
    """`cpu>+5%` or `cpu_s_per_gb>+5%`: fail when the cost per GB rose by more than 5 %.

    Raises:
        UsageError: not such a bound, an unknown metric, or one that an improvement would fail.
    """
    match = re.fullmatch(r"\s*([a-z_0-9]+)\s*([<>])\s*([+-]?\d+(?:\.\d+)?)\s*%\s*", text)
    if not match:
        raise UsageError(f"--fail-on {text!r}: not a bound", _EXAMPLE)
    metric, sign, percent = metric_named(match[1], f"--fail-on {text!r}"), match[2], float(match[3])
    rising = metric in LESS_IS_BETTER
    if (sign == ">") != rising or (percent < 0 if rising else percent > 0):
        direction = "rises" if rising else "falls"
        raise UsageError(f"--fail-on {text!r} fails improvements: {metric} is worse when it {direction}", _EXAMPLE)
    return Gate(metric, percent / 100)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A gate at a row."""

    gate: Gate
    row: Row
    state: str


def outcomes(gates: Sequence[Gate], comparison: Comparison) -> list[Outcome]:
    """Every gate at every row of its metric."""
    return [
        Outcome(gate, row, gate.judge(row))
        for gate in gates
        for row in comparison.rows
        if row.question.metric == gate.metric
    ]


def require(gates: Sequence[Gate], comparison: Comparison, remedy: str) -> None:
    """Refuse gates that these data can never fail.

    Args:
        remedy: what would decide, a command where there is one.

    Raises:
        UsageError: of a bounded metric no row can ever be called changed, or there is no row.
    """
    for gate in gates:
        rows = [row for row in comparison.rows if row.question.metric == gate.metric]
        if not rows:
            reason = "; ".join(comparison.missing) or f"nothing to compare that has {gate.metric}"
        elif any(testable(row.judgement.estimate) for row in rows):
            continue
        else:
            reason = why_untestable(rows[0])
        raise UsageError(f"--fail-on '{gate}' can never fail on these data: {reason}", remedy)


def why_untestable(row: Row) -> str:
    """Why no test of a row's data can call a change."""
    estimate = row.judgement.estimate
    if row.judgement.verdict == INDICATION and row.question.between_runs:
        return "one run a side, and how far identical runs lie apart is not known"
    unit = "runs" if estimate.of_runs else "usable repeats"
    return f"{min(estimate.units)} {unit} a side, at least {row.judgement.trials_needed} are needed"


def exit_code(gates: Sequence[Gate], comparison: Comparison, *, strict: bool) -> int:
    """1 for a regression; 4 where the data cannot decide; else 0.

    A gate that could not be put to a case (missing, too few repeats, spoiled by other processes) is undecided by
    itself; an interval on both sides of the bound, or without gates a row without a verdict, is so when `strict`.
    """
    found = outcomes(gates, comparison)
    states = {outcome.state for outcome in found}
    if REGRESSED in states:
        return REGRESSION
    open_verdicts = (TOO_FEW, INDICATION, CONTAMINATED)
    blind = any(
        outcome.state == OPEN
        and (not testable(outcome.row.judgement.estimate) or outcome.row.judgement.verdict in open_verdicts)
        for outcome in found
    )
    if gates and (blind or comparison.missing or not found):
        return UNDECIDED
    undecided = OPEN in states if gates else any(r.judgement.verdict in open_verdicts for r in comparison.rows)
    return UNDECIDED if strict and (undecided or comparison.missing or not comparison.rows) else OK
