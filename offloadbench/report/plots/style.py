"""Colours, type and sizes that all plots share. One colour a module, a floor and a case, everywhere.

INK and PAPER are no colours of their own: the report replaces them by those of the page, light or dark.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator

INK, PAPER = "#0a0b0c", "#fbfcfd"
# figure sizes are in px of the page: SVG user units
WIDE_PX, NARROW_PX = 1040, 400
TEXT_PX, SMALL_PX = 13, 11.5
NAME_LENGTH = 34
# width of a letter to the size of its type, on average
_LETTER_RATIO = 0.575

# Okabe and Ito 2008, Tol's muted set for the rest; told apart by all common kinds of colour blindness when adjacent
_MODULES = {
    "tcp": "#0072b2",
    "skb": "#e69f00",
    "checksum": "#d55e00",
    "copy": "#cc79a7",
    "gso": "#009e73",
    "driver": "#f0e442",
    "driver_nic": "#f0e442",
    "driver_tunnel": "#c4b000",
    "driver_stack": "#8f8a2a",
    "driver_virtual": "#fff3a3",
    "netdev": "#56b4e9",
    "ip": "#44aa99",
    "mem": "#882255",
    "irq_shadow": "#7f8b98",
    "user": "#b8a04a",
    "fs": "#332288",
    "irq": "#cc6677",
    "sched": "#999933",
    "lock": "#aa4499",
    "timer": "#6699cc",
    "socket": "#117733",
    "gro": "#88ccaa",
    "other": "#7a6a58",
    "rcu": "#994455",
    "vfs": "#ddaa77",
    "syscall": "#5577aa",
    "crypto": "#77aadd",
    "perf_trace": "#bb9988",
    "idle": "#d0c9bd",
}
# of a driver that is taken apart, by what its parts do: shades of the driver's own colour
_PARTS = {
    "_rx": "#f7e89a",
    "_xmit": "#e3b505",
    "_tx_completion": "#b08900",
    "_doorbell": "#7a5c00",
    "_events": "#d9c77a",
}
_SPARE = ("#997700", "#ee99aa", "#004488", "#bbcc33", "#ee8866", "#aaaa00", "#225522", "#663333")
_FLOORS = {"transport": "#0072b2", "netdev": "#56b4e9", "driver": "#f0e442", "other": "#8d99a6"}
# the origin article's names for the floors, as profiles/article-2005.toml groups them
_ARTICLE = {
    "tcpip.sys": _FLOORS["transport"],
    "NDIS.sys": _FLOORS["netdev"],
    "q57xp32.sys": _FLOORS["driver"],
    "everything else": _FLOORS["other"],
}
# greys, so that no class is taken for a module
_CONFIDENCE = {"known": "#4a5560", "inferred": "#a9b4bf", "other": "#b08d57", "irq_shadow": "#d9dde1"}
REST = "#c3c8ce"
_CASES = {
    "tso": "#009e73",
    "gso": "#56b4e9",
    "csum": "#e69f00",
    "none": "#d55e00",
    "tso-norx": "#66c2a5",
    "gso-norx": "#0072b2",
    "gso-notx": "#88a9d8",
    "gso-nocsum": "#332288",
    "tx-only": "#e0c050",
    "rx-only": "#cc6677",
    "all-on": "#117733",
    "tso-off": "#44aa99",
    "gso-off": "#999933",
    "tx-off": "#aa4499",
    "rx-off": "#882255",
    "gro-off": "#7a6a58",
    "sg-off": "#997700",
}

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "offloadbench",
    "text.parse_math": False,
    "font.size": TEXT_PX,
    "axes.titlesize": TEXT_PX,
    "axes.labelsize": SMALL_PX,
    "xtick.labelsize": SMALL_PX,
    "ytick.labelsize": TEXT_PX,
    "legend.fontsize": SMALL_PX,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.8,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    # a title's place is not looked for: that measures every label of its axes
    "axes.titley": 1.0,
    "grid.color": INK,
    "grid.alpha": 0.14,
    "grid.linewidth": 1.0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@contextmanager
def drawing() -> Iterator[None]:
    """The settings of all plots, for the time of drawing and saving; no global state is left changed."""
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        # names may hold letters that matplotlib's own font lacks: the browser draws them
        warnings.filterwarnings("ignore", message="Glyph")
        yield


def new_figure(width_px: float, height_px: float) -> Figure:
    """A figure whose SVG user units are px: matplotlib writes points, 72 an inch."""
    return Figure(figsize=(width_px / 72, height_px / 72), dpi=72)


def place(figure: Figure, left_px: float, top_px: float, right_px: float, height_px: float) -> Axes:
    """Axes as wide as the figure but for margins left and right, below `top_px`.

    Measuring every label (`tight_layout`) would take longer than drawing them.
    """
    width, height = (float(inches) * 72 for inches in figure.get_size_inches())
    return figure.add_axes(
        (left_px / width, 1 - (top_px + height_px) / height, 1 - (left_px + right_px) / width, height_px / height)
    )


@dataclass(frozen=True, slots=True)
class Margins:
    """Room around and between axes, in px.

    Attributes:
        across, down: between columns and between rows, labels and titles included.
    """

    left: float
    right: float
    top: float
    bottom: float
    across: float = 0.0
    down: float = 0.0


def grid(figure: Figure, rows: int, columns: int, margins: Margins) -> list[list[Axes]]:
    """Rows of axes of one size that fill the figure but for the margins; see `place`."""
    width, height = (float(inches) * 72 for inches in figure.get_size_inches())
    inner_px = (width - margins.left - margins.right - (columns - 1) * margins.across) / columns
    height_px = (height - margins.top - margins.bottom - (rows - 1) * margins.down) / rows
    return [
        [
            place(
                figure,
                margins.left + column * (inner_px + margins.across),
                margins.top + row * (height_px + margins.down),
                width - margins.left - column * (inner_px + margins.across) - inner_px,
                height_px,
            )
            for column in range(columns)
        ]
        for row in range(rows)
    ]


def name_axes(axes: Axes, *, x: str = "", y: str = "", below_px: float = 21, left_px: float = 56) -> None:
    """Names beside the axes, at a distance that is not measured."""
    box = axes.get_window_extent()
    if x:
        axes.text(0.5, -below_px / box.height, x, transform=axes.transAxes, ha="center", va="top", fontsize=SMALL_PX)
    if y:
        axes.text(
            -left_px / box.width, 0.5, y, transform=axes.transAxes, ha="center", va="bottom", fontsize=SMALL_PX,
            rotation=90, rotation_mode="anchor",
        )  # fmt: skip


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Names of the rows, at 0, 1, 2 ... from the top."""
    axes.yaxis.set_major_locator(FixedLocator(range(len(names))))
    axes.yaxis.set_major_formatter(FixedFormatter(names))
    axes.set_ylim(len(names) - 0.45, -0.55)


