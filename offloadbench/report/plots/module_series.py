"""The modules second by second: one stack of areas per case, in the colours of the bars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from offloadbench.analysis.findings import module_label
from offloadbench.report.plots import style
from offloadbench.report.plots.modules import REST

_ROW_PX, _LEGEND_PX, _LEFT_PX, _BOTTOM_PX = 150, 22, 62, 40
# quantity -> factor and unit of a second's sum
_UNITS = {"kernel_cpu_time_ns": (1e-9, "CPU seconds per second")}


def module_series(
    table: pd.DataFrame, cases: Sequence[str], top: Sequence[str], seconds: int, *, narrow: bool = False
) -> Figure:
    """Areas as wide as the second they sum; one scale for all cases.

    Args:
        table: of one nic and workload: columns case, second, module, quantity, value (in the quantity's unit).
        cases: names in ladder order.
        top: the modules drawn apart, from the bottom; all others are one area above them.
        seconds: length of the window; what was sampled later is left out.
        narrow: a row a case instead of a column a case.
    """
    quantity = str(table["quantity"].iloc[0])
    factor, unit = _UNITS.get(quantity, (1e-9, f"10⁹ {quantity} per second"))
    rows = table[table["second"] < seconds]
    part = rows["module"].where(rows["module"].isin(list(top)), REST)
    sums = rows.assign(part=part).pivot_table(
        index=["case", "second"], columns="part", values="value", aggfunc="sum", fill_value=0.0
    )
    order = [name for name in [*top, REST] if name in sums.columns]
    here = [case for case in cases if case in sums.index.get_level_values("case")]
    columns = 1 if narrow else min(3, len(order))
    legend_px = -(-len(order) // columns) * _LEGEND_PX + 8
    height = legend_px + (_ROW_PX * len(here) if narrow else _ROW_PX + 46)
    figure = style.new_figure(style.NARROW_PX if narrow else style.WIDE_PX, height)
    grid = figure.subplots(*((len(here), 1) if narrow else (1, len(here))), squeeze=False, sharex=True, sharey=True)
    largest = float(sums.sum(axis=1).max()) * factor or 1.0
    edges = np.repeat(np.arange(seconds + 1), 2)[1:-1]
    colours = [style.REST if name == REST else style.module_colour(name) for name in order]
    for number, case in enumerate(here):
        axes = grid[number][0] if narrow else grid[0][number]
        values = sums.loc[case].reindex(range(seconds), fill_value=0.0)[order].to_numpy().T * factor
        axes.stackplot(edges, np.repeat(values, 2, axis=1), colors=colours, linewidth=0)
        axes.set_title(f"{case}: {unit}" if narrow else case, loc="left", fontsize=style.SMALL_PX if narrow else None)
        axes.set_xlim(0, seconds)
        axes.set_ylim(0, largest * 1.05)
        axes.locator_params(axis="both", nbins=4)
        axes.tick_params(labelsize=style.SMALL_PX)
        style.clean(axes, "y")
        if not narrow and number == 0:
            axes.set_ylabel(unit)
        if not narrow or number == len(here) - 1:
            axes.set_xlabel("seconds of the window")
    handles = [
        Patch(facecolor=colour, label=name if name == REST else module_label(name))
        for name, colour in zip(order, colours, strict=True)
    ]
    figure.legend(
        handles=handles, loc="upper left", ncols=columns, frameon=False, borderaxespad=0.2,
        handlelength=1.1, handleheight=1.0, columnspacing=1.6, labelspacing=0.5,
    )  # fmt: skip
    # margins in px: measuring every label of every panel would take most of the drawing time
    width = figure.get_figwidth() * 72
    figure.subplots_adjust(
        left=_LEFT_PX / width, right=1 - 12 / width, bottom=_BOTTOM_PX / height, top=1 - (legend_px + 22) / height,
        hspace=0.32, wspace=0.08,
    )  # fmt: skip
    return figure
