"""Where a saving comes from: a waterfall from the dearer case's total to the cheaper one's, module by module."""

from __future__ import annotations

from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from offloadbench.analysis.findings.savings import Fall
from offloadbench.base.words import module_label, percent
from offloadbench.report.plots import style
from offloadbench.report.plots.modules_plot import REST

_ROW_PX, _HEAD_PX, _FOOT_PX = 30, 8, 44
_RIGHT_PX, _NAMES_EDGE_PX = 8, 20
_BAR = 0.66
_MINUS = "\N{MINUS SIGN}"


def signed(ratio: float) -> str:
    """In percent with its sign."""
    return f"{_MINUS if ratio < 0 else '+'}{percent(abs(ratio))}"


def _total(axes: Axes, row: int, value: float, room: float) -> None:
    # an outline: a filled bar would have to take the colour of some module
    axes.barh(row, value, height=_BAR, facecolor="none", edgecolor=style.INK, linewidth=1.4)
    axes.text(value + room, row, percent(value), va="center", fontweight="bold")


def _highest(found: Fall) -> float:
    """The level that the bars reach on their way."""
    levels = [found.start]
    for step in found.steps:
        levels.append(levels[-1] + step.change)
    return max(levels)


def waterfall(found: Fall, *, narrow: bool = False) -> Figure:
    """Outlined bars are the totals of the two cases; each filled one begins where the one above it ended.

    All are shares of the dearer total.

    Args:
        narrow: for a narrow page.
    """
    whole = found.start
    steps = [replace(step, change=step.change / whole) for step in found.steps]
    found = replace(found, start=1.0, end=found.end / whole, steps=steps)
    rows = len(found.steps) + 2
    labels = [module_label(step.module) if step.module else REST for step in found.steps]
    if narrow:
        labels = [label.split(" (")[0] for label in labels]
    names = [f"case {found.dearer}", *labels, f"case {found.cheaper}"]
    type_px = style.SMALL_PX if narrow else style.TEXT_PX
    names_px = style.text_px(names, type_px) + _NAMES_EDGE_PX
    figure = style.new_figure(style.NARROW_PX if narrow else style.WIDE_PX, rows * _ROW_PX + _HEAD_PX + _FOOT_PX)
    axes = style.place(figure, names_px, _HEAD_PX, _RIGHT_PX, rows * _ROW_PX)
    level = found.start
    room = found.start * (0.02 if narrow else 0.01)
    farthest = _highest(found) * (1.22 if narrow else 1.16)
    inner_px = (style.NARROW_PX if narrow else style.WIDE_PX) - names_px - _RIGHT_PX
    _total(axes, 0, found.start, room)
    for row, step in enumerate(found.steps, 1):
        after = level + step.change
        colour = style.module_colour(step.module) if step.module else style.REST
        axes.barh(row, step.change, left=level, height=_BAR, color=colour, edgecolor=style.PAPER, linewidth=0.8)
        axes.plot([level, level], [row - 1 + _BAR / 2, row - _BAR / 2], color=style.INK, linewidth=0.8, alpha=0.5)
        share = percent(step.change / (found.end - found.start)).replace("-", _MINUS)
        low, high = sorted((level, after))
        words = f"{signed(step.change)} ({share})"
        fits = (farthest - high - room) / farthest * inner_px >= style.text_px([words], type_px)
        at, side = (high + room, "left") if fits else (low - room, "right")
        axes.text(at, row, words, va="center", ha=side, fontsize=type_px)
        level = after
    axes.plot([level, level], [rows - 2 + _BAR / 2, rows - 1 - _BAR / 2], color=style.INK, linewidth=0.8, alpha=0.5)
    _total(axes, rows - 1, found.end, room)
    style.name_rows(axes, names)
    axes.tick_params(axis="y", labelsize=type_px)
    axes.set_xlim(0, farthest)
    axes.locator_params(axis="x", nbins=5 if narrow else 8)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    style.name_axes(axes, x=f"of what case {found.dearer} took per byte of payload, by the profile")
    style.clean(axes, "x")
    return figure
