"""A plot of a report: drawn when it is asked for, with the words that stand for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from markupsafe import Markup
from matplotlib.figure import Figure

from offloadbench.report.svg import inline, printable


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

    @property
    def name(self) -> str:
        """Words for a file's name."""
        return self.draw.func.__name__.replace("_", "-")

    @property
    def wide(self) -> Markup:
        """SVG, drawn now."""
        return self._inline("wide")

    @property
    def narrow(self) -> Markup:
        """SVG, drawn now."""
        return self._inline("narrow")

    def _inline(self, css_class: str) -> Markup:
        drawn = self.draw(narrow=css_class == "narrow")
        return Markup(  # noqa: S704 escaped by ElementTree
            inline(drawn, f"p{self.number}{css_class}-", printable(self.label), css_class)
        )
