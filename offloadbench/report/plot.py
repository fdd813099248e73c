"""A plot of a report: drawn when it is asked for, with the words that stand for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from markupsafe import Markup
from matplotlib.figure import Figure

from offloadbench import forked
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

    Few plots are drawn here.
    """
    processes = min(forked.cpus(), len(plots) // _WORTH_A_PROCESS)
    if processes < 2:
        return
    works = [partial(plot.inline, css_class) for plot in plots for css_class in _PAGES]
    for number, drawn in enumerate(forked.each(works, processes)):
        plots[number // len(_PAGES)].drawn[_PAGES[number % len(_PAGES)]] = drawn
