"""Every plot of a report as files, for slides and papers: SVG, and PNG of twice the page's resolution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from offloadbench.report.plot import WIDE, Plot
from offloadbench.report.plots import style

_PNG_DPI = 144


def write(plots: Sequence[Plot], folder: Path) -> Iterator[Path]:
    """Draw each plot as on a wide page, dark on white, and yield the files as they are there.

    What stood under these names is overwritten: a plot can always be drawn again.

    Raises:
        OSError: the folder or a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, plot in enumerate(plots, 1):
        stem = f"{number:02}-{plot.name}"
        with style.drawing():
            figure = plot.figure(WIDE)
            for ending, options in (("svg", {"metadata": {"Date": None}}), ("png", {"dpi": _PNG_DPI})):
                path = folder / f"{stem}.{ending}"
                figure.savefig(path, facecolor="white", **options)
                yield path
