"""A plot of a report: drawn when it is asked for, with the words that stand for it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent import futures
from dataclasses import dataclass, field
from functools import partial

from markupsafe import Markup
from matplotlib.figure import Figure

from offloadbench.report.svg import inline, printable

WIDE, NARROW = "wide", "narrow"
_PAGES = (WIDE, NARROW)
# plots for which starting a process pays
_WORTH_A_PROCESS = 4


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot for a wide page and for a narrow one; the style sheet shows one of them.

    Attributes:
        number: of this plot in its report, which keeps the ids of one page apart.
        draw: called with `narrow`, inside `style.drawing`.
        label: what a reader who cannot see the plot is told.
    """

    number: int
    draw: partial[Figure]
    label: str
    caption: str
    drawn: dict[str, Markup] = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        """Words for a file's name."""
        return self.draw.func.__name__.replace("_", "-")

    @property
    def wide(self) -> Markup:
        """SVG."""
        return self.inline(WIDE)

    @property
    def narrow(self) -> Markup:
        """SVG."""
        return self.inline(NARROW)

    def inline(self, css_class: str) -> Markup:
        """SVG for one of the pages, drawn when it is first asked for."""
        if css_class not in self.drawn:
            figure = self.draw(narrow=css_class == NARROW)
            text = inline(figure, f"p{self.number}{css_class}-", printable(self.label), css_class)
            self.drawn[css_class] = Markup(text)  # noqa: S704 escaped by ElementTree
        return self.drawn[css_class]


def draw_all(plots: Sequence[Plot]) -> None:
    """Draw every plot for both pages, a process a CPU: pictures know nothing of each other, and take most of the time.

    Forked, so that what is drawn need not be sent to the processes; few plots are drawn here. A process draws a plot
    for both pages, so that only one pays for what the plot imports.
    """
    processes = min(len(os.sched_getaffinity(0)), len(plots) // _WORTH_A_PROCESS)
    if processes < 2:
        return
    with futures.ProcessPoolExecutor(
        processes, multiprocessing.get_context("fork"), initializer=_LENT.extend, initargs=(plots,)
    ) as pool:
        for plot, texts in zip(plots, pool.map(_drawn, range(len(plots))), strict=True):
            for css_class, text in zip(_PAGES, texts, strict=True):
                plot.drawn[css_class] = Markup(text)  # noqa: S704 drawn by `Plot.inline`


def _drawn(number: int) -> list[str]:
    return [str(_LENT[number].inline(css_class)) for css_class in _PAGES]


# what a forked process is to draw; empty in the one that forks
_LENT: list[Plot] = []
