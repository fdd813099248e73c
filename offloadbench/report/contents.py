"""What a report says and shows, whatever it is written as: HTML, Markdown or files of plots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from offloadbench.analysis.findings import caveats, findings
from offloadbench.analysis.findings import module_confidence as confidence
from offloadbench.analysis.findings.caveats import Caveat
from offloadbench.analysis.findings.findings import Finding
from offloadbench.analysis.tables.results import Profiled, Results, gather, unique_runs
from offloadbench.model import Profile, Run
from offloadbench.report.pictures import Pictures
from offloadbench.report.plot import Plot
from offloadbench.report.sections import change_views, limit_views, profile_views, table_views
from offloadbench.report.sections.change_views import RunChanges, RunEffects
from offloadbench.report.sections.limit_views import CaseVerdict
from offloadbench.report.sections.table_views import Table

Told = list[tuple[Plot, list[str]]]

ROWS = {
    "saved": ("trials",),
    "findings": ("findings",),
    "effects": ("effects", "effect_modules"),
    "where": ("waterfall", "modules"),
    "sure": ("methods", "counts"),
    "functions": ("stacks",),
    "limits": ("limits", "bounds", "evidence"),
    "seconds": ("samples", "module_seconds"),
    "proven": ("features", "proofs"),
    "trials": ("trials",),
    "modules": ("modules",),
    "processes": ("processes", "cpus"),
    "caveats": ("benches", "trials", "quality", "counts", "doubts", "proofs", "processes"),
}
"""Section -> the tables of `offloadbench export` that its sentences and pictures rest on."""


@dataclass(frozen=True, slots=True)
class Plots:
    """The plots, some with sentences beside them; none is drawn before it is asked for.

    Attributes:
        changes, effects, waterfalls: of what was found, which takes a while; the others show what was measured.
    """

    rtt: Plot | None
    throughput_cpu: Plot | None
    modules: list[Plot]
    floors: list[Plot]
    confidence: list[tuple[Plot, list[tuple[str, str]]]]
    queues: list[Plot]
    series: list[Plot]
    changes: Told = field(default_factory=list)
    effects: Told = field(default_factory=list)
    waterfalls: list[Plot] = field(default_factory=list)

    def every(self) -> list[Plot]:
        """All of them, in the order of the page."""
        first = [plot for plot in (self.rtt, self.throughput_cpu) if plot]
        told = [plot for plot, _ in self.effects]
        sure = [plot for plot, _ in self.confidence]
        where = [*self.waterfalls, *self.modules, *self.floors]
        return [*(plot for plot, _ in self.changes), *first, *told, *where, *sure, *self.queues, *self.series]


@dataclass(frozen=True, slots=True)
class Contents:
    """One report.

    Attributes:
        names: of the run files, as they were given.
        headlines: the biggest finding of each bench and workload; `others` are the rest.
        remarks: on what differs between the runs and what is not compared.
        effect_problems: on runs whose effects cannot be tested.
        single_cpus: on benches that were measured on one CPU, which have no table of CPUs.
        foreign: on trials whose modules are the work of others too.
    """

    results: Results
    profile: Profile
    names: list[str]
    headlines: list[Finding]
    others: list[Finding]
    changes: list[RunChanges]
    remarks: list[str]
    effects: list[RunEffects]
    effect_problems: list[str]
    limits: list[CaseVerdict]
    theory: Table
    counted: str
    features: list[Table]
    modules: list[Table]
    processes: list[Table]
    cpus: list[Table]
    single_cpus: list[str]
    foreign: list[str]
    caveats: list[Caveat]
    plots: Plots

    @property
    def several(self) -> bool:
        """Whether findings must say of which bench and workload they are."""
        return len(self.results.trials[["nic", "workload"]].drop_duplicates()) > 1


@dataclass(frozen=True)
class Material:
    """What a report is made of: the tables of the runs and the plots of what was measured.

    Attributes:
        names: of the run files, as they were given; `run_names` those of the runs in `results`.
    """

    results: Results
    profile: Profile
    names: list[str]
    run_names: list[str]
    limits: list[CaseVerdict]
    theory: Table
    pictures: Pictures
    plots: Plots

    @cached_property
    def contents(self) -> Contents:
        """Everything that the runs say."""
        return _contents(self)


def collect(
    runs: Sequence[Run], profile: Profile, names: Sequence[str], sampled: Callable[[], Profiled] | None = None
) -> Material:
    """What a report of these runs is made of.

    Args:
        names: of the run files, as they were given.
        sampled: see `gather`.
    """
    limits, theory = limit_views.watched(unique_runs(runs))
    results = gather(runs, profile, sampled)
    pictures = Pictures(results, profile)
    plots = Plots(
        rtt=pictures.rtt(),
        throughput_cpu=pictures.throughput_cpu(),
        modules=pictures.modules(),
        floors=pictures.floors(),
        confidence=pictures.confidence(),
        queues=pictures.queues(),
        series=pictures.series(),
    )
    by_id = {run.run_id: name for run, name in zip(runs, names, strict=True)}
    run_names = [by_id[run.run_id] for run in results.runs]
    return Material(results, profile, list(names), run_names, limits, theory, pictures, plots)


def _contents(material: Material) -> Contents:
    results, profile, pictures = material.results, material.profile, material.pictures
    found = findings.find(results)
    headlines = findings.headlines(found)
    changes, remarks = change_views.run_changes(results.runs, material.run_names, profile)
    effects, effect_problems = change_views.run_effects(results)
    cpus, single_cpus = profile_views.cpus(results)
    others = caveats.foreign(results)
    return Contents(
        results=results,
        profile=profile,
        names=material.names,
        headlines=headlines,
        others=[finding for finding in found if all(finding is not other for other in headlines)],
        changes=changes,
        remarks=remarks,
        effects=effects,
        effect_problems=effect_problems,
        limits=material.limits,
        theory=material.theory,
        counted=confidence.counted(results.runs),
        features=table_views.features(results),
        modules=table_views.modules(results, profile.floors),
        processes=profile_views.processes(results),
        cpus=cpus,
        single_cpus=single_cpus,
        foreign=list(others.values()),
        caveats=caveats.collect(results, others),
        plots=replace(
            material.plots,
            changes=pictures.changes(changes),
            effects=pictures.effects(effects),
            waterfalls=pictures.waterfalls(headlines),
        ),
    )
