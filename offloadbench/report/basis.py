"""What the verdicts of a comparison rest on, in sentences: the unit, its scatter, and what is not known."""

from __future__ import annotations

import math
from collections.abc import Sequence

from offloadbench.analysis.comparison.changes import Row
from offloadbench.analysis.statistics.estimates import GIVEN
from offloadbench.analysis.statistics.holm import INDICATION
from offloadbench.analysis.statistics.run_means import EXACT
from offloadbench.base.units import format_change

TITLES = {
    "throughput_bits_per_s": "throughput",
    "goodput_bits_per_s": "goodput",
    "cpu_s_per_gb": "CPU s per GB",
    "cpu_busy_ratio": "CPU busy",
    "value_per_byte": "per byte",
}
_LISTED = 3
# what cannot be known of two runs alone; a report and a table say the same
ONE_RUN_A_SIDE = (
    "One run a side: how far identical runs lie apart is not known, and more repeats of the same run do not show it. "
    "The intervals hold the scatter inside these two runs only. Everything here is an indication, not a verdict."
)


def title(metric: str) -> str:
    """A metric as people name it."""
    return TITLES.get(metric, metric)


def listed(rows: Sequence[Row]) -> str:
    """Rows by name; of many the first."""
    names = list(dict.fromkeys(f"{r.question.workload} {r.question.case} {title(r.question.metric)}" for r in rows))
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def sentences(rows: Sequence[Row]) -> list[str]:
    """What the rows between runs rest on; nothing for rows inside a run."""
    between = [row for row in rows if row.question.between_runs]
    found = []
    if any(row.judgement.verdict == INDICATION for row in between):
        found.append(ONE_RUN_A_SIDE)
    of_runs = [row for row in between if row.judgement.estimate.of_runs]
    if of_runs:
        found += _of_runs(of_runs)
    notes = dict.fromkeys(row.judgement.estimate.note for row in between if row.judgement.estimate.note)
    return [*found, *(f"Note: {note}." for note in notes)]


def _of_runs(rows: Sequence[Row]) -> list[str]:
    estimates = [row.judgement.estimate for row in rows]
    sides = dict.fromkeys(f"{e.runs_a} against {e.runs_b}" for e in estimates)
    degrees = sorted({e.degrees for e in estimates})
    known = "a scatter taken as exact" if degrees[-1] >= EXACT else f"{_span(degrees)} degrees of freedom"
    source = "with the run scatter given, " if any(e.method == GIVEN for e in estimates) else ""
    text = f"The run is the unit: {', '.join(sides)}, {source}{known}."
    scatters = [
        f"{title(metric)} {_scatter([r for r in rows if r.question.metric == metric])}"
        for metric in dict.fromkeys(row.question.metric for row in rows if row.judgement.estimate.log)
    ]
    if scatters:
        text += f" Means of identical runs scatter by (standard deviation): {', '.join(scatters)}."
    return [text]


def _span(values: Sequence[float]) -> str:
    ends = list(dict.fromkeys(f"{value:.3g}" for value in (values[0], values[-1])))
    return " to ".join(ends)


def _scatter(rows: Sequence[Row]) -> str:
    found = sorted(math.expm1(row.judgement.estimate.run_sd) for row in rows)
    return " to ".join(dict.fromkeys(format_change(value) for value in (found[0], found[-1])))
