"""Tidy tables from the profiles of runs: modules, how they were found, their course, processes, CPUs, call stacks.

Shares are of busy weight (without idle and wake-up latency) per trial and event, and sum to one. `build` gives several
tables from one pass over the samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence

import numpy as np
import pandas as pd

from offloadbench.analysis.profile.attributed_samples import Attributed, TrialBatch, batches, is_busy, summed
from offloadbench.analysis.profile.attribution import AT_REST, METHODS, OTHER, SHADOW, USER
from offloadbench.analysis.trial import metrics
from offloadbench.model import Profile, Run

_Z95 = 1.959964
_TRIAL = ["run", "workload", "case", "repeat"]
_EVENT = ["event", "quantity"]
# what tells apart the wholes that shares are of
_WHOLE = ["trial", *_EVENT]
CALLER = "caller"
"""The method of a clock sample of the irq-off skid that its call chain put into a module."""


def wilson_interval(share: float, samples_total: float) -> tuple[float, float]:
    """95 % interval of a share of `samples_total` samples (Wilson 1927)."""
    if samples_total <= 0 or math.isnan(share):
        return math.nan, math.nan
    centre = share + _Z95**2 / (2 * samples_total)
    spread = _Z95 * math.sqrt(share * (1 - share) / samples_total + _Z95**2 / (4 * samples_total**2))
    scale = 1 + _Z95**2 / samples_total
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def build(
    runs: Sequence[Run],
    profile: Profile,
    names: Collection[str],
    also: Callable[[Attributed], None] | None = None,
) -> dict[str, pd.DataFrame]:
    """Several tables, each named like the function that gives it alone; every sample is attributed once.

    Args:
        also: called with each trial that has a profile, for what is not a table.
    """
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in names}
    for run in runs:
        for batch in batches(run, profile):
            for name, found in parts.items():
                rows = _TABLES[name][0](batch)
                for key in _TRIAL[1:]:
                    named = pd.Series([getattr(trial, key) for trial in batch.trials])
                    rows[key] = named.take(rows["trial"].to_numpy()).array
                found.append(rows.assign(run=run.run_id))
            if also is not None:
                for item in batch.items:
                    also(item)
    return {name: _joined(found, [*_TRIAL, *_TABLES[name][1]]) for name, found in parts.items()}


def _joined(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def modules(runs: Sequence[Run], profile: Profile) -> pd.DataFrame:
    """One row per module and event of every trial.

    Columns: run, workload, case, repeat, module (the leaf, or the profile's group or share of it), floor, ko, event,
    quantity, value (sum of weights, in the quantity's unit), value_per_byte (of payload), share_ratio (NaN for idle and
    wakeup_latency), share_low_ratio, share_high_ratio (95 %, Wilson, from the number of busy samples), samples, method
    (that resolved most of the weight; "" for a module that was a caller only), instructions_per_cycle (NaN unless both
    were counted), caller_value, caller_value_per_byte (the same sums with copies, checksums and locks charged to the
    module that called them; NaN without call chains).
    """
    return build(runs, profile, ["modules"])["modules"]


def _module_rows(batch: TrialBatch) -> pd.DataFrame:
    chained = np.bincount(batch.rows["trial"], batch.rows["chain"] >= 0, minlength=len(batch.trials)) > 0
    table = by_module(batch.rows, _caller_sums(batch) if chained.any() else None)
    table["caller_value"] = table["caller_value"].where(chained[table["trial"]])
    payload = np.array([metrics.payload_bytes(trial) or math.nan for trial in batch.trials])[table["trial"]]
    return table.assign(value_per_byte=table["value"] / payload, caller_value_per_byte=table["caller_value"] / payload)


def by_module(rows: pd.DataFrame, callers: pd.DataFrame | None = None) -> pd.DataFrame:
    """Attributed samples summed by trial, module and event, as in `modules` but for what is per byte.

    Args:
        rows: see `attribution.attribute`.
        callers: the same sums with generic work charged to the module that called for it.
    """
    by = [*_WHOLE, "module", "floor"]
    table, found_by = summed(rows, by), summed(rows, [*by, "method"])
    heaviest = found_by.sort_values("value", kind="stable").drop_duplicates(by, keep="last")
    # both are in the order of `by`
    table["method"] = heaviest.sort_index()["method"].to_numpy()
    if callers is not None:
        renamed = callers.rename(columns={"value": "caller_value"})[[*by, "caller_value"]]
        table = table.merge(renamed, on=by, how="outer", sort=True).fillna(
            {"value": 0, "samples": 0, "caller_value": 0, "method": ""}
        )
        table = table.astype({"value": np.int64, "samples": np.int64, "caller_value": np.int64})
    else:
        table["caller_value"] = math.nan
    named = summed(rows, [*by, "ko"], (rows["ko"] != "").to_numpy())
    if named.empty:
        table["ko"] = ""
    else:
        table = table.merge(named.groupby(by)["ko"].agg(" ".join).reset_index(), on=by, how="left").fillna({"ko": ""})
    totals = table[_WHOLE].merge(summed(rows, _WHOLE, is_busy(rows)), on=_WHOLE, how="left")
    share = (table["value"] / totals["value"]).where(~table["module"].isin(AT_REST))
    counted = totals["samples"].fillna(0)
    bounds = [wilson_interval(s, n) for s, n in zip(share, counted, strict=True)]
    return table.assign(
        share_ratio=share,
        share_low_ratio=[low for low, _ in bounds],
        share_high_ratio=[high for _, high in bounds],
        instructions_per_cycle=_instructions_per_cycle(table),
    )


def _instructions_per_cycle(table: pd.DataFrame) -> pd.Series:
    """Of each row's module; both events were sampled over the same window, each weighted by its own period."""
    if not {"instructions", "cycles"} <= set(table["quantity"]):
        return pd.Series(math.nan, index=table.index)
    by = ["trial", "module"]
    sums = table.pivot_table(index=by, columns="quantity", values="value", aggfunc="sum")
    ratio = (sums["instructions"] / sums["cycles"].where(sums["cycles"] > 0)).rename("ratio")
    return table[by].join(ratio, on=by)["ratio"]


def _caller_sums(batch: TrialBatch) -> pd.DataFrame:
    """The sums by module, generic work charged to the module that called it."""
    floors = batch.verdicts.rules.floors
    callers = batch.rows["caller"]
    names = [floors.get(leaf, OTHER) for leaf in callers.cat.categories]
    levels = sorted(set(names))
    place = np.array([levels.index(name) for name in names], dtype=np.int64)
    floor = pd.Categorical.from_codes(place[callers.cat.codes], categories=pd.Index(levels, dtype=str))
    moved = batch.rows.assign(module=batch.rows["caller_module"], floor=floor)
    return summed(moved, [*_WHOLE, "module", "floor"])


def methods(runs: Sequence[Run], profile: Profile) -> pd.DataFrame:
    """How the samples found their modules: one row per method and event of every trial.

    Columns: run, workload, case, repeat, event, quantity, method (`attribution.METHODS`; `caller` where a call
    chain put a sample of irq_shadow into a module), value, share_ratio (of busy weight; NaN for idle and
    wakeup_latency), samples.
    """
    return build(runs, profile, ["methods"])["methods"]


def by_method(rows: pd.DataFrame) -> pd.DataFrame:
    """Attributed samples summed by trial, method and event, as in `methods`."""
    table = summed(rows, [*_WHOLE, "method", "leaf"])
    leaf, method = table["leaf"].to_numpy(), table["method"].to_numpy()
    by_chain = (method == SHADOW) & (leaf != SHADOW)
    table["method"] = np.where(np.isin(leaf, AT_REST), leaf, np.where(by_chain, CALLER, method))
    table = table.groupby([*_WHOLE, "method"], as_index=False)[["value", "samples"]].sum()
    totals = table[_WHOLE].merge(summed(rows, _WHOLE, is_busy(rows)), on=_WHOLE, how="left")
    table["share_ratio"] = (table["value"] / totals["value"]).where(~table["method"].isin(AT_REST))
    place = table["method"].map([*METHODS, CALLER].index)
    return table.assign(place=place).sort_values(["trial", "place"], kind="stable").drop(columns="place")


def seconds(runs: Sequence[Run], profile: Profile) -> pd.DataFrame:
    """The course of every module: one row per second of the window, module and event of every trial, busy weight only.

    Columns: run, workload, case, repeat, second (0 is the first), event, quantity, module, value, share_ratio (of that
    second), samples.
    """
    return build(runs, profile, ["seconds"])["seconds"]


def _second_rows(batch: TrialBatch) -> pd.DataFrame:
    table = summed(batch.rows, ["trial", *_EVENT, "second", "module"], batch.busy)
    table["share_ratio"] = table["value"] / table.groupby(["trial", "event", "second"])["value"].transform("sum")
    return table


def processes(runs: Sequence[Run], profile: Profile) -> pd.DataFrame:
    """Whose work it was: one row per process name and event of every trial, busy weight only.

    Columns: run, workload, case, repeat, process, own (of the benchmark, or of the kernel for it), event, quantity,
    value, share_ratio, user_ratio (share of its own weight that is user mode), foreign_ratio (share of its own weight
    that is the work of others: not the benchmark's softirqs on top of it), samples.
    """
    return build(runs, profile, ["processes"])["processes"]


def _process_rows(batch: TrialBatch) -> pd.DataFrame:
    rows = batch.rows.rename(columns={"comm": "process"})
    by = ["trial", *_EVENT, "process", "own"]
    table = summed(rows, by, batch.busy)
    parts = {"user_ratio": rows["leaf"] == USER, "foreign_ratio": rows["foreign"]}
    for name, chosen in parts.items():
        part = summed(rows, by, batch.busy & chosen.to_numpy())
        table[name] = table[by].merge(part, on=by, how="left")["value"].fillna(0) / table["value"]
    table["share_ratio"] = table["value"] / table.groupby(["trial", "event"])["value"].transform("sum")
    return table.sort_values(["trial", "event", "value"], ascending=[True, True, False], kind="stable")


def cpus(runs: Sequence[Run], profile: Profile) -> pd.DataFrame:
    """One row per measured CPU, module and event of every trial, busy weight only.

    Columns: run, workload, case, repeat, cpu, event, quantity, module, value, share_ratio (of that CPU), samples.
    """
    return build(runs, profile, ["cpus"])["cpus"]


def _cpu_rows(batch: TrialBatch) -> pd.DataFrame:
    table = summed(batch.rows, ["trial", *_EVENT, "cpu", "module"], batch.busy)
    table["share_ratio"] = table["value"] / table.groupby(["trial", "event", "cpu"])["value"].transform("sum")
    return table


def stacks(runs: Sequence[Run], profile: Profile) -> pd.DataFrame:
    """Folded call stacks, busy weight only: one row per stack and event of every trial that recorded call chains.

    Columns: run, workload, case, repeat, event, quantity, stack (process, then functions from the outermost to the
    sampled one, joined by `;`: the format of flame graph tools), module (of the sampled function), value, samples.
    """
    return build(runs, profile, ["stacks"])["stacks"]


def _stack_rows(batch: TrialBatch) -> pd.DataFrame:
    return pd.concat(
        [_stacks_of(item).assign(trial=trial) for trial, item in enumerate(batch.items)], ignore_index=True
    )


def _stacks_of(item: Attributed) -> pd.DataFrame:
    names = item.verdicts.symbols.raw_names
    callers = [";".join(names[at] if at >= 0 else "?" for at in frames) for frames in item.frames]
    sums = item.stacks
    folded = [
        ";".join(part for part in (_frame(comm), callers[chain] if chain >= 0 else "", symbol) if part)
        for comm, chain, symbol in zip(sums["comm"], sums["chain"], sums["symbol"], strict=True)
    ]
    by = [*_EVENT, "stack", "module"]
    return sums.assign(stack=folded).groupby(by, as_index=False)[["value", "samples"]].sum()


def _frame(comm: str) -> str:
    """A process name as one frame of a folded stack: `;` parts frames, and a line is a stack."""
    return comm.translate({ord(";"): ":", ord("\n"): " ", ord("\r"): " "}) or "?"


_TABLES: dict[str, tuple[Callable[[TrialBatch], pd.DataFrame], list[str]]] = {
    "modules": (
        _module_rows,
        [
            "module", "floor", "ko", *_EVENT, "value", "value_per_byte", "share_ratio", "share_low_ratio",
            "share_high_ratio", "samples", "method", "instructions_per_cycle", "caller_value", "caller_value_per_byte",
        ],
    ),
    "methods": (lambda batch: by_method(batch.rows), [*_EVENT, "method", "value", "share_ratio", "samples"]),
    "seconds": (_second_rows, ["second", *_EVENT, "module", "value", "share_ratio", "samples"]),
    "processes": (
        _process_rows,
        ["process", "own", *_EVENT, "value", "share_ratio", "user_ratio", "foreign_ratio", "samples"],
    ),
    "cpus": (_cpu_rows, ["cpu", *_EVENT, "module", "value", "share_ratio", "samples"]),
    "stacks": (_stack_rows, [*_EVENT, "stack", "module", "value", "samples"]),
}  # fmt: skip
