"""The tables of several runs put side by side under one name a bench, and what of them may be compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import pandas as pd

from offloadbench.analysis import metrics, module_tables, proof, tables
from offloadbench.model import Profile, Run, Trial

PROOF_COLUMNS = ["run", "workload", "case", "repeat", "subject", "verdict", "detail"]


@dataclass(frozen=True)
class Results:
    """Tidy tables that share the columns nic (the bench's name), workload, case, repeat.

    Attributes:
        trials: `tables.trials` and usable: ok, with figures, and not contradicted by its own packets.
        samples, modules: of usable trials only.
        proofs: one row per subject of every trial: subject, verdict, detail.
        cases: names in ladder order.
        benches: run id -> name of the bench: the NIC, told apart when runs of one name are not comparable.
    """

    runs: list[Run]
    trials: pd.DataFrame
    samples: pd.DataFrame
    modules: pd.DataFrame
    features: pd.DataFrame
    proofs: pd.DataFrame
    cases: list[str]
    benches: dict[str, str]

    def run_of(self, nic: str) -> Run:
        """The first run of a bench."""
        return next(run for run in self.runs if self.benches[run.run_id] == nic)


def unique_runs(runs: Sequence[Run]) -> list[Run]:
    """Each run once: of two states of the same run, the one with more trials."""
    found: dict[str, Run] = {}
    for run in runs:
        known = found.get(run.run_id)
        if known is None or len(run.trials) > len(known.trials):
            found[run.run_id] = run
    return list(found.values())


def _circumstances(run: Run) -> tuple[object, ...]:
    """What must agree before trials of two runs may be pooled."""
    return (
        run.nic.driver,
        run.nic.speed_bits_per_s,
        run.host.kernel,
        run.host.cpu_model,
        run.bed.kind,
        run.bed.line_rate_bits_per_s,
        run.bed.rtt_s,
        run.bed.loss_ratio,
        run.bed.queue_bytes,
        repr(run.bed.settings.get("sysctls")),
        tuple(run.bed.dut_cpus),
        run.plan.duration_s,
        repr([(workload.name, workload.parameters) for workload in run.plan.workloads]),
    )


def bench_names(runs: Sequence[Run]) -> dict[str, str]:
    """run id -> the NIC's name, followed by the run's id where another run of that name is not comparable."""
    by_name: dict[str, set[tuple[object, ...]]] = {}
    for run in runs:
        by_name.setdefault(run.nic.name, set()).add(_circumstances(run))
    return {
        run.run_id: run.nic.name if len(by_name[run.nic.name]) == 1 else f"{run.nic.name} ({run.run_id})"
        for run in runs
    }


def _proofs(runs: Sequence[Run]) -> pd.DataFrame:
    rows = [
        (run.run_id, trial.workload, trial.case, trial.repeat, item.subject, item.verdict, item.detail)
        for run in runs
        for trial in run.trials
        for item in proof.judge(trial, counts_super_packets=run.bed.counts_super_packets)
    ]
    return pd.DataFrame(rows, columns=PROOF_COLUMNS)


def _usable(run: Run, trial: Trial) -> bool:
    """Ended well, with figures, and its packets do not show another state than its case."""
    figures = metrics.of_trial(run, trial) if trial.outcome == "ok" else None
    if figures is None or math.isnan(figures.cpu_s_per_gb):
        return False
    proofs = proof.judge(trial, counts_super_packets=run.bed.counts_super_packets)
    return all(item.verdict != proof.CONTRADICTED for item in proofs)


def gather(runs: Sequence[Run], profile: Profile) -> Results:
    """Every table of the runs; each run counts once."""
    runs = unique_runs(runs)
    benches = bench_names(runs)
    order = {case.definition.name: case.definition.order for run in runs for case in run.plan.cases}
    for run in runs:
        for trial in run.trials:
            order.setdefault(trial.case, len(order) + 1000)

    def named(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(nic=table["run"].map(benches))

    usable = [_usable(run, trial) for run in runs for trial in run.trials]
    trials = named(tables.trials(runs))
    good = [msgspec.structs.replace(run, trials=[trial for trial in run.trials if _usable(run, trial)]) for run in runs]
    return Results(
        runs=runs,
        trials=trials.assign(usable=pd.Series(usable, index=trials.index, dtype=bool)),
        samples=named(tables.samples(good)),
        modules=named(module_tables.modules(good, profile)),
        features=named(tables.features(runs)),
        proofs=named(_proofs(runs)),
        cases=sorted(order, key=lambda name: order[name]),
        benches=benches,
    )


def primary_event(modules: pd.DataFrame) -> str:
    """The event to draw: instructions before cycles before CPU time; "" without any."""
    for quantity in ("instructions", "cycles", "kernel_cpu_time_ns"):
        found = modules.loc[modules["quantity"] == quantity, "event"]
        if len(found):
            return str(found.iloc[0])
    return str(modules["event"].iloc[0]) if len(modules) else ""


def busy_modules(modules: pd.DataFrame) -> pd.DataFrame:
    """Mean value_per_byte and share_ratio of each module over the trials of a case, for the primary event of each nic.

    Returns:
        Columns: nic, workload, case, module, floor, event, quantity, value_per_byte, share_ratio, samples. A module
        that a trial never sampled counts as zero there.
    """
    by = ["nic", "workload", "case", "module", "floor", "event", "quantity"]
    figures = ["value_per_byte", "share_ratio", "samples"]
    parts = []
    for _, rows in modules[modules["share_ratio"].notna()].groupby("nic", sort=False):
        chosen = rows[rows["event"] == primary_event(rows)]
        counted = chosen.drop_duplicates(["run", "repeat", *by[:3]]).groupby(by[:3], as_index=False).size()
        total = chosen.groupby(by, as_index=False)[figures].sum().merge(counted, on=by[:3])
        for name in ("value_per_byte", "share_ratio"):
            total[name] = total[name] / total["size"]
        parts.append(total.drop(columns="size"))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*by, *figures])
