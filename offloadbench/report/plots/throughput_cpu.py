"""E1: throughput and CPU per case, grouped by NIC (figure 11 of the origin article)."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from offloadbench.analysis.family import FEWEST
from offloadbench.analysis.findings import figure as rounded
from offloadbench.analysis.statistics import mean_interval
from offloadbench.report.plots import style

_METRICS = (
    ("throughput_bits_per_s", "Throughput (layer 2)"),
    ("cpu_busy_ratio", "CPU busy, %"),
    ("cpu_s_per_gb", "CPU seconds per GB"),
)
_BAR_PX, _HEAD_PX = 30, 76
# of the largest trial: an interval that reaches farther leaves the panel
_FARTHEST = 1.6


def _scaled(trials: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Throughput in the unit that suits it, CPU in percent."""
    largest = trials["throughput_bits_per_s"].max()
    factor, unit = (1e9, "Gbit/s") if largest >= 2e9 else (1e6, "Mbit/s")
    scaled = trials.assign(
        throughput_bits_per_s=trials["throughput_bits_per_s"] / factor, cpu_busy_ratio=trials["cpu_busy_ratio"] * 100
    )
    return scaled, unit


def has_interval(trials: pd.DataFrame, metric: str) -> bool:
    """Whether a case's trials have an interval of their mean: enough of one run, since runs differ besides."""
    return len(trials) >= FEWEST and trials["run"].nunique() == 1 and bool((trials[metric] > 0).all())


def _panel(axes: Axes, trials: pd.DataFrame, metric: str, cases: Sequence[str]) -> None:
    colours = {case: style.case_colour(case) for case in cases}
    sns.barplot(
        data=trials, x=metric, y="case", order=cases, hue="case", hue_order=cases, palette=colours,
        estimator="median", errorbar=None, saturation=1, width=0.68, legend=False, ax=axes,
    )  # fmt: skip
    if trials.groupby("case").size().max() > 1:
        sns.stripplot(
            data=trials, x=metric, y="case", order=cases, color=style.INK, size=4.2, jitter=0.2,
            edgecolor=style.PAPER, linewidth=0.8, ax=axes,
        )  # fmt: skip
    values = {case: trials[trials["case"] == case] for case in cases}
    largest = float(trials[metric].max()) or 1.0
    ends = {case: float(chosen[metric].max()) for case, chosen in values.items()}
    for row, (case, chosen) in enumerate(values.items()):
        if has_interval(chosen, metric):
            mean, low, high = mean_interval(chosen[metric].to_numpy())
            high = min(high, _FARTHEST * largest)
            axes.errorbar(
                mean, row, xerr=[[mean - low], [high - mean]],
                fmt="none", ecolor=style.INK, elinewidth=1.6, capsize=5, capthick=1.6,
            )  # fmt: skip
            ends[case] = max(ends[case], high)
        axes.text(ends[case] + largest * 0.04, row, rounded(float(chosen[metric].median())), va="center")
    axes.set_xlim(0, max(largest, *ends.values()) * 1.2)
    axes.set_xlabel("")
    axes.set_ylabel("")
    axes.locator_params(axis="x", nbins=4)
    style.clean(axes, "x")


def throughput_cpu(trials: pd.DataFrame, cases: Sequence[str], *, narrow: bool = False) -> Figure:
    """Bars are medians over repeats; every trial is a dot when there are several, with the interval of their mean.

    Args:
        trials: columns run, nic, workload, case, throughput_bits_per_s, cpu_busy_ratio, cpu_s_per_gb; usable ones only.
        cases: names in ladder order, top to bottom.
        narrow: one panel below the other, for a narrow page.
    """
    groups = list(trials.groupby(["nic", "workload"], sort=False))
    several = trials["workload"].nunique() > 1
    counts = [rows_of["case"].nunique() for _, rows_of in groups for _ in range(len(_METRICS) if narrow else 1)]
    height = sum(counts) * _BAR_PX + len(counts) * _HEAD_PX
    figure = style.new_figure(style.NARROW_PX if narrow else style.WIDE_PX, height)
    grid = figure.subplots(
        len(counts), 1 if narrow else len(_METRICS), squeeze=False, gridspec_kw={"height_ratios": counts}
    )
    for index, ((nic, workload), rows_of) in enumerate(groups):
        shown, unit = _scaled(rows_of)
        here = [case for case in cases if case in set(shown["case"])]
        name = style.short(f"{nic}, {workload}" if several else str(nic))
        for number, (metric, title) in enumerate(_METRICS):
            axes = grid[index * len(_METRICS) + number][0] if narrow else grid[index][number]
            _panel(axes, shown, metric, here)
            heading = f"{title}, {unit}" if number == 0 else title
            first = narrow or number == 0
            axes.set_title(f"{name}\n{heading}" if first else heading, loc="left", pad=8)
            if not first:
                axes.set_yticklabels([])
    figure.tight_layout(h_pad=2.0, w_pad=2.5)
    return figure
