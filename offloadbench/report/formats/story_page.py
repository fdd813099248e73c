"""The story of TSO and initcwnd as a page: the claim, what real kernels did, the code, the cures, how sure that is."""

from __future__ import annotations

from functools import partial

from markupsafe import Markup

from offloadbench.analysis.initcwnd import evidence, story
from offloadbench.analysis.initcwnd.evidence import KernelEvidence
from offloadbench.report.cells import Cell, Head, Table
from offloadbench.report.plot import Plot
from offloadbench.report.plots import style
from offloadbench.report.plots.kernel_flights_plot import FlightSetting, kernel_flights
from offloadbench.report.templates import content_hash, environment, own, script
from offloadbench.version import __version__


def _seen(row: KernelEvidence) -> FlightSetting:
    pairs = [row.seen.get(kernel) for kernel in evidence.KERNELS]
    title = " · ".join(filter(None, (row.mark, row.setting.replace("`", ""))))
    return FlightSetting(title, row.initcwnd, [(pair.on, pair.off) if pair else (None, None) for pair in pairs])


def plot() -> Plot:
    """What left, by kernel and setting, as the kernels are shipped."""
    rows = [_seen(row) for row in evidence.AS_SHIPPED]
    told = "; ".join(
        f"{row.setting}: "
        + ", ".join(f"{kernel} {row.cell(kernel)}" for kernel in evidence.KERNELS if kernel in row.seen)
        for row in evidence.AS_SHIPPED
    )
    return Plot(
        1,
        partial(kernel_flights, evidence.KERNELS, rows),
        f"Segments before an ACK could act, TSO on / off. {told}",
        "Segments that left before an ACK could act: a dot with TSO on, a ring with TSO off, a bar for what the route "
        "asked for. Right of the bar the window is exceeded, left of it something holds data back. Four or five "
        "repeats each; none differs.",
    )


def table(rows: tuple[KernelEvidence, ...], caption: str) -> Table:
    """Segments with TSO on / off, one column a kernel."""
    heads = [Head("What the server did", words=True), *(Head(kernel, True) for kernel in evidence.KERNELS)]
    heads.append(Head("Mechanism"))
    cells = []
    for row in rows:
        by_kernel = [
            Cell(row.cell(kernel), str(row.seen[kernel].on) if kernel in row.seen else "-1")
            for kernel in evidence.KERNELS
        ]
        setting = row.setting.replace("`", "")
        cells.append([Cell(setting), *by_kernel, Cell(row.mark)])
    return Table(caption, heads, cells)


def page() -> str:
    """The whole page as an HTML document that needs nothing but itself."""
    css = own("report.css")
    values = {
        "css": Markup(css),  # noqa: S704 our own file
        "css_hash": content_hash(css),
        "scripts": [script("report.js")],
        "story": story,
        "plot": plot(),
        "shipped": table(evidence.AS_SHIPPED, "As shipped: segments with TSO on / off"),
        "cured": table(evidence.CURED, "With the cure of each mechanism: segments with TSO on / off"),
        "version": __version__,
    }
    with style.drawing():
        return environment().get_template("story.html.j2").render(values)
