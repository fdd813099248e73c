"""One HTML file from runs: the finding, the pictures, what was proven, and what to know before believing it.

Self-contained: no network, no inline style; the policy names the style sheet and the scripts by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from offloadbench.analysis import caveats, confidence, findings
from offloadbench.analysis.results import gather
from offloadbench.model import Profile, Run
from offloadbench.report import change_views, limit_views, machine, profile_views, views
from offloadbench.report.flame import flame
from offloadbench.report.pictures import Pictures
from offloadbench.report.plots import style
from offloadbench.report.svg import printable

_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Script:
    """A script of the page, and the hash that the policy allows it by."""

    text: Markup
    hash: str


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )


def _script(name: str) -> Script:
    text = _own(name)
    return Script(Markup(text), _hash(text))  # noqa: S704 our own file


def _own(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8").strip()


def render(runs: Sequence[Run], profile: Profile, names: Sequence[str]) -> str:
    """The whole report.

    Args:
        names: of the run files, as they were given.

    Returns:
        An HTML document that needs nothing but itself.
    """
    results = gather(runs, profile)
    found = findings.find(results)
    first = findings.headlines(found)
    effects, effect_problems = change_views.run_effects(results, profile)
    by_id = {run.run_id: name for run, name in zip(runs, names, strict=True)}
    changes, remarks = change_views.run_changes(results.runs, [by_id[run.run_id] for run in results.runs], profile)
    css, graph = _own("report.css"), flame(results)
    with style.drawing():
        pictures = Pictures(results, profile)
        drawn = {
            "throughput_cpu": pictures.throughput_cpu(),
            "changes": pictures.changes(changes),
            "effects": pictures.effects(effects),
            "waterfalls": pictures.waterfalls(first),
            "modules": pictures.modules(),
            "floors": pictures.floors(),
            "confidence": pictures.confidence(),
            "queues": pictures.queues(),
            "series": pictures.series(),
        }
    cpus, single_cpus = profile_views.cpus(results)
    return _environment().get_template("report.html.j2").render(
        css=Markup(css),  # noqa: S704 our own file
        css_hash=_hash(css),
        scripts=[_script(name) for name in ("report.js", *(["flame.js"] if graph else []))],
        names=list(names),
        runs=results.runs,
        benches=results.benches,
        several=len(results.trials[["nic", "workload"]].drop_duplicates()) > 1,
        headlines=first,
        findings=[finding for finding in found if all(finding is not other for other in first)],
        placeholder=findings.PLACEHOLDER,
        outcomes={str(k): int(v) for k, v in results.trials["outcome"].value_counts().items()},
        **drawn,
        remarks=remarks,
        effect_problems=effect_problems,
        counted=confidence.counted(results.runs),
        flame=graph,
        limits=limit_views.verdicts(results),
        theory=limit_views.theory(results),
        trials=views.trials(results),
        proofs=views.proofs(results),
        features=views.features(results),
        module_tables=views.modules(results, profile.floors),
        processes=profile_views.processes(results),
        cpus=cpus,
        single_cpus=single_cpus,
        foreign=list(caveats.foreign(results)),
        profile=profile,
        caveats=caveats.collect(results),
        methods=[machine.methods(run) for run in results.runs],
        machines=[machine.machine(run) for run in results.runs],
    )  # fmt: skip
