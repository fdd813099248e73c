"""E3: throughput against RTT, one line per workload and setting (figures 2 and 15 of the origin paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from offloadbench.base.units import format_rate
from offloadbench.report.plots import style

# Okabe and Ito 2008, without yellow, which a line on paper does not carry
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_MARKERS = "osD^vP"
# lines further apart than this are not told from zero on a linear scale
_LOG_FROM_RATIO = 20.0
_HEIGHT_PX, _NARROW_HEIGHT_PX, _LEGEND_ROW_PX = 340, 260, 18

Points = Sequence[tuple[float, float]]


def line_names(rows: pd.DataFrame) -> pd.Series[str]:
    """A line's name per row: what is needed to tell the lines apart, of workload, setting and case."""
    parts = [rows["workload"].astype(str)]
    if rows["setting"].astype(bool).any():
        parts.append(rows["setting"].astype(str))
    if rows["case"].nunique() > 1:
        parts.append(rows["case"].astype(str))
    return pd.Series(
        [", ".join(filter(None, words)) for words in zip(*parts, strict=True)], index=rows.index, dtype=object
    )


def rtt(
    rows: pd.DataFrame, theory: Mapping[str, Points] | None = None, *, log: bool | None = None, narrow: bool = False
) -> Figure:
    """Lines go through medians over repeats; every trial is a dot when there are several.

    Args:
        rows: trials that are ok: columns workload, setting, case, rtt_s, goodput_bits_per_s.
        theory: name -> points (RTT in seconds, bits per second), drawn dashed; a name of a line takes its colour.
        log: scale of the throughput; None: logarithmic where the lines are more than a factor of 20 apart.
        narrow: for a narrow page.
    """
    named = rows.assign(line=line_names(rows), ms=rows["rtt_s"] * 1e3)
    # settings in the order of the rows, those of a workload side by side
    lines = list(dict.fromkeys(named.sort_values("workload", kind="stable")["line"]))
    theory = theory or {}
    expected = [rate for points in theory.values() for _, rate in points]
    largest = max([*named["goodput_bits_per_s"], *expected])
    smallest = min([rate for rate in named["goodput_bits_per_s"] if rate > 0] or [largest])
    legend_rows = len(set(lines) | set(theory)) + len(set(lines) & set(theory))
    height = (_NARROW_HEIGHT_PX if narrow else _HEIGHT_PX) + _LEGEND_ROW_PX * (legend_rows if narrow else 0)
    figure = style.new_figure(style.NARROW_PX if narrow else style.WIDE_PX, height)
    axes = figure.subplots()
    _draw(axes, named, lines)
    colours = {line: _colour(number) for number, line in enumerate(lines)}
    for name, points in theory.items():
        label = f"{name}: theory" if name in colours else name
        x, y = zip(*((rtt_s * 1e3, rate) for rtt_s, rate in points), strict=True)
        axes.plot(x, y, color=colours.get(name, style.INK), linestyle=(0, (4, 3)), linewidth=1.3, label=label)
    _scale(axes, largest, smallest, log=largest > _LOG_FROM_RATIO * smallest if log is None else log)
    axes.set(xlabel="RTT, ms", ylabel="")
    axes.set_xticks(sorted(named["ms"].unique()))
    axes.set_title("Goodput", loc="left")
    axes.tick_params(labelsize=style.SMALL_PX)
    style.clean(axes, "y")
    if narrow:
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.22), borderaxespad=0)
    else:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5), borderaxespad=0)
    figure.tight_layout()
    return figure


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _draw(axes: Axes, named: pd.DataFrame, lines: Sequence[str]) -> None:
    """`named`: columns line, ms, goodput_bits_per_s."""
    # a second of imports (seaborn brings scipy.stats), which only the report of a sweep is to pay
    import seaborn as sns

    points: dict[str, Any] = {"x": "ms", "y": "goodput_bits_per_s", "hue": "line", "hue_order": lines, "legend": False}
    points |= {"palette": [_colour(number) for number in range(len(lines))], "ax": axes}
    markers = [_MARKERS[number % len(_MARKERS)] for number in range(len(lines))]
    sns.lineplot(
        data=named, **points, style="line", style_order=lines, markers=markers, dashes=False,
        estimator="median", errorbar=None, markersize=5, linewidth=1.8,
    )  # fmt: skip
    for number, (drawn, name) in enumerate(zip(axes.lines, lines, strict=True)):
        drawn.set_label(name)
        drawn.set_markeredgecolor(_colour(number))
        # when the colours begin again, the markers are hollow
        drawn.set_markerfacecolor(_colour(number) if number < len(_COLOURS) else "white")
    repeated = named[named.duplicated(["line", "ms"], keep=False)]
    if len(repeated):
        sns.scatterplot(data=repeated, **points, s=10, alpha=0.5, linewidth=0)


def _scale(axes: Axes, largest: float, smallest: float, *, log: bool) -> None:
    if log:
        axes.set_yscale("log")
        axes.set_ylim(smallest / 1.6, largest * 1.4)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(0, largest * 1.08)
        axes.locator_params(axis="y", nbins=6)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_rate(value) if value else "0"))
