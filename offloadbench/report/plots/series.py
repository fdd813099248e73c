"""The measured windows, second by second: throughput and CPU busy as small multiples, one column a case."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from offloadbench.report.plots import style

_ROW_PX, _NARROW_ROW_PX = 130, 118


def _lines(axes: Axes, rows: pd.DataFrame, column: str, factor: float, colour: str) -> None:
    """One line per trial, steps as wide as the second they average."""
    for _, trial in rows.groupby(["run", "repeat"], sort=False):
        axes.plot(trial["t_s"], trial[column] * factor, color=colour, linewidth=1.6, marker="o", markersize=2.6)
    axes.margins(x=0.03)
    axes.locator_params(axis="both", nbins=4)
    style.clean(axes, "y")


def series(samples: pd.DataFrame, cases: Sequence[str], *, narrow: bool = False) -> Figure:
    """Each point is the mean of its own second; scales start at zero and are shared along a metric.

    Args:
        samples: of one nic and workload: columns run, repeat, case, t_s, tx_bits_per_s, cpu_busy_ratio.
        cases: names in ladder order.
        narrow: a row a case instead of a column a case.
    """
    here = [case for case in cases if case in set(samples["case"])]
    largest = float(samples["tx_bits_per_s"].max())
    factor, unit = (1e-9, "Gbit/s") if largest >= 2e9 else (1e-6, "Mbit/s")
    metrics = (("tx_bits_per_s", factor, unit, largest * factor * 1.1), ("cpu_busy_ratio", 100.0, "CPU busy, %", 105.0))
    if narrow:
        figure = style.new_figure(style.NARROW_PX, 46 + _NARROW_ROW_PX * len(here))
        grid = figure.subplots(len(here), 2, squeeze=False, sharex=True)
    else:
        figure = style.new_figure(style.WIDE_PX, 60 + 2 * _ROW_PX)
        grid = figure.subplots(2, len(here), squeeze=False, sharex=True, sharey="row")
    for row, case in enumerate(here):
        chosen = samples[samples["case"] == case]
        for column, (name, scale, label, top) in enumerate(metrics):
            axes = grid[row][column] if narrow else grid[column][row]
            _lines(axes, chosen, name, scale, style.case_colour(case))
            axes.set_ylim(0, top or 1)
            if narrow or column == 0:
                axes.set_title(
                    f"{case}: {label}" if narrow else case, loc="left", fontsize=style.SMALL_PX if narrow else None
                )
            if not narrow and row == 0:
                axes.set_ylabel(label)
            axes.tick_params(labelsize=style.SMALL_PX)
            if (row == len(here) - 1) if narrow else (column == 1):
                axes.set_xlabel("seconds of the window")
    figure.align_ylabels()
    figure.tight_layout(h_pad=1.2, w_pad=1.6)
    return figure
