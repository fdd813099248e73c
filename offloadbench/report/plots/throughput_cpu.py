"""E1: throughput and CPU per case, grouped by NIC (figure 11 of the origin article)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from offloadbench.analysis.statistics.estimates import mean_interval
from offloadbench.analysis.statistics.holm import FEWEST
from offloadbench.base.words import figure as rounded
from offloadbench.report.plots import style

_METRICS = (
    ("goodput_bits_per_s", "Goodput"),
    ("cpu_busy_ratio", "CPU busy, %"),
    ("cpu_s_per_gb", "CPU seconds per GB"),
)
_BAR_PX, _HEAD_PX, _AXIS_PX = 30, 48, 34
_RIGHT_PX, _BETWEEN_PX, _NAMES_EDGE_PX = 8, 28, 14
# of the dots of a case, in bars
_SPREAD = 0.2
# of the largest trial: an interval that reaches farther leaves the panel
_FARTHEST = 1.6
# a CPU cannot be busier
_ALL = 100.0


def _scaled(trials: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Goodput in the unit that suits it, CPU in percent."""
    largest = trials["goodput_bits_per_s"].max()
    factor, unit = (1e9, "Gbit/s") if largest >= 2e9 else (1e6, "Mbit/s")
    scaled = trials.assign(
        goodput_bits_per_s=trials["goodput_bits_per_s"] / factor, cpu_busy_ratio=trials["cpu_busy_ratio"] * 100
    )
    return scaled, unit


def has_interval(trials: pd.DataFrame, metric: str) -> bool:
    """Whether a case's trials have an interval of their mean: enough of one run, since runs differ besides."""
    return len(trials) >= FEWEST and trials["run"].nunique() == 1 and bool((trials[metric] > 0).all())


def geometric_mean(values: npt.ArrayLike) -> float:
    """As the judge takes it; the plain mean where a value has no logarithm."""
    found = np.asarray(values, dtype=float)
    return float(np.exp(np.log(found).mean())) if (found > 0).all() else float(found.mean())


def _panel(axes: Axes, trials: pd.DataFrame, metric: str, cases: list[str], *, named: bool) -> None:
    values = {case: chosen[metric].to_numpy(dtype=float) for case, chosen in trials.groupby("case") if case in cases}
    means = [geometric_mean(values[case]) for case in cases]
    colours = [style.case_colour(case) for case in cases]
    style.bars(axes, range(len(cases)), [0.0] * len(cases), means, height=0.68, colours=colours)
    largest = float(trials[metric].max()) or 1.0
    ends = [float(values[case].max()) for case in cases]
    # repeats one below the other, so that equal ones are both seen
    dots = [
        (found, row + np.linspace(-_SPREAD, _SPREAD, len(found)))
        for row, found in enumerate(values[case] for case in cases)
        if len(found) > 1
    ]
    if dots:
        x, y = (np.concatenate(part) for part in zip(*dots, strict=True))
        axes.plot(x, y, "o", color=style.INK, markersize=4.2, markeredgecolor=style.PAPER, mew=0.8)
    tested = {case for case, chosen in trials.groupby("case") if has_interval(chosen, metric)}
    intervals = {row: mean_interval(values[case]) for row, case in enumerate(cases) if case in tested}
    if intervals:
        rows, (centres, lows, highs) = list(intervals), np.array(list(intervals.values())).T
        highs = np.minimum(highs, _FARTHEST * largest)
        if metric == "cpu_busy_ratio":
            highs = np.minimum(highs, _ALL)
        # the mean of logarithms of CPUs that are all busy is a rounding error above the end
        highs = np.maximum(highs, centres)
        axes.errorbar(
            centres, rows, xerr=[centres - lows, highs - centres],
            fmt="none", ecolor=style.INK, elinewidth=1.6, capsize=5, capthick=1.6,
        )  # fmt: skip
        reach = dict(zip(rows, highs.tolist(), strict=True))
        ends = [max(end, reach.get(row, end)) for row, end in enumerate(ends)]
    for row, end in enumerate(ends):
        axes.text(end + largest * 0.04, row, rounded(means[row]), va="center")
    style.name_rows(axes, cases)
    axes.tick_params(labelleft=named)
    axes.set_xlim(0, max(largest, *ends) * 1.2)
    axes.locator_params(axis="x", nbins=4)
    style.clean(axes, "x")


def throughput_cpu(trials: pd.DataFrame, cases: Sequence[str], *, narrow: bool = False) -> Figure:
    """Bars are geometric means over repeats; of several, every trial is a dot, with the interval of their mean.

    Args:
        trials: columns run, nic, workload, case, goodput_bits_per_s, cpu_busy_ratio, cpu_s_per_gb; usable ones only.
        cases: names in ladder order, top to bottom.
        narrow: one panel below the other, for a narrow page.
    """
    groups = list(trials.groupby(["nic", "workload"], sort=False))
    several = trials["workload"].nunique() > 1
    counts = [rows_of["case"].nunique() for _, rows_of in groups]
    heights = [count * _BAR_PX for count in counts for _ in range(len(_METRICS) if narrow else 1)]
    names_px = style.text_px([style.short(case) for case in cases], style.TEXT_PX) + _NAMES_EDGE_PX
    width = style.NARROW_PX if narrow else style.WIDE_PX
    figure = style.new_figure(width, sum(heights) + len(heights) * (_HEAD_PX + _AXIS_PX))
    panel_px = width - names_px - _RIGHT_PX if narrow else (width - names_px - _RIGHT_PX) / len(_METRICS)
    top_px = 0.0
    for (nic, workload), rows_of in groups:
        shown, unit = _scaled(rows_of)
        here = [case for case in cases if case in set(shown["case"])]
        name = style.short(f"{nic}, {workload}" if several else str(nic))
        for number, (metric, title) in enumerate(_METRICS):
            left_px = names_px if narrow else names_px + number * panel_px
            inner_px = panel_px if narrow else panel_px - _BETWEEN_PX
            axes = style.place(figure, left_px, top_px + _HEAD_PX, width - left_px - inner_px, len(here) * _BAR_PX)
            first = narrow or number == 0
            _panel(axes, shown, metric, here, named=first)
            heading = f"{title}, {unit}" if number == 0 else title
            axes.set_title(f"{name}\n{heading}" if first else heading, loc="left", pad=8)
            if narrow or number == len(_METRICS) - 1:
                top_px += _HEAD_PX + len(here) * _BAR_PX + _AXIS_PX
    return figure
