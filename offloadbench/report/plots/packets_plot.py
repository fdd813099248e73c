"""E3: bytes sent and acknowledged over time, packet by packet (figures 6 to 9 of the origin paper)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from offloadbench.analysis.sender.sent_packets import Packets
from offloadbench.report.plots import style

SENT_COLOUR, ACKED_COLOUR = "#882255", "#009e73"
_PANEL_PX, _HEAD_PX = 220, 40
_MARGINS = style.Margins(left=74, right=10, top=26, bottom=40, across=62, down=64)
_POINTS_MAX = 3000
_BYTES_PER_MB = 1e6


def packets_over_time(
    traces: Sequence[tuple[str, Packets]],
    *,
    stretches: Sequence[tuple[float, float]] | None = None,
    narrow: bool = False,
) -> Figure:
    """One panel a trial: the highest byte sent and the highest byte acknowledged; flat lines are gaps.

    Args:
        traces: (title, packets) of one or two trials.
        stretches: (start, length) in seconds, one a trial, to magnify; None shows the whole window.
        narrow: trials below one another, for a narrow page.
    """
    count = len(traces)
    width, height = (style.NARROW_PX, count * _PANEL_PX) if narrow else (style.WIDE_PX, _PANEL_PX)
    figure = style.new_figure(width, height + _HEAD_PX)
    rows = style.grid(figure, count if narrow else 1, 1 if narrow else count, _MARGINS)
    grid = [axes for row in rows for axes in row]
    for index, (axes, (title, one)) in enumerate(zip(grid, traces, strict=True)):
        chosen = slice(None)
        if stretches:
            start_s, length_s = stretches[index]
            first, last = np.searchsorted(one.t_us * 1e-6, (start_s, start_s + length_s))
            chosen = slice(int(first), max(int(last), int(first) + 2))
        within = np.arange(len(one.t_us))[chosen]
        shown = within[:: max(1, len(within) // _POINTS_MAX)]
        t_s = one.t_us[shown] * 1e-6
        begin = one.acked_bytes[within[0]] if len(within) else 0
        for values, colour, label in (
            (one.sent_bytes, SENT_COLOUR, "sent"),
            (one.acked_bytes, ACKED_COLOUR, "acknowledged"),
        ):
            megabytes = (values[shown] - begin) / _BYTES_PER_MB
            axes.plot(t_s, megabytes, color=colour, linewidth=1.3, drawstyle="steps-post", label=label)
        axes.set_title(style.short(title), loc="left")
        style.name_axes(axes, x="seconds of the window", y="MB" if narrow or index == 0 else "")
        axes.margins(x=0)
        axes.locator_params(axis="both", nbins=5)
        style.clean(axes, "y")
    grid[0].legend(loc="upper left", ncols=2, frameon=False, borderaxespad=0.1, handlelength=1.2, columnspacing=1)
    return figure
