"""What changed between two runs: the ratio of each case and headline metric with its interval."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from offloadbench.analysis.comparison.changes import Row
from offloadbench.report.plots.effects_plot import TITLES
from offloadbench.report.plots.intervals import Panel, intervals


def forest(rows: Sequence[Row], *, narrow: bool = False) -> Figure:
    """One row a case, one panel a metric.

    Args:
        rows: of two runs and one workload, every case once for each metric of `TITLES`.
        narrow: one panel below the other.
    """
    panels = [
        Panel(title, [row.judgement for row in rows if row.question.metric == metric])
        for metric, title in TITLES.items()
    ]
    return intervals(list(dict.fromkeys(row.question.case for row in rows)), panels, narrow=narrow)
