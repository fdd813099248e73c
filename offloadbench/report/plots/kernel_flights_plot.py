"""First flights of several kernels with TSO on and off, against the window that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from offloadbench.report.plots import style

_COLOURS = ("#3d94d1", "#d55e00", "#009e73")
_ROW_PX, _NARROW_ROW_PX, _TOP_PX, _NARROW_TOP_PX, _BOTTOM_PX, _RIGHT_PX = 46, 76, 34, 62, 40, 16
_MARKER_PX, _APART_PX = 8.5, 11.0
# a title above the dots of its row takes so much of it
_TITLE_SHARE = 0.14
_TICKS = (0, 2, 4, 10, 20, 30, 40)


@dataclass(frozen=True, slots=True)
class FlightSetting:
    """One setting.

    Attributes:
        title: in words; a narrow page breaks it at its commas.
        expected_segments: the window that was asked for.
        segments: (TSO on, TSO off) by kernel, in the order of the kernels; None where that was not run.
    """

    title: str
    expected_segments: int
    segments: Sequence[tuple[int | None, int | None]]


def _row(axes: Axes, at: int, seen: FlightSetting, apart: float, lower: float) -> None:
    axes.plot(
        [seen.expected_segments] * 2, [at - 0.42 + 1.6 * lower, at + 0.42], color=style.INK, linewidth=1.6, alpha=0.55,
        solid_capstyle="butt", zorder=1.5,
    )  # fmt: skip
    run = [number for number, pair in enumerate(seen.segments) if pair != (None, None)]
    for place, number in enumerate(run):
        y = at + lower + (place - (len(run) - 1) / 2) * apart
        on, off = seen.segments[number]
        colour = _COLOURS[number % len(_COLOURS)]
        if on is not None and off is not None:
            axes.plot([on, off], [y, y], color=colour, linewidth=1.6, alpha=0.6, solid_capstyle="butt")
        # hollow and larger, so that both show where they are equal
        for value, size, face in ((off, _MARKER_PX + 3.5, style.PAPER), (on, _MARKER_PX - 2, colour)):
            if value is not None:
                axes.plot(
                    value, y, "o", markersize=size, color=colour, markerfacecolor=face, markeredgewidth=1.6, zorder=3
                )


def kernel_flights(kernels: Sequence[str], rows: Sequence[FlightSetting], *, narrow: bool = False) -> Figure:
    """A row a setting, a colour a kernel: a dot with TSO on, a ring with TSO off, a bar for what was asked for.

    Args:
        rows: top to bottom.
        narrow: titles above their rows, for a narrow page.
    """
    row_px, top_px = (_NARROW_ROW_PX, _NARROW_TOP_PX) if narrow else (_ROW_PX, _TOP_PX)
    figure = style.new_figure(style.NARROW_PX if narrow else style.WIDE_PX, top_px + row_px * len(rows) + _BOTTOM_PX)
    names_px = 14.0 if narrow else style.text_px([seen.title for seen in rows], style.TEXT_PX) + 14
    axes = style.place(figure, names_px, top_px, _RIGHT_PX, row_px * len(rows))
    for at, seen in enumerate(rows):
        if at % 2:
            axes.axhspan(at - 0.5, at + 0.5, color=style.INK, alpha=0.04, linewidth=0)
        _row(axes, at, seen, _APART_PX / row_px, _TITLE_SHARE if narrow else 0.0)
        if narrow:
            axes.text(0, at - 0.45, seen.title, fontsize=style.SMALL_PX, va="top", zorder=4)
    widest = max(value for seen in rows for pair in seen.segments for value in pair if value is not None)
    axes.set_xlim(-0.8, widest + 1.5)
    style.name_rows(axes, ["" if narrow else seen.title for seen in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in _TICKS if tick <= widest]))
    axes.tick_params(axis="x", labelsize=style.SMALL_PX)
    style.clean(axes, "x")
    style.name_axes(axes, x="segments before an ACK could act")
    handles = [
        *(
            Line2D([], [], color=colour, marker="s", linestyle="", markersize=8, label=kernel)
            for kernel, colour in zip(kernels, _COLOURS, strict=False)
        ),
        Line2D([], [], color=style.INK, marker="o", linestyle="", markersize=_MARKER_PX - 1, label="TSO on"),
        Line2D(
            [], [], color=style.INK, marker="o", linestyle="", markersize=_MARKER_PX + 2, label="TSO off",
            markerfacecolor=style.PAPER, markeredgewidth=1.6,
        ),
        Line2D([], [], color=style.INK, marker="|", linestyle="", markersize=13, markeredgewidth=1.6, alpha=0.55,
               label="asked for"),
    ]  # fmt: skip
    figure.legend(
        handles=handles, loc="upper left", ncols=3 if narrow else 6, frameon=False, borderaxespad=0.1,
        handletextpad=0.4, columnspacing=1.5,
    )  # fmt: skip
    return figure
