"""Small multiples of windows: panels beside each other that share both scales, a few of them in one axes.

An axes of its own for each panel would take most of the time of drawing a report, and twelve in a row cannot be read.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from offloadbench.report.plots import style

# panels in a row on a wide page and on a narrow one
_WIDE, _NARROW = 4, 2
# between two panels, of a panel's width
_GAP = 0.12
# from the axes down to their figures and their name
_PAD_PX, _NAME_PX = 3.5, 19
_LEFT_PX, _RIGHT_PX, _TITLE_PX, _AXIS_PX, _BETWEEN_PX = 62, 10, 24, 42, 16


class Panels:
    """Rows of panels, one panel a case; every row has an axes for each metric, one below the other.

    Args:
        cases: in the order of reading.
        seconds: length of every window.
        metrics: how many axes a row has.
        axes_px: height of each.
        head_px: above the first row, for a legend.

    Attributes:
        rows: for each row its cases and its axes, the first metric above.
    """

    def __init__(
        self, cases: Sequence[str], seconds: float, *, metrics: int, axes_px: int, head_px: int, narrow: bool
    ) -> None:
        across = min(_NARROW if narrow else _WIDE, len(cases))
        chunks = [list(cases[at : at + across]) for at in range(0, len(cases), across)]
        row_px = _TITLE_PX + metrics * axes_px + (metrics - 1) * _BETWEEN_PX + _AXIS_PX
        self.seconds = seconds
        self._across = across
        self._pitch = seconds * (1 + _GAP)
        self.figure: Figure = style.new_figure(
            style.NARROW_PX if narrow else style.WIDE_PX, head_px + row_px * len(chunks)
        )
        self.rows: list[tuple[list[str], list[Axes]]] = []
        for number, chunk in enumerate(chunks):
            top_px = head_px + number * row_px + _TITLE_PX
            stack = [
                style.place(self.figure, _LEFT_PX, top_px + metric * (axes_px + _BETWEEN_PX), _RIGHT_PX, axes_px)
                for metric in range(metrics)
            ]
            self._frame(chunk, stack)
            self.rows.append((chunk, stack))

    def offset(self, position: int) -> float:
        """Where the panel at this place of its row begins, in seconds."""
        return position * self._pitch

    def _frame(self, chunk: Sequence[str], stack: Sequence[Axes]) -> None:
        begins = [self.offset(position) for position in range(len(chunk))]
        for axes in stack:
            style.clean(axes, "y")
            axes.set_xlim(0, self._across * self._pitch - self.seconds * _GAP)
            axes.tick_params(labelsize=style.SMALL_PX)
            axes.locator_params(axis="y", nbins=4)
            axes.set_xticks([])
            for begin in begins[1:]:
                axes.axvspan(begin - self.seconds * _GAP, begin, facecolor=style.PAPER, edgecolor="none", zorder=0.9)
            if len(chunk) < self._across:
                axes.axvspan(
                    begins[-1] + self.seconds, self._across * self._pitch, facecolor=style.PAPER, edgecolor="none",
                    zorder=0.9,
                )  # fmt: skip
            axes.spines["bottom"].set_visible(False)
        below = stack[-1]
        height_px = below.get_window_extent().height
        for begin, case in zip(begins, chunk, strict=True):
            stack[0].text(begin, 1.05, style.short(case), transform=stack[0].get_xaxis_transform(), va="bottom")
            for mark, side in zip((0, self.seconds / 2, self.seconds), ("left", "center", "right"), strict=True):
                below.text(
                    begin + mark, -_PAD_PX / height_px, f"{mark:g}", transform=below.get_xaxis_transform(), ha=side,
                    va="top", fontsize=style.SMALL_PX,
                )  # fmt: skip
        below.text(
            0, -_NAME_PX / height_px, "seconds of the window", transform=below.transAxes, va="top",
            fontsize=style.SMALL_PX,
        )  # fmt: skip


def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The parts one after another, parted by NaN, where a line or an area is interrupted."""
    gaps = [np.full((*part.shape[:-1], 1), np.nan) for part in parts]
    return np.concatenate([one for pair in zip(parts, gaps, strict=True) for one in pair], axis=-1)
