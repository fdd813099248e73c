"""How narrow a run's headline intervals are, so that `run --precision` knows when to stop.

Inside a run every case is paired with the reference case, the first on the ladder: what narrows is the 95 % interval of
their ratio, which drift does not widen. A run of one case narrows the interval of its mean. Looking after every block
costs coverage: stopping at the first narrow interval leaves about 93 % (tests/benchmarks/statistics.py), and less than
that before `FIRST_LOOK` blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from offloadbench.analysis.comparison.usable_trials import HEADLINES, common_blocks, observations, values
from offloadbench.analysis.statistics.estimates import paired
from offloadbench.base.errors import StatisticError
from offloadbench.model import Run

FIRST_LOOK = 5


@dataclass(frozen=True, slots=True)
class Width:
    """Half of a 95 % interval, relative to its middle: 0.02 is ±2 %; infinite without an interval."""

    workload: str
    case: str
    reference: str
    metric: str
    half_ratio: float

    def __str__(self) -> str:
        size = f"±{100 * self.half_ratio:.2g} %" if math.isfinite(self.half_ratio) else "not known"
        against = f" against {self.reference}" if self.reference else ""
        return f"{size} ({self.workload}, {self.case}{against}, {self.metric})"


def widths(run: Run) -> list[Width]:
    """Every headline interval of a run, the widest first."""
    seen = observations(run)
    found = []
    for workload in run.plan.workloads:
        cases = [case.definition.name for case in run.plan.cases if not case.skip_reason]
        reference, *others = sorted(cases, key=lambda name: _order(run, name))
        base = seen.case(workload.name, reference)
        for case in others or [reference]:
            side = seen.case(workload.name, case)
            blocks = common_blocks(base, side)
            for metric in HEADLINES:
                mine = values([side[block] for block in blocks], metric)
                against = values([base[block] for block in blocks], metric) if others else [1.0] * len(mine)
                found.append(Width(workload.name, case, reference if others else "", metric, _half(against, mine)))
    return sorted(found, key=lambda width: -width.half_ratio)


def _order(run: Run, name: str) -> int:
    return next(case.definition.order for case in run.plan.cases if case.definition.name == name)


def _half(a: list[float], b: list[float]) -> float:
    """Infinite when there is no interval, so that more blocks are measured."""
    try:
        low, high = paired(a, b).interval()
    except StatisticError:
        return math.inf
    return math.inf if math.isnan(low) else math.expm1((high - low) / 2)


def needs_more(run: Run) -> bool:
    """Whether the run's plan asks for another block."""
    plan = run.plan
    if not plan.precision_ratio or plan.repeats >= plan.max_repeats:
        return False
    return any(width.half_ratio > plan.precision_ratio for width in widths(run))
