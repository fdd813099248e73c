"""A plot of a report: drawn when it is asked for, with the words that stand for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial

from markupsafe import Markup
from matplotlib.figure import Figure

from offloadbench.base import forked
from offloadbench.report.plots import light_ticks
from offloadbench.report.svg import inline, printable

WIDE, NARROW = "wide", "narrow"
_PAGES = (WIDE, NARROW)
# plots for which starting processes pays
_WORTH_PROCESSES = 8


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot for a wide page and for a narrow one; the style sheet shows one of them.

    Attributes:
        number: of this plot in its report, which keeps the ids of one page apart.
        draw: called with `narrow`, inside `style.drawing`.
        label: what a reader who cannot see the plot is told.
        drawn: page -> what gives the picture that was drawn already, or waits for it.
    """

    number: int
    draw: partial[Figure]
    label: str
    caption: str
    drawn: dict[str, Callable[[], Markup]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        """Words for a file's name."""
        return self.draw.func.__name__.replace("_", "-")

    def figure(self, css_class: str) -> Figure:
        """Drawn for one of the pages, to be saved."""
        figure = self.draw(narrow=css_class == NARROW)
        light_ticks.lighten(figure)
        return figure

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
            self.drawn[css_class] = cache(partial(self.svg, css_class))
        return self.drawn[css_class]()

    def svg(self, css_class: str) -> Markup:
        """Drawn for one of the pages, whatever was drawn before."""
        text = inline(self.figure(css_class), f"p{self.number}{css_class}-", printable(self.label), css_class)
        return Markup(text)  # noqa: S704 escaped by ElementTree


@contextmanager
def ahead(plots: Sequence[Plot]) -> Iterator[None]:
    """Draw these for both pages while the caller writes what stands beside them: they take most of a report's time.

    Few plots are drawn when they are asked for.
    """
    asked = [(plot, css_class) for plot in plots for css_class in _PAGES] if len(plots) >= _WORTH_PROCESSES else []
    with forked.beside([partial(plot.svg, css_class) for plot, css_class in asked]) as results:
        for (plot, css_class), result in zip(asked, results, strict=True):
            plot.drawn[css_class] = result
        yield
