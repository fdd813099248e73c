"""E2: where the CPU time goes, one stacked bar per case (figure 12 of the origin article), by module or by floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from offloadbench.analysis.attribution import SHADOW
from offloadbench.analysis.findings import figure as rounded
from offloadbench.analysis.findings import module_label, unit_per_byte
from offloadbench.report.plots import style

TOP = 5
REST = "other modules"
FLOORS = ("transport", "netdev", "driver", "other")
_BAR_PX, _HEAD_PX, _LEGEND_PX = 38, 66, 22


@dataclass(frozen=True, slots=True)
class _Stack:
    """Parts of each bar, left to right, with their colours and labels; values: rows are cases."""

    values: pd.DataFrame
    colours: dict[str, str]
    labels: dict[str, str]


def top_modules(modules: pd.DataFrame) -> list[str]:
    """The five biggest, by their sum over the cases."""
    totals = modules.groupby("module")["value_per_byte"].sum().sort_values(ascending=False)
    top = [str(name) for name in totals.index[:TOP]]
    # what no module can claim stands at the end, beside the rest
    return sorted(top, key=lambda name: name == SHADOW)


def _by_module(modules: pd.DataFrame) -> _Stack:
    top = top_modules(modules)
    part = modules["module"].where(modules["module"].isin(top), REST)
    values = modules.assign(part=part).pivot_table(
        index="case", columns="part", values="value_per_byte", aggfunc="sum", fill_value=0.0
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
    for row, case in enumerate(here):
        left = 0.0
        for part, cost in stack.values.loc[case].items():
            value = float(str(cost))
            colour = stack.colours[str(part)]
            axes.barh(row, value, left=left, height=0.72, color=colour, edgecolor=style.PAPER, linewidth=1.2)
            if value > largest * smallest:
                axes.text(
                    left + value / 2, row, rounded(value), ha="center", va="center",
                    color=style.on_colour(colour), fontsize=style.SMALL_PX,
                )  # fmt: skip
            left += value
        axes.text(left + largest * 0.015, row, rounded(left), va="center", fontweight="bold")
    axes.set_yticks(range(len(here)), here)
    axes.set_ylim(len(here) - 0.45, -0.55)
    axes.set_xlim(0, largest * 1.13)
    style.clean(axes, "x")


def modules(
    table: pd.DataFrame, cases: Sequence[str], *, floors: Mapping[str, str] | None = None, narrow: bool = False
) -> Figure:
    """One bar per case.

    Args:
        table: of one nic and workload: columns case, module, floor, quantity, value_per_byte.
        cases: names in ladder order, top to bottom.
        floors: floor -> its words; given, the bars are made of floors instead of modules.
        narrow: for a narrow page.
    """
    stack = _by_module(table) if floors is None else _by_floor(table, floors)
    columns = 1 if narrow else min(3, len(stack.labels))
    legend_rows = -(-len(stack.labels) // columns)
    bars = len(stack.values)
    height = bars * _BAR_PX + _HEAD_PX + legend_rows * _LEGEND_PX
    figure = style.new_figure(style.NARROW_PX if narrow else style.WIDE_PX, height)
    axes = figure.add_subplot()
    _panel(axes, stack, cases, 0.115 if narrow else 0.045)
    axes.set_xlabel(unit_per_byte(str(table["quantity"].iloc[0])) + " of payload")
    handles = [Patch(facecolor=stack.colours[name], label=label) for name, label in stack.labels.items()]
    top = 1 - (legend_rows * _LEGEND_PX + 8) / height
    figure.legend(
        handles=handles, loc="upper left", ncols=columns, frameon=False, borderaxespad=0.2,
        handlelength=1.1, handleheight=1.0, columnspacing=1.6, labelspacing=0.5,
    )  # fmt: skip
    figure.tight_layout(rect=(0, 0, 1, top))
    return figure
