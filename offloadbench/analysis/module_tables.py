"""Tidy tables from the profiles of runs: modules, how they were found, their course, processes, CPUs, call stacks.

Shares are of busy weight (without idle) per trial and event, and sum to one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from offloadbench.analysis import contamination, metrics
from offloadbench.analysis.attribution import IDLE, METHODS, USER, attribute, verdicts_for
from offloadbench.model import Profile, Run, Trial
from offloadbench.runfile import unpack_chains

_Z95 = 1.959964
_TRIAL = ["run", "workload", "case", "repeat"]
_EVENT = ["event", "quantity"]
# what to compare, from the best to the one that is always there
QUANTITIES = ("instructions", "cycles", "kernel_cpu_time_ns")


def attributed(run: Run, trial: Trial, profile: Profile) -> pd.DataFrame:
    """The trial's samples with their leaves, see `attribution.attribute`; only for a trial with a profile."""
    assert trial.profile is not None
    return attribute(trial.profile, verdicts_for(run.kallsyms, profile))


def wilson_interval(share: float, samples_total: float) -> tuple[float, float]:
    """95 % interval of a share of `samples_total` samples (Wilson 1927)."""
    if samples_total <= 0 or math.isnan(share):
        return math.nan, math.nan
    centre = share + _Z95**2 / (2 * samples_total)
    spread = _Z95 * math.sqrt(share * (1 - share) / samples_total + _Z95**2 / (4 * samples_total**2))
    scale = 1 + _Z95**2 / samples_total
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def _each_trial(runs: Sequence[Run], columns: list[str], rows_of: Callable[[Run, Trial], pd.DataFrame]) -> pd.DataFrame:
    """The rows of every trial with a profile, under the trial's names."""
    parts = [
        rows_of(run, trial).assign(run=run.run_id, workload=trial.workload, case=trial.case, repeat=trial.repeat)
        for run in runs
        for trial in run.trials
        if trial.profile
    ]
    columns = [*_TRIAL, *columns]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _summed(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """value (sum of weights) and samples by these columns, in alphabetical order."""
    groups = rows.groupby(by, sort=True, observed=True)
    table = groups.agg(value=("weight", "sum"), samples=("samples", "sum")).reset_index()
    return table.astype({name: str for name in by if isinstance(table[name].dtype, pd.CategoricalDtype)})


def _busy_totals(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Busy weight and samples by these columns: what shares are of."""
    return rows[rows["leaf"] != IDLE].groupby(by, observed=True)[["weight", "samples"]].sum()


def modules(runs: Sequence[Run], profile: Profile) -> pd.DataFrame:
    """One row per module and event of every trial.

    Columns: run, workload, case, repeat, module (the leaf, or the profile's group of it), floor, ko, event, quantity,
    value (sum of weights, in the quantity's unit), value_per_byte (of payload), share_ratio (NaN for idle),
    share_low_ratio, share_high_ratio (95 %, Wilson, from the number of busy samples), samples, method (that resolved
    most of the weight), instructions_per_cycle (NaN unless both were counted), caller_value (the same sum with copies,
    checksums and locks charged to the module that called them; NaN without call chains).
    """
    columns = ["module", "floor", "ko", *_EVENT, "value", "value_per_byte", "share_ratio", "share_low_ratio"]
    columns += ["share_high_ratio", "samples", "method", "instructions_per_cycle", "caller_value"]
    return _each_trial(runs, columns, lambda run, trial: _module_rows(run, trial, profile))


def by_module(rows: pd.DataFrame) -> pd.DataFrame:
    """Attributed samples summed by module and event.

    Columns: event, quantity, module, floor, value, samples, method, ko, share_ratio, share_low_ratio, share_high_ratio,
    instructions_per_cycle; see `modules`.
    """
    by = [*_EVENT, "module", "floor"]
    table = _summed(rows, by)
    heaviest = _summed(rows, [*by, "method"]).sort_values("value", kind="stable").drop_duplicates(by, keep="last")
    table = table.merge(heaviest[[*by, "method"]], on=by)
    named = rows[rows["ko"] != ""].astype({"ko": str}).groupby(by, observed=True)["ko"]
    names = named.agg(lambda found: " ".join(sorted(set(found)))).reset_index()
    table = table.merge(names, on=by, how="left").fillna({"ko": ""})
    totals = _busy_totals(rows, ["event"])
    share = (table["value"] / table["event"].map(totals["weight"])).where(table["module"] != IDLE)
    counted = table["event"].map(totals["samples"])
    bounds = [wilson_interval(s, n) for s, n in zip(share, counted, strict=True)]
    return table.assign(
        share_ratio=share,
        share_low_ratio=[low for low, _ in bounds],
        share_high_ratio=[high for _, high in bounds],
        instructions_per_cycle=_instructions_per_cycle(table),
    )


def _module_rows(run: Run, trial: Trial, profile: Profile) -> pd.DataFrame:
    rows = attributed(run, trial, profile)
    table = by_module(rows)
    payload = metrics.payload_bytes(trial)
    return table.assign(
        value_per_byte=table["value"] / payload if payload else math.nan,
        caller_value=_caller_values(table, rows, profile),
    )


def _instructions_per_cycle(table: pd.DataFrame) -> pd.Series:
    """Of each row's module; both events were sampled over the same window, each weighted by its own period."""
    sums = table.pivot_table(index="module", columns="quantity", values="value", aggfunc="sum")
    if not {"instructions", "cycles"} <= set(sums.columns):
        return pd.Series(math.nan, index=table.index)
    return table["module"].map(sums["instructions"] / sums["cycles"])


def _caller_values(table: pd.DataFrame, rows: pd.DataFrame, profile: Profile) -> pd.Series:
    if (rows["chain"] < 0).all():
        return pd.Series(math.nan, index=table.index)
    groups = {leaf: group for group, leaves in profile.groups.items() for leaf in leaves}
    callers = rows["caller"].astype(str).map(lambda leaf: groups.get(leaf, leaf))
    sums = rows.groupby(["event", callers.rename("module")], observed=True)["weight"].sum()
    keys = pd.MultiIndex.from_frame(table[["event", "module"]])
    return pd.Series(sums.reindex(keys).fillna(0).to_numpy(), index=table.index)


def primary_event(modules: pd.DataFrame) -> str:
    """The event to draw: instructions before cycles before CPU time; "" without any."""
    for quantity in QUANTITIES:
        found = modules.loc[modules["quantity"] == quantity, "event"]
        if len(found):
            return str(found.iloc[0])
    return str(modules["event"].iloc[0]) if len(modules) else ""


def by_method(rows: pd.DataFrame) -> pd.DataFrame:
    """Attributed samples summed by method and event: event, quantity, method, value, samples, share_ratio."""
    table = _summed(rows, [*_EVENT, "method"])
    weight = table["event"].map(_busy_totals(rows, ["event"])["weight"])
    table["share_ratio"] = (table["value"] / weight).where(table["method"] != IDLE)
    return table.sort_values("method", key=lambda names: names.map(METHODS.index), kind="stable")


def methods(runs: Sequence[Run], profile: Profile) -> pd.DataFrame:
    """How the samples found their modules: one row per method and event of every trial.

    Columns: run, workload, case, repeat, event, quantity, method, value, share_ratio (of busy weight; NaN for idle),
    samples.
    """
    columns = [*_EVENT, "method", "value", "share_ratio", "samples"]
    return _each_trial(runs, columns, lambda run, trial: by_method(attributed(run, trial, profile)))


def seconds(runs: Sequence[Run], profile: Profile) -> pd.DataFrame:
    """The course of every module: one row per second of the window, module and event of every trial, busy weight only.

    Columns: run, workload, case, repeat, second (0 is the first), event, quantity, module, value, share_ratio (of that
    second), samples.
    """

    def rows_of(run: Run, trial: Trial) -> pd.DataFrame:
        rows = attributed(run, trial, profile)
        table = _summed(rows[rows["leaf"] != IDLE], [*_EVENT, "second", "module"])
        table["share_ratio"] = table["value"] / table.groupby(["event", "second"])["value"].transform("sum")
        return table

    return _each_trial(runs, ["second", *_EVENT, "module", "value", "share_ratio", "samples"], rows_of)


def processes(runs: Sequence[Run], profile: Profile) -> pd.DataFrame:
    """Whose work it was: one row per process name and event of every trial, busy weight only.

    Columns: run, workload, case, repeat, process, own (part of the benchmark or of the kernel), event, quantity, value,
    share_ratio, user_ratio (share of its own weight that is user mode), samples.
    """

    def rows_of(run: Run, trial: Trial) -> pd.DataFrame:
        rows = attributed(run, trial, profile).rename(columns={"comm": "process"})
        busy = rows[rows["leaf"] != IDLE]
        by = [*_EVENT, "process"]
        table = _summed(busy, by)
        user = busy["weight"].where(busy["leaf"] == USER, 0).groupby([busy[name] for name in by], observed=True).sum()
        table["user_ratio"] = user.reindex(pd.MultiIndex.from_frame(table[by])).to_numpy() / table["value"]
        table["share_ratio"] = table["value"] / table.groupby("event")["value"].transform("sum")
        table["own"] = [contamination.is_own(name) for name in table["process"]]
        return table.sort_values(["event", "value"], ascending=[True, False], kind="stable")

    columns = ["process", "own", *_EVENT, "value", "share_ratio", "user_ratio", "samples"]
    return _each_trial(runs, columns, rows_of)


def cpus(runs: Sequence[Run], profile: Profile) -> pd.DataFrame:
    """One row per measured CPU, module and event of every trial, busy weight only.

    Columns: run, workload, case, repeat, cpu, event, quantity, module, value, share_ratio (of that CPU), samples.
    """

    def rows_of(run: Run, trial: Trial) -> pd.DataFrame:
        rows = attributed(run, trial, profile)
        table = _summed(rows[rows["leaf"] != IDLE], [*_EVENT, "cpu", "module"])
        table["share_ratio"] = table["value"] / table.groupby(["event", "cpu"])["value"].transform("sum")
        return table

    return _each_trial(runs, ["cpu", *_EVENT, "module", "value", "share_ratio", "samples"], rows_of)


def stacks(runs: Sequence[Run], profile: Profile) -> pd.DataFrame:
    """Folded call stacks, busy weight only: one row per stack and event of every trial that recorded call chains.

    Columns: run, workload, case, repeat, event, quantity, stack (process, then functions from the outermost to the
    sampled one, joined by `;`: the format of flame graph tools), module (of the sampled function), value, samples.
    """

    def rows_of(run: Run, trial: Trial) -> pd.DataFrame:
        assert trial.profile is not None
        rows = attributed(run, trial, profile)
        rows = rows[(rows["leaf"] != IDLE) & bool(trial.profile.chain_count)]
        table = verdicts_for(run.kallsyms, profile).symbols
        named = [
            [table.raw_names[at] if at >= 0 else "?" for at in table.lookup(chain)[::-1]]
            for chain in unpack_chains(trial.profile)
        ]
        folded = [
            ";".join([comm, *(named[chain] if chain >= 0 else []), symbol or USER])
            for comm, chain, symbol in zip(
                rows["comm"].astype(str).tolist(),
                rows["chain"].tolist(),
                rows["symbol"].astype(str).tolist(),
                strict=True,
            )
        ]
        return _summed(rows.assign(stack=np.array(folded, dtype=object)), [*_EVENT, "stack", "module"])

    return _each_trial(runs, [*_EVENT, "stack", "module", "value", "samples"], rows_of)
