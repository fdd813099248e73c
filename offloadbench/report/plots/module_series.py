"""The modules second by second: one stack of areas per case, in the colours of the bars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from offloadbench.base.words import module_label
from offloadbench.report.plots import style
from offloadbench.report.plots.modules_plot import REST
from offloadbench.report.plots.panels import Panels, joined

_AXES_PX, _LEGEND_PX, _NAME_PX = 120, 22, 42
# quantity -> factor and unit of a second's sum
_UNITS = {"kernel_cpu_time_ns": (1e-9, "CPU s per second")}


def module_series(
    table: pd.DataFrame, cases: Sequence[str], top: Sequence[str], seconds: int, *, narrow: bool = False
) -> Figure:
    """Areas as wide as the second they sum; one scale for all cases.

    Args:
        table: of one nic and workload: columns case, second, module, quantity, value (in the quantity's unit).
        cases: names in ladder order.
        top: the modules drawn apart, from the bottom; all others are one area above them.
        seconds: length of the window; what was sampled later is left out.
        narrow: for a narrow page.
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
    columns = style.legend_columns([module_label(name) for name in order], narrow=narrow)
    legend_px = -(-len(order) // columns) * _LEGEND_PX + 8
    panels = Panels(here, seconds, metrics=1, axes_px=_AXES_PX, head_px=legend_px, narrow=narrow)
    largest = float(sums.sum(axis=1).max()) * factor or 1.0
    edges = np.repeat(np.arange(seconds + 1), 2)[1:-1].astype(float)
    colours = [style.REST if name == REST else style.module_colour(name) for name in order]
    for chunk, (axes,) in panels.rows:
        values = [sums.loc[case].reindex(range(seconds), fill_value=0.0)[order].to_numpy().T * factor for case in chunk]
        axes.stackplot(
            joined([edges + panels.offset(position) for position in range(len(chunk))]),
            joined([np.repeat(value, 2, axis=1) for value in values]), colors=colours, linewidth=0,
        )  # fmt: skip
        axes.set_ylim(0, largest * 1.05)
        style.name_axes(axes, y=unit, left_px=_NAME_PX)
    labels = [name if name == REST else module_label(name) for name in order]
    style.colour_legend(panels.figure, zip(colours, labels, strict=True), columns)
    return panels.figure
