"""The biggest comparison of each bench and workload with its interval: one row each."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from offloadbench.analysis.findings.findings import Finding
from offloadbench.report.plots.effects_plot import TITLES
from offloadbench.report.plots.intervals import Panel, intervals


def finding_intervals(found: Sequence[Finding], *, narrow: bool = False) -> Figure:
    """One row a finding, one panel a metric.

    Args:
        narrow: one panel below the other.
    """
    cost, rate = TITLES.values()
    panels = [Panel(cost, [one.cost for one in found]), Panel(rate, [one.rate for one in found])]
    labels = [f"{one.nic}, {one.workload}: {one.on} vs {one.off}" for one in found]
    return intervals(labels, panels, narrow=narrow)
