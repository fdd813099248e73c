"""Changes with their intervals, one row each: the drawing that the effects plot and the forest plot share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from offloadbench.analysis.statistics.holm import CHANGED, Judgement
from offloadbench.base.sentence import say
from offloadbench.base.units import format_ratio
from offloadbench.report.plots import style

_ROW_PX, _NARROW_ROW_PX, _EDGE_PX, _MARKER = 30, 40, 76, 7
_HEAD_PX, _NARROW_HEAD_PX, _RIGHT_PX, _BETWEEN_PX, _NAMES_EDGE_PX = 34, 46, 22, 26, 14
# ratios that a logarithmic scale may be marked at, the more telling ones first
_MARKS: tuple[float, ...] = (1, 0.5, 2, 0.1, 5, 10, 0.2, 0.75, 1.5, 0.33, 3, 20, 0.05)
_MARKS += (0.9, 1.1, 1.2, 0.95, 1.05, 0.98, 1.02, 0.99, 1.01, 0.995, 1.005)
# marks that fit beside each other in a panel
_MARKS_WIDE, _MARKS_NARROW = 8, 5
_TIMES = "\N{MULTIPLICATION SIGN}"
# an interval of few trials may reach farther than anything worth seeing: it leaves the panel there
_FARTHEST = 8.0
# for the words beside the longest interval, in widths of the rest of the panel
_WORDS_ROOM, _WORDS_ROOM_NARROW = 0.25, 0.45
LEGEND = say(
    "A filled square is a change that was shown (Holm over the family), an open circle one without that verdict; a "
    "line is the interval at the confidence of its test, which leaves out 0 exactly where the square is filled"
)


@dataclass(frozen=True, slots=True)
class Panel:
    """A column of changes.

    Attributes:
        title: what changed, and in brackets which way is better.
        changes: one a row, None where nothing can be told.
        silent: the words in place of such a change.
    """

    title: str
    changes: Sequence[Judgement | None]
    silent: str = "not estimable"


def change_words(judgement: Judgement) -> str:
    """The change, rounded to what its size deserves: up 3.2 %, down 41 %, 4.1 times."""
    return format_ratio(judgement.ratios()[0])


def _mark(ratio: float) -> str:
    if ratio >= 3:
        return f"{_TIMES}{ratio:g}"
    return f"{ratio * 100 - 100:+.3g} %".replace("-", "\N{MINUS SIGN}") if ratio != 1 else "0"


def _ends(judgement: Judgement) -> tuple[float, float]:
    """The interval at the confidence of its test, as ratios; the change itself twice where there is none."""
    ratio, low, high = judgement.ratios()
    if math.isnan(low):
        return ratio, ratio
    return max(low, ratio / _FARTHEST), min(high, ratio * _FARTHEST)


def _marks(low: float, high: float, most: int) -> list[float]:
    """Marks of a logarithmic scale within these ratios, 1 always among them, so far apart that they can be read."""
    apart = math.log(high / low) / most
    chosen: list[float] = []
    for mark in _MARKS:
        if low <= mark <= high and all(abs(math.log(mark / other)) >= apart for other in chosen):
            chosen.append(mark)
    return sorted(chosen)


def _draw(axes: Axes, panel: Panel, low: float, high: float, *, narrow: bool) -> None:
    axes.axvline(1, color=style.INK, linewidth=1.0, alpha=0.6)
    for row, judgement in enumerate(panel.changes):
        if judgement is None:
            axes.text(
                0.02, row, panel.silent, transform=axes.get_yaxis_transform(), va="center", fontsize=style.SMALL_PX,
                bbox={"facecolor": style.PAPER, "edgecolor": "none", "pad": 1.5},
            )  # fmt: skip
            continue
        ratio, _, _ = judgement.ratios()
        start, end = _ends(judgement)
        shown = judgement.verdict == CHANGED
        axes.plot([start, end], [row, row], color=style.INK, linewidth=2.2 if shown else 1.3, solid_capstyle="butt")
        axes.plot(
            ratio, row, marker="s" if shown else "o", markersize=_MARKER, color=style.INK,
            markerfacecolor=style.INK if shown else style.PAPER,
        )  # fmt: skip
        axes.annotate(
            change_words(judgement), (max(end, ratio), row), (9, 0), textcoords="offset points", va="center",
            fontsize=style.SMALL_PX,
        )  # fmt: skip
    axes.set_xscale("log")
    right = high * (high / low) ** (_WORDS_ROOM_NARROW if narrow else _WORDS_ROOM)
    axes.set_xlim(low, right)
    axes.xaxis.set_major_locator(FixedLocator(_marks(low, right, _MARKS_NARROW if narrow else _MARKS_WIDE)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _mark(round(value, 6))))
    axes.set_title(panel.title.replace(" (", "\n(" if narrow else " ("), loc="left", pad=8)
    axes.tick_params(axis="x", labelsize=style.SMALL_PX)
    style.clean(axes, "x")


def intervals(labels: Sequence[str], panels: Sequence[Panel], *, narrow: bool = False) -> Figure:
    """Squares are changes that were shown, circles those without such a verdict; a line is the judged interval.

    Args:
        labels: of the rows, top to bottom, the same for every panel; a narrow page breaks them behind a colon.
        narrow: one panel below the other.
    """
    count = len(panels)
    rows_px = len(labels) * (_NARROW_ROW_PX if narrow else _ROW_PX) + _EDGE_PX
    figure = style.new_figure(style.NARROW_PX if narrow else style.WIDE_PX, rows_px * (count if narrow else 1))
    shown = [style.short(label).replace(": ", ":\n" if narrow else ": ") for label in labels]
    lines = [line for label in shown for line in label.split("\n")]
    names_px = style.text_px(lines, style.SMALL_PX if narrow else style.TEXT_PX) + _NAMES_EDGE_PX
    head_px = _NARROW_HEAD_PX if narrow else _HEAD_PX
    margins = style.Margins(names_px, _RIGHT_PX, head_px, _EDGE_PX - head_px, _BETWEEN_PX, _EDGE_PX)
    rows = style.grid(figure, *((count, 1) if narrow else (1, count)), margins)
    grid = [axes for row in rows for axes in row]
    for number, (axes, panel) in enumerate(zip(grid, panels, strict=True)):
        told = [_ends(judgement) for judgement in panel.changes if judgement]
        low = min([0.98, *(end for end, _ in told)])
        high = max([1.02, *(end for _, end in told)])
        room = (high / low) ** 0.05
        _draw(axes, panel, low / room, high * room, narrow=narrow)
        style.name_rows(axes, shown)
        axes.tick_params(
            axis="y", labelleft=narrow or not number, labelsize=style.SMALL_PX if narrow else style.TEXT_PX
        )
    return figure
