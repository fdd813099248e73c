"""The tables of several runs put side by side under one name a bench, and what of them may be compared."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import msgspec
import pandas as pd

from offloadbench.analysis.comparison import compatibility
from offloadbench.analysis.comparison.judging import Answers, judged
from offloadbench.analysis.comparison.usable_trials import observe, pooled
from offloadbench.analysis.profile import module_tables
from offloadbench.analysis.profile.attributed_samples import QUANTITIES
from offloadbench.analysis.profile.call_tree import Flames, Forest
from offloadbench.analysis.tables import quality
from offloadbench.analysis.tables import trial_tables as tables
from offloadbench.base.errors import StatisticError
from offloadbench.base.sentence import Source, mean_of
from offloadbench.base.setting import Setting
from offloadbench.base.settings import SETTINGS, recorded
from offloadbench.files.sweep_file import in_words
from offloadbench.model import Profile, Run

# a fact that is longer tells runs apart worse than their ids do
_LONGEST_FACT = 24
_PROFILED = ("modules", "methods", "seconds", "processes", "cpus")


@dataclass(frozen=True)
class Results:
    """Tidy tables that share the columns nic (the bench's name), workload, case, repeat.

    Attributes:
        trials: `tables.trials` and usable: ok, with figures, and not contradicted by its own packets.
        samples, modules, methods, seconds, processes, cpus: of usable trials only.
        flames: call stacks of usable trials; None where none were recorded.
        quality: see `quality.quality`, of every trial.
        proofs: one row per subject of every trial: subject, verdict, detail.
        cases: names in ladder order.
        benches: run id -> name of the bench: the NIC, told apart when runs of one name are not comparable.
    """

    runs: list[Run]
    trials: pd.DataFrame
    samples: pd.DataFrame
    modules: pd.DataFrame
    methods: pd.DataFrame
    seconds: pd.DataFrame
    processes: pd.DataFrame
    cpus: pd.DataFrame
    flames: Flames | None
    features: pd.DataFrame
    quality: pd.DataFrame
    proofs: pd.DataFrame
    cases: list[str]
    benches: dict[str, str]

    @cached_property
    def busy_modules(self) -> pd.DataFrame:
        """Mean figures of each module over the trials of a case, for the primary event of each nic, without idle.

        Columns: nic, workload, case, event, quantity, module, floor, value_per_byte, caller_value_per_byte (NaN unless
        every trial recorded call chains), share_ratio.
        """
        figures = ["value_per_byte", "caller_value_per_byte", "share_ratio"]
        return case_means(self.modules[self.modules["share_ratio"].notna()], ["module", "floor"], figures)

    @cached_property
    def answers(self) -> dict[str, Answers]:
        """What the judge says of each bench whose tests can be made; `problems` names the others."""
        return {name: found for name, found in self._judged.items() if isinstance(found, Answers)}

    @cached_property
    def problems(self) -> list[str]:
        """Of each bench whose tests cannot be made why not, as a sentence."""
        return [
            f"{name}: nothing is judged: {found.message}."
            for name, found in self._judged.items()
            if isinstance(found, StatisticError)
        ]

    @cached_property
    def _judged(self) -> dict[str, Answers | StatisticError]:
        found: dict[str, Answers | StatisticError] = {}
        for name in dict.fromkeys(self.benches.values()):
            try:
                found[name] = judged(pooled([run for run in self.runs if self.benches[run.run_id] == name]))
            except StatisticError as error:
                found[name] = error
        return found

    def run_of(self, nic: str) -> Run:
        """The first run of a bench."""
        return next(run for run in self.runs if self.benches[run.run_id] == nic)

    def costs(self, nic: str, workload: str, case: str, modules: Sequence[str]) -> Source:
        """The cells of what these modules cost per byte in a case, the mean over its trials."""
        return self._module_cells[nic, workload, case].mean("modules", "value_per_byte", {"module": tuple(modules)})

    @cached_property
    def _module_cells(self) -> dict[tuple[str, str, str], CaseCells]:
        return case_cells(self.modules)


@dataclass(frozen=True, slots=True)
class CaseCells:
    """Where the trials of a case stand in a table of its profile.

    Attributes:
        where: column -> values of their rows.
    """

    where: dict[str, tuple[object, ...]]
    trials: int

    def mean(self, table: str, column: str, chosen: Mapping[str, tuple[object, ...]]) -> Source:
        """The cells of some of their rows, of which the mean over the trials is told."""
        return Source(table, column, {**self.where, **chosen}, partial(mean_of, count=self.trials))


def case_cells(table: pd.DataFrame) -> dict[tuple[str, str, str], CaseCells]:
    """(nic, workload, case) -> its cells, of the primary event of each nic.

    Args:
        table: one of the tables of a profile in `Results`.
    """
    found = {}
    for nic, rows in table[table["share_ratio"].notna()].groupby("nic", sort=False):
        chosen = rows[rows["event"] == primary_event(rows)]
        for (workload, case), mine in chosen.groupby(["workload", "case"], sort=False):
            trials = mine[["run", "workload", "case", "repeat", "event"]].drop_duplicates()
            where = {str(name): tuple(dict.fromkeys(trials[name])) for name in trials.columns}
            found[str(nic), str(workload), str(case)] = CaseCells(where, len(trials))
    return found


def unique_runs(runs: Sequence[Run]) -> list[Run]:
    """Each run once: of two states of the same run, the one with more trials."""
    found: dict[str, Run] = {}
    for run in runs:
        known = found.get(run.run_id)
        if known is None or len(run.trials) > len(known.trials):
            found[run.run_id] = run
    return list(found.values())


def _circumstances(run: Run) -> dict[str, str]:
    """What must agree before trials of two runs may be pooled: name -> text."""
    nic, host, bed, plan = run.nic, run.host, run.bed, run.plan
    facts: dict[str, object] = {
        "driver": nic.driver,
        "driver version": nic.driver_version,
        "firmware": nic.firmware,
        "speed": nic.speed_bits_per_s,
        "MTU": nic.mtu_bytes,
        "qdisc": nic.qdisc,
        "gso_max_segs": nic.gso_max_segs,
        "kernel": host.kernel,
        "kernel command line": host.command_line,
        "CPU": host.cpu_model,
        "governor": host.governor,
        "idle clock": host.idle_source,
        "link": bed.kind,
        **{setting.title: _exact(setting, recorded(setting, run)) for setting in SETTINGS if setting.compare},
        "CPUs under test": bed.dut_cpus,
        "offloadbench": run.tool_version,
        "place": in_words(run.sweep),
        "parameters": [(workload.name, workload.parameters) for workload in plan.workloads],
    }
    facts |= {f"{name} as found": "on" if bits[0] else "off" for name, bits in nic.features.items()}
    facts |= {f"ring {name}": bed.settings.get(name) for name in ("rx_ring", "tx_ring")}
    for values in (nic.settings, host.sysctls, host.mitigations, compatibility.nic_facts(nic)):
        facts |= values
    return {name: str(value) for name, value in facts.items()}


def _exact(setting: Setting, value: Any) -> Any:
    """The value itself: what reads alike need not be alike."""
    return setting.form(value) if setting.is_flag else value


def bench_names(runs: Sequence[Run]) -> dict[str, str]:
    """run id -> the NIC's name, followed by what tells apart runs of that name that are not measured alike.

    That is their place in a sweep, or the fewest short facts in which they differ, or the run's id.
    """
    names: dict[str, str] = {}
    for name in dict.fromkeys(run.nic.name for run in runs):
        mine = [run for run in runs if run.nic.name == name]
        facts = {run.run_id: _circumstances(run) for run in mine}
        keys = dict.fromkeys(key for found in facts.values() for key in found)
        differ = [key for key in keys if len({found.get(key, "") for found in facts.values()}) > 1]
        places: dict[str, list[dict[str, str]]] = {}
        for run in mine:
            places.setdefault(_place(run), []).append(facts[run.run_id])
        telling = _telling(list(facts.values()), differ)
        for run in mine:
            told = ", ".join(f"{key} {facts[run.run_id].get(key, '')}" for key in telling)
            if not differ:
                names[run.run_id] = name
            elif run.sweep and all(found == facts[run.run_id] for found in places[_place(run)]):
                names[run.run_id] = _place(run)
            else:
                names[run.run_id] = f"{name} ({told or run.run_id})"
    return names


def _telling(facts: Sequence[dict[str, str]], differ: Sequence[str]) -> tuple[str, ...]:
    """The fewest facts, at most two, that tell apart all that differ; nothing where only long ones do."""
    short = [key for key in differ if all(0 < len(found.get(key, "")) <= _LONGEST_FACT for found in facts)]
    unlike = len({tuple(sorted(found.items())) for found in facts})
    for count in (1, 2):
        for keys in itertools.combinations(short, count):
            if len({tuple(found[key] for key in keys) for found in facts}) == unlike:
                return keys
    return ()


def _place(run: Run) -> str:
    """`eth1, MTU 9000`: the NIC, and the run's place in its sweep."""
    return in_words({"nic": run.nic.name} | run.sweep)


@dataclass(frozen=True)
class Profiled:
    """What the samples of the usable trials say: tables by name, and call stacks."""

    tables: dict[str, pd.DataFrame]
    forest: Forest


def profiled(runs: Sequence[Run], profile: Profile) -> Profiled:
    """Attribute every sample of the runs; each run counts once."""
    forest = Forest()
    return Profiled(module_tables.build(_usable(unique_runs(runs)), profile, _PROFILED, forest.add), forest)


def _usable(runs: Sequence[Run]) -> list[Run]:
    """The runs with their usable trials only."""
    return [
        msgspec.structs.replace(run, trials=[trial for trial in run.trials if observe(run, trial) is not None])
        for run in runs
    ]


def gather(runs: Sequence[Run], profile: Profile, sampled: Callable[[], Profiled] | None = None) -> Results:
    """Every table of the runs; each run counts once.

    Args:
        sampled: gives what `profiled` does, where that is done already or elsewhere.
    """
    runs = unique_runs(runs)
    benches = bench_names(runs)
    order = {case.definition.name: case.definition.order for run in runs for case in run.plan.cases}
    for run in runs:
        for trial in run.trials:
            order.setdefault(trial.case, len(order) + 1000)

    def named(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(nic=table["run"].map(benches))

    good = _usable(runs)
    trials, samples = named(tables.trials(runs)), named(tables.samples(good))
    features, proofs = named(tables.features(runs)), named(tables.proofs(runs))
    usable = [observe(run, trial) is not None for run in runs for trial in run.trials]
    cases = sorted(order, key=lambda name: order[name])
    found = sampled() if sampled else profiled(runs, profile)
    return Results(
        runs=runs,
        trials=trials.assign(usable=pd.Series(usable, index=trials.index, dtype=bool)),
        samples=samples,
        **{name: named(table) for name, table in found.tables.items()},
        flames=found.forest.flames(runs, cases),
        features=features,
        quality=quality.quality(runs, found.tables["modules"]),
        proofs=proofs,
        cases=cases,
        benches=benches,
    )


def primary_event(modules: pd.DataFrame) -> str:
    """The event to draw: instructions before cycles before CPU time; "" without any."""
    pairs = modules[["event", "quantity"]].drop_duplicates()
    return first_event(zip(pairs["event"], pairs["quantity"], strict=True))


def first_event(pairs: Iterable[tuple[str, str]]) -> str:
    """The same, of pairs of an event and its quantity."""
    place = {quantity: number for number, quantity in enumerate(QUANTITIES)}
    return min(pairs, key=lambda pair: place.get(pair[1], len(place)), default=("", ""))[0]


def case_means(table: pd.DataFrame, by: list[str], figures: list[str]) -> pd.DataFrame:
    """Means over the trials of each case, for the primary event of each nic.

    Args:
        table: one of the tables of a profile in `Results`.
        by: what tells its rows apart within a trial and event.
        figures: what to average. Where a trial has no such row it counts as zero; NaN in any trial gives NaN.

    Returns:
        Columns: nic, workload, case, event, quantity, those of `by`, the figures.
    """
    case = ["nic", "workload", "case"]
    keys = [*case, "event", "quantity", *by]
    parts = []
    for _, rows in table.groupby("nic", sort=False):
        chosen = rows[rows["event"] == primary_event(rows)]
        trials = chosen.drop_duplicates([*case, "run", "repeat"]).groupby(case).size().rename("trials")
        known = chosen[figures].notna().groupby([chosen[name] for name in case]).all().add_suffix(" known")
        sums = chosen.groupby(keys, as_index=False)[figures].sum().join(trials, on=case).join(known, on=case)
        for name in figures:
            sums[name] = (sums[name] / sums["trials"]).where(sums[f"{name} known"])
        parts.append(sums[[*keys, *figures]])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*keys, *figures])


def instructions_per_cycle(modules: pd.DataFrame) -> pd.Series:
    """Of each module over all trials of a case, indexed by nic, workload, case, module; empty unless both counted."""
    keys = ["nic", "workload", "case", "module"]
    sums = modules.pivot_table(index=keys, columns="quantity", values="value", aggfunc="sum")
    if not {"instructions", "cycles"} <= set(sums.columns):
        return pd.Series(dtype=float)
    ratio = sums["instructions"] / sums["cycles"].where(sums["cycles"] > 0)
    return ratio.dropna()
