"""One HTML file from runs: the finding, the pictures, what was proven, and what to know before believing it.

Self-contained: no network, no inline style, one script and one style sheet that the policy names by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from offloadbench.analysis import caveats, findings
from offloadbench.analysis.results import Results, busy_modules, gather
from offloadbench.model import Profile, Run
from offloadbench.report import machine, views
from offloadbench.report.plots import style
from offloadbench.report.plots.modules import modules as draw_modules
from offloadbench.report.plots.series import series as draw_series
from offloadbench.report.plots.throughput_cpu import throughput_cpu as draw_throughput_cpu
from offloadbench.report.svg import inline, printable

_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot drawn twice, for a wide page and for a narrow one; the style sheet shows one of them."""

    wide: Markup
    narrow: Markup
    caption: str


class _Plots:
    """Draws the plots of one report and numbers them, so that their ids never collide."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._usable = results.trials[results.trials["usable"]]
        self._modules = busy_modules(results.modules)
        self._count = 0

    def _plot(self, wide: Figure, narrow: Figure, label: str, caption: str) -> Plot:
        self._count += 1
        drawn = [
            Markup(inline(figure, f"p{self._count}{css_class}-", printable(label), css_class))  # noqa: S704 escaped by ElementTree
            for figure, css_class in ((wide, "wide"), (narrow, "narrow"))
        ]
        return Plot(drawn[0], drawn[1], caption)

    def throughput_cpu(self) -> Plot | None:
        """E1."""
        if self._usable.empty:
            return None
        cases = self._results.cases
        label = "Bars of throughput, CPU busy and CPU seconds per GB per case: " + "; ".join(
            f"{row.nic} {row.case}: {findings.figure(float(str(row.cpu_s_per_gb)))} CPU s/GB"
            for row in self._usable.itertuples()
        )
        return self._plot(
            draw_throughput_cpu(self._usable, cases),
            draw_throughput_cpu(self._usable, cases, narrow=True),
            label,
            "Throughput and CPU per case, each NIC on its own scale. Bars are medians over the repeats"
            + (" and dots are trials." if self._usable.groupby(["nic", "workload", "case"]).size().max() > 1 else "."),
        )

    def _by_bench(self, floors: dict[str, str] | None, what: str, caption: str) -> list[Plot]:
        plots = []
        for (nic, workload), rows in self._modules.groupby(["nic", "workload"], sort=False):
            cases = self._results.cases
            totals = rows.groupby("case")["value_per_byte"].sum()
            label = f"Stacked bars of {what}, {nic}, {workload}: " + ", ".join(
                f"{case} {findings.figure(float(totals[case]))}" for case in cases if case in totals
            )
            wide, narrow = (draw_modules(rows, cases, floors=floors, narrow=small) for small in (False, True))
            plots.append(self._plot(wide, narrow, label, f"{nic}, {workload}: {caption}"))
        return plots

    def modules(self) -> list[Plot]:
        """E2, by module."""
        caption = "the five biggest modules, and the rest as other modules. Idle time is left out."
        return self._by_bench(None, "cost by module", caption)

    def floors(self, names: dict[str, str]) -> list[Plot]:
        """E2, by floor."""
        return self._by_bench(names, "cost by floor", "the same cost on the three floors of the network stack.")

    def series(self) -> list[Plot]:
        """The windows, second by second."""
        plots = []
        for (nic, workload), rows in self._results.samples.groupby(["nic", "workload"], sort=False):
            wide, narrow = (draw_series(rows, self._results.cases, narrow=small) for small in (False, True))
            label = f"Throughput and CPU busy for every second of the window, {nic}, {workload}"
            plots.append(self._plot(wide, narrow, label, f"{nic}, {workload}: one point a second, one line a trial."))
        return plots


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
    css, script = ((_FOLDER / name).read_text(encoding="utf-8").strip() for name in ("report.css", "report.js"))
    with style.drawing():
        plots = _Plots(results)
        throughput_cpu, by_module = plots.throughput_cpu(), plots.modules()
        by_floor, seconds = plots.floors(profile.floors), plots.series()
    several = len(results.trials[["nic", "workload"]].drop_duplicates()) > 1
    return _environment().get_template("report.html.j2").render(
        css=Markup(css),  # noqa: S704 our own file
        script=Markup(script),  # noqa: S704 our own file
        css_hash=_hash(css),
        script_hash=_hash(script),
        names=list(names),
        runs=results.runs,
        benches=results.benches,
        several=several,
        headlines=first,
        findings=[finding for finding in found if all(finding is not other for other in first)],
        placeholder=findings.PLACEHOLDER,
        outcomes={str(k): int(v) for k, v in results.trials["outcome"].value_counts().items()},
        throughput_cpu=throughput_cpu,
        modules=by_module,
        floors=by_floor,
        series=seconds,
        trials=views.trials(results),
        proofs=views.proofs(results),
        features=views.features(results),
        module_tables=views.modules(results, profile.floors),
        profile=profile,
        caveats=caveats.collect(results),
        methods=[machine.methods(run) for run in results.runs],
        machines=[machine.machine(run) for run in results.runs],
    )  # fmt: skip
