"""The first flight: segments over time as they came, against the window that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from offloadbench.report.plots import style

_COLOURS = ("#3d94d1", "#e69f00", "#009e73", "#cc79a7", "#7f8b98", "#d55e00")
_PANEL_PX, _HEAD_PX = 250, 56
_HEADROOM = 1.12


@dataclass(frozen=True, slots=True)
class Steps:
    """One flight.

    Attributes:
        expected_segments: None where nothing was asked for.
        steps: (microseconds since the first frame, segments so far with this frame).
    """

    expected_segments: int | None
    steps: list[tuple[int, int]]


def _panel(axes: Axes, flights: Sequence[Steps], colours: dict[int | None, str], end_ms: float) -> None:
    labelled: set[int | None] = set()
    for flight in flights:
        expected = flight.expected_segments
        colour = colours[expected]
        times = [0.0, *(t_us / 1e3 for t_us, _ in flight.steps), end_ms]
        counts = [0, *(count for _, count in flight.steps)]
        label = None if expected in labelled else f"initcwnd {expected}" if expected else "flight"
        labelled.add(expected)
        axes.plot(
            times, [*counts, counts[-1]], color=colour, linewidth=1.2, alpha=0.75, drawstyle="steps-post", label=label
        )
        axes.plot(times[1:-1], counts[1:], ".", color=colour, markersize=3.5, alpha=0.75)
    for expected in labelled:
        if expected:
            axes.axhline(expected, color=style.INK, linewidth=0.9, linestyle=(0, (4, 3)), alpha=0.55)


def first_flight(cases: Sequence[tuple[str, Sequence[Steps]]], *, narrow: bool = False) -> Figure:
    """One panel a state of the offloads, all on the same scales; a dashed line is what was asked for.

    Args:
        cases: (title, flights): a line each, a point each frame.
        narrow: panels below one another, for a narrow page.
    """
    count = len(cases)
    if narrow:
        figure = style.new_figure(style.NARROW_PX, count * _PANEL_PX + _HEAD_PX)
        panels = [row[0] for row in figure.subplots(count, 1, sharex=True, sharey=True, squeeze=False)]
    else:
        figure = style.new_figure(style.WIDE_PX, _PANEL_PX + _HEAD_PX)
        panels = list(figure.subplots(1, count, sharex=True, sharey=True, squeeze=False)[0])
    every = [flight for _, flights in cases for flight in flights]
    expected = sorted({flight.expected_segments or 0 for flight in every})
    colours: dict[int | None, str] = {
        value or None: _COLOURS[index % len(_COLOURS)] for index, value in enumerate(expected)
    }
    end_ms = max((flight.steps[-1][0] for flight in every if flight.steps), default=0) / 1e3 * 1.15 or 0.1
    top = max([*expected, *(flight.steps[-1][1] for flight in every if flight.steps)])
    for index, (axes, (title, flights)) in enumerate(zip(panels, cases, strict=True)):
        _panel(axes, flights, colours, end_ms)
        axes.set_title(style.short(title), loc="left")
        axes.set_xlim(-0.02 * end_ms, end_ms)
        axes.set_ylim(0, top * _HEADROOM)
        axes.locator_params(axis="both", nbins=6, integer=False)
        axes.tick_params(labelsize=style.SMALL_PX)
        style.clean(axes, "y")
        if narrow or index == 0:
            axes.set_ylabel("segments")
        if not narrow or index == count - 1:
            axes.set_xlabel("ms since the first frame")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.tight_layout(rect=(0, 0, 1, 1 - 26 / (figure.get_figheight() * 72)), h_pad=0.8, w_pad=1.6)
    figure.legend(handles, labels, loc="upper left", ncols=4, frameon=False, borderaxespad=0.1, handlelength=1.4)
    return figure
