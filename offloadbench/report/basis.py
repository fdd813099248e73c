"""What the verdicts of a comparison rest on, in sentences: the unit, its scatter, and what is not known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from offloadbench.analysis.comparison.change_words import whole
from offloadbench.analysis.comparison.changes import Row
from offloadbench.analysis.statistics.estimates import GIVEN
from offloadbench.analysis.statistics.holm import INDICATION
from offloadbench.analysis.statistics.run_means import EXACT
from offloadbench.base.sentence import Quantity, Sentence, Source, join, only, say
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
ONE_RUN_A_SIDE = say(
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


def sentences(rows: Sequence[Row]) -> list[Sentence]:
    """What the rows between runs rest on; nothing for rows inside a run.

    Their figures have the names of columns of `offloadbench compare --format csv`.
    """
    between = [row for row in rows if row.question.between_runs]
    found = []
    if any(row.judgement.verdict == INDICATION for row in between):
        found.append(ONE_RUN_A_SIDE)
    of_runs = [row for row in between if row.judgement.estimate.of_runs]
    if of_runs:
        found.append(_of_runs(of_runs))
    notes = dict.fromkeys(row.judgement.estimate.note for row in between if row.judgement.estimate.note)
    return [*found, *(say("Note: {note}.", note=note) for note in notes)]


def _cell(column: str, rows: Sequence[Row], derive: Callable[[Sequence[float]], float] = only) -> Source:
    """Of these rows."""
    names = ("a", "b", "workload", "case", "module", "metric")
    where = {name: tuple(dict.fromkeys(getattr(row.question, name) for row in rows)) for name in names}
    return Source("compare", column, where, derive)


def _of_runs(rows: Sequence[Row]) -> Sentence:
    estimates = [row.judgement.estimate for row in rows]
    each = {(row.judgement.estimate.runs_a, row.judgement.estimate.runs_b): row for row in rows}
    sides = [
        say(
            "{runs_a} against {runs_b}",
            runs_a=Quantity(one, whole, _cell("runs_a", [row])),
            runs_b=Quantity(other, whole, _cell("runs_b", [row])),
        )
        for (one, other), row in each.items()
    ]
    degrees = [e.degrees for e in estimates]
    known = (
        say("a scatter taken as exact")
        if max(degrees) >= EXACT
        else say("{degrees} degrees of freedom", degrees=_span("degrees", rows, degrees, _three_digits))
    )
    text = say(
        "The run is the unit: {sides}, {given}{known}.",
        sides=join(", ", sides),
        given=say("with the run scatter given, ") if any(e.method == GIVEN for e in estimates) else "",
        known=known,
    )
    scatters = []
    for metric in dict.fromkeys(row.question.metric for row in rows if row.judgement.estimate.log):
        mine = [row for row in rows if row.question.metric == metric]
        spread = _span("run_sd", mine, [row.judgement.estimate.run_sd for row in mine], _scatter)
        scatters.append(say("{metric} {spread}", metric=title(metric), spread=spread))
    if not scatters:
        return text
    means = say(" Means of identical runs scatter by (standard deviation): {scatters}.", scatters=join(", ", scatters))
    return join("", [text, means])


def _three_digits(value: float) -> str:
    return f"{value:.3g}"


def _scatter(deviation: float) -> str:
    """A standard deviation of logarithms as a change."""
    return format_change(math.expm1(deviation))


def _span(column: str, rows: Sequence[Row], values: Sequence[float], form: Callable[[float], str]) -> Sentence:
    """From the least to the largest; once where both are written alike."""
    low, high = (Quantity(end(values), form, _cell(column, rows, end)) for end in (min, max))
    if str(low) == str(high):
        return say("{low}", low=low)
    return say("{low} to {high}", low=low, high=high)
