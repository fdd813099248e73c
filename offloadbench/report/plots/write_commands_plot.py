"""E3: packets per write command, and how they come over time (figure 14 of the origin paper)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from offloadbench.analysis.sender.command_times import ends, per_command, segments
from offloadbench.analysis.sender.sent_packets import Packets
from offloadbench.report.plots import style

COMMAND_COLOUR, MIDDLE_COLOUR = "#0072b2", "#882255"
_PANEL_PX, _HEAD_PX = 200, 40
_MARGINS = style.Margins(left=86, right=10, top=26, bottom=40, across=62, down=62)
# commands drawn one over the other, from the middle of the window
_SHOWN = 20
_POINTS_MAX = 2000


def write_commands(traces: Sequence[tuple[str, Packets, int]], *, narrow: bool = False) -> Figure:
    """One column a trial: above, segments sent from one SCSI response to the next; below, how they come.

    Args:
        traces: (title, packets, MSS in bytes) of one or two trials with at least two responses each.
        narrow: trials below one another, for a narrow page.
    """
    count = len(traces)
    columns = 1 if narrow else count
    rows = 2 * count // columns
    figure = style.new_figure(style.NARROW_PX if narrow else style.WIDE_PX, rows * _PANEL_PX + _HEAD_PX)
    grid = style.grid(figure, rows, columns, _MARGINS)
    for index, (title, one, mss) in enumerate(traces):
        upper, lower = (grid[2 * index][0], grid[2 * index + 1][0]) if narrow else (grid[0][index], grid[1][index])
        _counts(upper, one, mss)
        _course(lower, one, mss)
        upper.set_title(style.short(title), loc="left")
        if narrow or index == 0:
            style.name_axes(upper, y="segments\na command")
            style.name_axes(lower, y="segments\nso far")
    for axes in (axes for row in grid for axes in row):
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.tick_params(labelsize=style.SMALL_PX)
        style.clean(axes, "y")
    return figure


def _counts(axes: Axes, one: Packets, mss: int) -> None:
    table = per_command(one, mss)
    shown = table.iloc[:: max(1, len(table) // _POINTS_MAX)]
    axes.plot(shown["end_s"], shown["segments"], ".", color=COMMAND_COLOUR, markersize=4)
    axes.set_ylim(0, float(table["segments"].max()) * 1.15)
    style.name_axes(axes, x="seconds of the window")


def _course(axes: Axes, one: Packets, mss: int) -> None:
    """Segments since a response, over the time since that response, until the next; the middle one is stressed."""
    rows = ends(one)
    total = np.cumsum(segments(one, mss))
    first = max(0, (len(rows) - 1 - _SHOWN) // 2)
    pairs = list(zip(rows[first : first + _SHOWN], rows[first + 1 : first + 1 + _SHOWN], strict=False))
    for number, (begin, end) in enumerate(pairs):
        middle = number == len(pairs) // 2
        t_ms = (one.t_us[begin : end + 1] - one.t_us[begin]) * 1e-3
        axes.plot(
            t_ms, total[begin : end + 1] - total[begin], drawstyle="steps-post",
            color=MIDDLE_COLOUR if middle else COMMAND_COLOUR, linewidth=1.6 if middle else 0.6,
            alpha=1 if middle else 0.5, zorder=3 if middle else 2,
        )  # fmt: skip
    style.name_axes(axes, x="ms since the response before")
