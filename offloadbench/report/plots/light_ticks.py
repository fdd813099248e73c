"""Ticks as one line of grid and a text each: matplotlib's own are five artists each, a third of the time of drawing."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

_PAD_PX = 3.5
# of an axis: a tick so little outside is one at its end, rounded
_ROUNDING = 1e-9


def lighten(figure: Figure) -> None:
    """Draw the ticks of every axis that is finished and has nothing but major ticks.

    Axes whose labels matplotlib is to place, or whose figures it writes with a common factor, are left to it.
    """
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_visible() and not axis.get_label_text() and not len(axis.get_minorticklocs()):
                _lighten(axes, axis)


def _lighten(axes: Axes, axis: Axis) -> None:
    low, high = sorted(axis.get_view_interval())
    edge = (high - low) * _ROUNDING
    formatter = axis.get_major_formatter()
    everywhere = [float(value) for value in axis.get_majorticklocs()]
    # a formatter may go by the place of a tick among all
    told = zip(everywhere, formatter.format_ticks(everywhere), strict=True)
    labels = [(value, word) for value, word in told if low - edge <= value <= high + edge]
    if formatter.get_offset():
        return
    across = axis is axes.xaxis
    asked = axis.get_tick_params()
    if asked.get("gridOn") and labels:
        _grid(axes, [value for value, _ in labels], across=across)
    if asked.get("labelbottom" if across else "labelleft", True):
        _write(axes, labels, asked.get("labelsize"), across=across)
    axis.set_visible(False)


def _grid(axes: Axes, at: list[float], *, across: bool) -> None:
    along = np.repeat(at, 3)
    ends = np.tile([0.0, 1.0, np.nan], len(at))
    xy, transform = (
        ((along, ends), axes.get_xaxis_transform()) if across else ((ends, along), axes.get_yaxis_transform())
    )
    axes.add_artist(
        Line2D(
            *xy, transform=transform, zorder=0.5, color=mpl.rcParams["grid.color"], alpha=mpl.rcParams["grid.alpha"],
            linewidth=mpl.rcParams["grid.linewidth"],
        )
    )  # fmt: skip


def _write(axes: Axes, labels: list[tuple[float, str]], size_px: float | None, *, across: bool) -> None:
    box = axes.get_window_extent()
    for value, word in labels:
        if not word:
            continue
        if across:
            axes.text(
                value, -_PAD_PX / box.height, word, transform=axes.get_xaxis_transform(), ha="center", va="top",
                fontsize=size_px or mpl.rcParams["xtick.labelsize"],
            )  # fmt: skip
        else:
            axes.text(
                -_PAD_PX / box.width, value, word, transform=axes.get_yaxis_transform(), ha="right",
                va="center_baseline", fontsize=size_px or mpl.rcParams["ytick.labelsize"],
            )  # fmt: skip
