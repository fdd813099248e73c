"""E2: where the CPU time goes, one stacked bar per case (figure 12 of the origin article), by module or by floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from offloadbench.analysis.profile.attribution import SHADOW
from offloadbench.base.words import figure as rounded
from offloadbench.base.words import module_label, unit_per_byte
from offloadbench.report.plots import style

TOP = 5
REST = "other modules"
# what no module can claim stands beside the rest
_LAST = (SHADOW, "everything else")
FLOORS = ("transport", "netdev", "driver", "other")
_OWN, _CALLERS = "value_per_byte", "caller_value_per_byte"
VIEWS = {_OWN: "In the module of the function itself", _CALLERS: "Generic work charged to its caller"}
_BAR_PX, _HEAD_PX, _TITLE_PX, _LEGEND_PX, _AXIS_PX = 38, 8, 28, 19, 44
_RIGHT_PX, _BETWEEN_PX, _NAMES_EDGE_PX = 22, 26, 14


@dataclass(frozen=True, slots=True)
class _Stack:
    """Parts of each bar, left to right, with their colours and labels; values: rows are cases."""

    values: pd.DataFrame
    colours: dict[str, str]
    labels: dict[str, str]


def top_modules(modules: pd.DataFrame, count: int = TOP) -> list[str]:
    """The biggest, by their sum over the cases, in both views where there are two."""
    totals = modules.groupby("module")[[_OWN, _CALLERS]].sum().sum(axis=1).sort_values(ascending=False, kind="stable")
    top = [str(name) for name in totals.index[:count]]
    return sorted(top, key=lambda name: name in _LAST)


def _by_module(modules: pd.DataFrame, column: str, count: int) -> _Stack:
    top = top_modules(modules, count)
    part = modules["module"].where(modules["module"].isin(top), REST)
    values = modules.assign(part=part).pivot_table(
        index="case", columns="part", values=column, aggfunc="sum", fill_value=0.0
    )
    order = [name for name in [*top, REST] if name in values.columns]
    colours = {name: style.REST if name == REST else style.module_colour(name) for name in order}
    return _Stack(values[order], colours, {name: name if name == REST else module_label(name) for name in order})


def _by_floor(modules: pd.DataFrame, floors: Mapping[str, str]) -> _Stack:
    values = modules.pivot_table(index="case", columns="floor", values="value_per_byte", aggfunc="sum", fill_value=0.0)
    known = [name for name in FLOORS if name in values.columns]
    order = [*known, *(name for name in values.columns if name not in FLOORS)]
    return _Stack(values[order], {n: style.floor_colour(n) for n in order}, {n: floors.get(n, n) for n in order})


def _panel(axes: Axes, stack: _Stack, cases: Sequence[str], smallest: float) -> None:
    """`smallest`: share of the longest bar from which a part has room for its figure."""
    here = [case for case in cases if case in stack.values.index]
    largest = float(stack.values.sum(axis=1).max()) or 1.0
    lefts = np.zeros(len(here))
    for part, costs in stack.values.loc[here].items():
        values, colour = costs.to_numpy(dtype=float), stack.colours[str(part)]
        style.bars(axes, range(len(here)), lefts, values, height=0.72, colours=colour, linewidth=1.2)
        for row, (left, value) in enumerate(zip(lefts, values, strict=True)):
            if value > largest * smallest:
                axes.text(
                    left + value / 2, row, rounded(value), ha="center", va="center",
                    color=style.on_colour(colour), fontsize=style.SMALL_PX,
                )  # fmt: skip
        lefts = lefts + values
    for row, total in enumerate(lefts):
        axes.text(total + largest * 0.015, row, rounded(total), va="center", fontweight="bold")
    style.name_rows(axes, here)
    axes.set_xlim(0, largest * 1.13)
    style.clean(axes, "x")


def has_callers(modules: pd.DataFrame) -> bool:
    """Whether every case has the second view."""
    return len(modules) > 0 and bool(modules[_CALLERS].notna().all())


def modules(
    table: pd.DataFrame,
    cases: Sequence[str],
    *,
    floors: Mapping[str, str] | None = None,
    top: int = TOP,
    narrow: bool = False,
) -> Figure:
    """One bar per case; where call chains were recorded, beside it one with generic work charged to its callers.

    Args:
        table: of one nic and workload: columns case, module, floor, quantity, value_per_byte, caller_value_per_byte.
        cases: names in ladder order, top to bottom.
        floors: floor -> its words; given, the bars are made of floors instead of modules, and there is one view.
        top: how many modules are drawn by themselves.
        narrow: for a narrow page.
    """
    if floors is not None:
        stacks = [("", _by_floor(table, floors))]
    elif has_callers(table):
        stacks = [(title, _by_module(table, column, top)) for column, title in VIEWS.items()]
    else:
        stacks = [("", _by_module(table, _OWN, top))]
    labels = {name: (stack.colours[name], label) for _, stack in stacks for name, label in stack.labels.items()}
    width = style.NARROW_PX if narrow else style.WIDE_PX
    columns = style.legend_columns([label for _, label in labels.values()], narrow=narrow)
    legend_px = -(-len(labels) // columns) * _LEGEND_PX + 8
    head_px = _TITLE_PX if len(stacks) > 1 else _HEAD_PX
    panel_px = head_px + len(stacks[0][1].values) * _BAR_PX + _AXIS_PX
    figure = style.new_figure(width, panel_px * (len(stacks) if narrow else 1) + legend_px)
    names_px = style.text_px([style.short(case) for case in cases], style.TEXT_PX) + _NAMES_EDGE_PX
    margins = style.Margins(names_px, _RIGHT_PX, legend_px + head_px, _AXIS_PX, _BETWEEN_PX, head_px + _AXIS_PX)
    rows = style.grid(figure, *((len(stacks), 1) if narrow else (1, len(stacks))), margins)
    grid = [axes for row in rows for axes in row]
    smallest = 0.115 if narrow else 0.045 * len(stacks)
    for axes, (title, stack) in zip(grid, stacks, strict=True):
        _panel(axes, stack, cases, smallest)
        axes.set_title(title, loc="left")
    unit = unit_per_byte(str(table["quantity"].iloc[0])) + " of payload"
    largest = max(axes.get_xlim()[1] for axes in grid)
    for axes in grid:
        axes.set_xlim(0, largest)
        style.name_axes(axes, x=unit)
    for axes in [] if narrow else grid[1:]:
        axes.tick_params(labelleft=False)
    style.colour_legend(figure, labels.values(), columns)
    return figure