def bars(
    axes: Axes,
    rows: npt.ArrayLike,
    lefts: npt.ArrayLike,
    widths: npt.ArrayLike,
    *,
    height: float,
    colours: str | Sequence[str],
    linewidth: float = 0.0,
) -> None:
    """Horizontal bars with edges of paper, as one collection: a patch each takes many times as long."""
    at, left = np.asarray(rows, dtype=float), np.asarray(lefts, dtype=float)
    right, low, high = left + np.asarray(widths, dtype=float), at - height / 2, at + height / 2
    corners = np.array([(left, low), (right, low), (right, high), (left, high)]).transpose(2, 0, 1)
    axes.add_collection(PolyCollection(list(corners), facecolors=colours, edgecolors=PAPER, linewidths=linewidth))


def text_px(texts: Sequence[str], size_px: float) -> float:
    """About how wide the longest of these is."""
    return max(map(len, texts), default=0) * size_px * _LETTER_RATIO


def legend_columns(labels: Sequence[str], *, narrow: bool) -> int:
    """How many columns of a legend fit beside each other, three at most."""
    widest = text_px(labels, SMALL_PX) + 40
    return max(1, min(3, len(labels), int((NARROW_PX if narrow else WIDE_PX) / widest)))


def colour_legend(figure: Figure, entries: Iterable[tuple[str, str]], columns: int) -> None:
    """(colour, label) of what is drawn in areas, above all axes."""
    figure.legend(
        handles=[Patch(facecolor=colour, label=label) for colour, label in entries],
        loc="upper left", ncols=columns, frameon=False, borderaxespad=0.2,
        handlelength=1.1, handleheight=1.0, columnspacing=1.6, labelspacing=0.5,
    )  # fmt: skip


def clean(axes: Axes, grid: str) -> None:
    """No frame; grid lines along one axis, behind the data."""
    axes.spines[["top", "right", *(["left", "bottom"] if grid == "x" else [])]].set_visible(False)
    axes.grid(visible=True, axis="x" if grid == "x" else "y")
    axes.set_axisbelow(True)


def _spare(name: str) -> str:
    return _SPARE[zlib.crc32(name.encode()) % len(_SPARE)]


def module_colour(module: str) -> str:
    """The module's colour; names that no shipped profile knows get one that stays theirs."""
    part = next((colour for ending, colour in _PARTS.items() if module.endswith(ending)), "")
    return _MODULES.get(module) or _ARTICLE.get(module) or part or _spare(module)


def confidence_colour(name: str) -> str:
    """The colour of a class of `analysis.confidence`."""
    return _CONFIDENCE[name]


def floor_colour(floor: str) -> str:
    return _FLOORS.get(floor) or _spare(floor)


def case_colour(case: str) -> str:
    return _CASES.get(case) or _spare(case)


def on_colour(colour: str) -> str:
    """Black or white, whichever reads better on a filled area (ITU-R BT.601 luma)."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#111111" if 0.299 * red + 0.587 * green + 0.114 * blue > 120 else "#ffffff"


def short(name: str) -> str:
    """A name that fits beside a plot."""
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"
