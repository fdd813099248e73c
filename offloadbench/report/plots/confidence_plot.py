"""How sure the modules are: one bar per case, from what is known to what cannot be attributed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from offloadbench.analysis.findings.module_confidence import CLASSES
from offloadbench.base.words import percent
from offloadbench.report.plots import style

_BAR_PX, _HEAD_PX, _FOOT_PX, _LEGEND_PX = 24, 12, 10, 20
_RIGHT_PX, _NAMES_EDGE_PX = 8, 14


def confidence(table: pd.DataFrame, cases: Sequence[str], *, narrow: bool = False) -> Figure:
    """Bars of busy weight, each as long as the whole.

    Args:
        table: of one nic and workload: columns case, class, share_ratio.
        cases: names in ladder order, top to bottom.
        narrow: for a narrow page.
    """
    shares = table.pivot_table(index="case", columns="class", values="share_ratio", aggfunc="sum", fill_value=0.0)
    here = [case for case in cases if case in shares.index]
    classes = [name for name in CLASSES if name in shares.columns]
    columns = 1 if narrow else 2
    legend_rows = -(-len(classes) // columns)
    height = len(here) * _BAR_PX + _HEAD_PX + _FOOT_PX + legend_rows * _LEGEND_PX
    figure = style.new_figure(style.NARROW_PX if narrow else style.WIDE_PX, height)
    left_px = style.text_px(here, style.TEXT_PX) + _NAMES_EDGE_PX
    axes = style.place(figure, left_px, legend_rows * _LEGEND_PX + _HEAD_PX, _RIGHT_PX, len(here) * _BAR_PX)
    lefts = np.zeros(len(here))
    for name in classes:
        found, colour = shares.loc[here, name].to_numpy(dtype=float), style.confidence_colour(name)
        style.bars(axes, range(len(here)), lefts, found, height=0.7, colours=colour, linewidth=1.0)
        for row, (left, share) in enumerate(zip(lefts, found, strict=True)):
            if share > (0.14 if narrow else 0.05):
                axes.text(
                    left + share / 2, row, percent(share), ha="center", va="center",
                    color=style.on_colour(colour), fontsize=style.SMALL_PX,
                )  # fmt: skip
        lefts = lefts + found
    style.name_rows(axes, here)
    axes.set_xlim(0, 1)
    axes.set_xticks([])
    style.clean(axes, "x")
    style.colour_legend(figure, [(style.confidence_colour(name), CLASSES[name]) for name in classes], columns)
    return figure
