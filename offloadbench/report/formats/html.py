"""One HTML file from runs: the finding, the pictures, what was proven, and what to know before believing it.

Self-contained: no network, no inline style; the policy names the style sheet and the scripts by their hashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from markupsafe import Markup

from offloadbench.analysis.findings import findings
from offloadbench.model import Profile, Run
from offloadbench.report.contents import ROWS, Contents, Material, collect
from offloadbench.report.flame import flame
from offloadbench.report.plot import ahead
from offloadbench.report.plots import style
from offloadbench.report.sections import machine, table_views
from offloadbench.report.templates import content_hash, environment, own, script


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
    with style.drawing(), ahead(material.plots.every()):
        return environment().get_template("report.html.j2").render(_values(material.contents))


def _values(found: Contents) -> dict[str, object]:
    results, profile, plots = found.results, found.profile, found.plots
    css, graph = own("report.css"), flame(results)
    return dict(
        css=Markup(css),  # noqa: S704 our own file
        css_hash=content_hash(css),
        scripts=[script(name) for name in ("report.js", *(["flame.js"] if graph else []))],
        names=found.names,
        runs=results.runs,
        benches=results.benches,
        several=found.several,
        headlines=found.headlines,
        findings=found.others,
        placeholder=findings.PLACEHOLDER,
        outcomes={str(k): int(v) for k, v in results.trials["outcome"].value_counts().items()},
        **{field.name: getattr(plots, field.name) for field in fields(plots)},
        remarks=found.remarks,
        effect_problems=found.effect_problems,
        rows_of=ROWS,
        counted=found.counted,
        flame=graph,
        limits=found.limits,
        theory=found.theory,
        trials=table_views.trials(results),
        proofs=table_views.proofs(results),
        features=found.features,
        module_tables=found.modules,
        processes=found.processes,
        cpus=found.cpus,
        single_cpus=found.single_cpus,
        foreign=found.foreign,
        profile=profile,
        caveats=found.caveats,
        methods=[machine.methods(run) for run in results.runs],
        machines=[machine.machine(run) for run in results.runs],
    )
