"""One HTML file from runs, written section by section.

Self-contained: no network, no inline style; the policy names the style sheet and the scripts by their hashes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup

from offloadbench.analysis.findings.findings import PLACEHOLDER
from offloadbench.model import Profile, Run
from offloadbench.report.cells import Table
from offloadbench.report.contents import collect, drawn
from offloadbench.report.machine import TermGroup
from offloadbench.report.material import Material
from offloadbench.report.plot import Plot
from offloadbench.report.plots import style
from offloadbench.report.section import (
    Block,
    Bullets,
    Findings,
    FlameGraph,
    NoFinding,
    Paragraph,
    ReportAnswer,
    RowsFrom,
    SenderLimits,
    Subheading,
    WrittenSection,
)
from offloadbench.report.templates import content_hash, environment, own, script

# the macro that writes a block
_MACROS: dict[type[Block], str] = {
    ReportAnswer: "answer",
    Paragraph: "paragraph",
    Bullets: "bullets",
    Findings: "findings",
    NoFinding: "no_finding",
    SenderLimits: "sender_limits",
    Subheading: "subheading",
    RowsFrom: "rows_from",
    FlameGraph: "flame_graph",
    Plot: "figure",
    Table: "folded",
    TermGroup: "term_group",
}


def render(runs: Sequence[Run], profile: Profile, names: Sequence[str]) -> str:
    """The whole report.

    Args:
        names: of the run files, as they were given.

    Returns:
        An HTML document that needs nothing but itself.
    """
    return page(collect(runs, profile, names))


def page(material: Material) -> str:
    """The document made of this."""
    with style.drawing(), drawn(material) as sections:
        return environment().get_template("report.html.j2").render(_values(material, sections))


def _values(material: Material, sections: Sequence[WrittenSection]) -> dict[str, object]:
    results, css = material.results, own("report.css")
    graphs = [block.graph for one in sections for block in one.blocks if isinstance(block, FlameGraph)]
    return {
        "css": Markup(css),  # noqa: S704 our own file
        "css_hash": content_hash(css),
        "scripts": [script(name) for name in ("report.js", *(["flame.js"] if any(graphs) else []))],
        "names": material.names,
        "runs": results.runs,
        "benches": results.benches,
        "sections": sections,
        "write": _writer(),
    }


def _writer() -> Callable[[Block], Markup]:
    """Writes a block."""
    templates = environment()
    templates.globals["placeholder"] = PLACEHOLDER
    macros = templates.get_template("blocks.html.j2").module
    return lambda block: getattr(macros, _MACROS[type(block)])(block)
