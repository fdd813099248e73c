"""E3: send queue and segments sent over time, whole or magnified (figures 6 to 9 and 13 of the origin paper)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from offloadbench.analysis.sender.send_queue import Queue, SendGap
from offloadbench.report.plots import style

QUEUE_COLOUR, CWND_COLOUR, BUFFER_COLOUR, SENT_COLOUR = "#0072b2", "#009e73", "#d55e00", "#882255"
_PANEL_PX, _HEAD_PX, _TITLE_PAD_PX = 190, 40, 6
_MARGINS = style.Margins(left=74, right=10, top=26, bottom=40, across=62, down=14)
# above narrow axes, which are too narrow to hold it
_LEGEND_PX = 18
_NARROW_PANEL_PX = 150
_SECONDS = "seconds of the window"
# more points than this would be too much for a page: the queue is drawn as the range of each bin then
_POINTS_MAX, _BINS = 1200, 300
# how much of a window the magnified view shows
_MAGNIFIED_RTTS = 8
# cwnd far above the queue limits nothing, and would flatten the queue
_HEADROOM = 1.35

F8 = npt.NDArray[np.floating[Any]]


def magnified(one: Queue, gaps: Sequence[SendGap] = ()) -> tuple[float, float]:
    """(start, length) in seconds of a stretch worth magnifying: around a gap of middle length, else in the middle."""
    length_s = max(_MAGNIFIED_RTTS * one.min_rtt_s, 20e-6 * one.period_us)
    t_s = one["t_us"] * 1e-6
    middle_s = float(t_s[0] + t_s[-1]) / 2
    if gaps:
        typical = float(np.median([gap.length_s for gap in gaps]))
        inner = [gap for gap in gaps if t_s[0] + length_s < gap.start_s < t_s[-1] - length_s]
        near = min(inner or gaps, key=lambda gap: abs(gap.length_s - typical))
        middle_s = near.start_s + near.length_s / 2
    return max(float(t_s[0]), middle_s - length_s / 2), length_s


def _edges(points: int) -> npt.NDArray[np.int64]:
    """The first point of every bin; every point where there are few."""
    return (
        np.arange(points) if points <= _POINTS_MAX else np.linspace(0, points, _BINS, endpoint=False).astype(np.int64)
    )


def _line(axes: Axes, t_s: F8, values: F8, colour: str, label: str, *, dashes: str = "-") -> None:
    """Steps through the largest value of every bin."""
    edges = _edges(len(t_s))
    largest = np.maximum.reduceat(values, edges)
    axes.plot(t_s[edges], largest, dashes, color=colour, linewidth=1.4, drawstyle="steps-post", label=label)


def _range(axes: Axes, t_s: F8, values: F8, colour: str, label: str) -> None:
    """From the smallest to the largest value of every bin."""
    edges = _edges(len(t_s))
    low, high = np.minimum.reduceat(values, edges), np.maximum.reduceat(values, edges)
    axes.fill_between(t_s[edges], low, high, color=colour, alpha=0.6, linewidth=0.5, label=label)


def _queue_panel(axes: Axes, one: Queue, chosen: slice) -> None:
    """Send queue, congestion window and send buffer."""
    t_s = one["t_us"][chosen] * 1e-6
    segments = one.segments[chosen]
    draw = _line if len(t_s) <= _POINTS_MAX else _range
    limit = one["sndbuf_bytes"][chosen] * one.payload_ratio / np.maximum(one["snd_mss_bytes"][chosen], 1)
    cwnd = one["snd_cwnd_segments"][chosen].astype(np.float64)
    top = float(max(segments.max(), limit.max())) * _HEADROOM or 1
    draw(axes, t_s, segments, QUEUE_COLOUR, "send queue")
    _line(axes, t_s, cwnd, CWND_COLOUR, "cwnd" if cwnd.min() < top else f"cwnd (above: {np.median(cwnd):.0f})")
    _line(axes, t_s, limit, BUFFER_COLOUR, "send buffer", dashes="--")
    axes.set_ylim(0, top)


def queue_over_time(
    queues: Sequence[tuple[str, Queue]],
    *,
    stretches: Sequence[tuple[float, float]] | None = None,
    narrow: bool = False,
) -> Figure:
    """One column a trial: above, the send queue, each on a scale of its own; below, segments sent, on a common one.

    Args:
        queues: (title, queue) of one or two trials.
        stretches: (start, length) in seconds, one a trial, to magnify; see `magnified`. None shows the whole window.
        narrow: trials below one another, for a narrow page.
    """
    count = len(queues)
    if narrow:
        block_px = _MARGINS.top + _LEGEND_PX + 2 * _NARROW_PANEL_PX + _MARGINS.down + _MARGINS.bottom
        figure = style.new_figure(style.NARROW_PX, count * block_px)
        panels = [_narrow_panels(figure, index * block_px + _MARGINS.top + _LEGEND_PX) for index in range(count)]
    else:
        figure = style.new_figure(style.WIDE_PX, 2 * _PANEL_PX + _HEAD_PX)
        grid = style.grid(figure, 2, count, _MARGINS)
        panels = [(grid[0][index], grid[1][index]) for index in range(count)]
    sent_tops = []
    for index, ((title, one), (upper, lower)) in enumerate(zip(queues, panels, strict=True)):
        chosen = _stretch(one, stretches[index]) if stretches else slice(None)
        _queue_panel(upper, one, chosen)
        sent = (one["data_out_segments"][chosen] - one["data_out_segments"][chosen][:1]).astype(np.float64)
        _line(lower, one["t_us"][chosen] * 1e-6, sent, SENT_COLOUR, "segments sent")
        sent_tops.append(float(sent.max()))
        upper.set_title(style.short(title), loc="left", pad=_TITLE_PAD_PX + (_LEGEND_PX if narrow else 0))
        upper.tick_params(labelbottom=False)
        style.name_axes(lower, x=_SECONDS)
        if narrow or index == 0:
            style.name_axes(upper, y="segments")
            style.name_axes(lower, y="segments sent")
    for upper, lower in panels:
        lower.set_ylim(0, max(sent_tops) * 1.05 or 1)
        for axes in (upper, lower):
            axes.margins(x=0)
            axes.locator_params(axis="both", nbins=5)
            axes.tick_params(labelsize=style.SMALL_PX)
            style.clean(axes, "y")
        _legend(upper, narrow=narrow)
    return figure


def _narrow_panels(figure: Figure, top_px: float) -> tuple[Axes, Axes]:
    """The two axes of a trial, one below the other."""
    upper, lower = (
        style.place(figure, _MARGINS.left, top_px + below_px, _MARGINS.right, _NARROW_PANEL_PX)
        for below_px in (0, _NARROW_PANEL_PX + _MARGINS.down)
    )
    return upper, lower


def _legend(axes: Axes, *, narrow: bool) -> None:
    """Inside the axes, or above narrow ones from the edge of the page on."""
    place: dict[str, Any] = {"loc": "upper right"}
    if narrow:
        place = {"loc": "lower left", "bbox_to_anchor": (-_MARGINS.left / axes.get_window_extent().width, 1.0)}
    axes.legend(**place, ncols=3, frameon=False, borderaxespad=0.1, handlelength=1.2, columnspacing=1)


def _stretch(one: Queue, stretch: tuple[float, float]) -> slice:
    start_s, length_s = stretch
    first, last = np.searchsorted(one["t_us"] * 1e-6, (start_s, start_s + length_s))
    return slice(int(first), max(int(last), int(first) + 2))
