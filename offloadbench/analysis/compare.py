"""Two runs side by side: what changed, by how much, how sure.

The trial is the unit, not the second. With at least `ENOUGH` trials a side the ratio of the geometric means has a
95 % interval (Welch's t on logarithms, scipy.stats.ttest_ind); with fewer there is a ratio and no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import pandas as pd
from scipy import stats

from offloadbench.analysis import module_tables, tables
from offloadbench.errors import RunFileError
from offloadbench.model import Profile, Run

ENOUGH = 3
METRICS = ("throughput_bits_per_s", "cpu_busy_ratio", "cpu_s_per_gb")
CHANGED, UNDECIDED, TOO_FEW = "changed", "~", "too few"


@dataclass(frozen=True, slots=True)
class Effect:
    """One metric of one case.

    Attributes:
        ratio: B over A; low, high: its 95 % interval, NaN with too few trials.
        verdict: `changed` (the interval excludes 1), `~` (it does not), `too few` (trials).
    """

    workload: str
    case: str
    metric: str
    a: float
    b: float
    trials_a: int
    trials_b: int
    ratio: float
    low: float
    high: float
    verdict: str


@dataclass(frozen=True, slots=True)
class ModuleChange:
    """A module's cost per byte of payload, in A and in B; in the event's unit."""

    workload: str
    case: str
    module: str
    quantity: str
    a_per_byte: float
    b_per_byte: float


@dataclass(frozen=True, slots=True)
class Comparison:
    differences: list[str]
    effects: list[Effect]
    modules: list[ModuleChange]


def obstacles(a: Run, b: Run) -> list[str]:
    """Why the two runs do not answer the same question; empty when they do."""
    found = []
    if (a.nic.name, a.nic.driver) != (b.nic.name, b.nic.driver):
        found.append(f"other NIC: {a.nic.name} ({a.nic.driver}) and {b.nic.name} ({b.nic.driver})")
    link_a, link_b = ((run.bed.kind, run.bed.line_rate_bits_per_s, run.bed.rtt_s) for run in (a, b))
    if link_a != link_b:
        found.append(f"other link: {link_a} and {link_b}")
    definitions = [{w.name: msgspec.to_builtins(w.parameters) for w in run.plan.workloads} for run in (a, b)]
    for name in sorted(definitions[0].keys() & definitions[1].keys()):
        keys = [k for k, v in definitions[0][name].items() if definitions[1][name].get(k) != v]
        if keys:
            found.append(f"workload {name} has other parameters: {', '.join(keys)}")
    if not definitions[0].keys() & definitions[1].keys():
        found.append("no workload in common")
    if not {t.case for t in a.trials} & {t.case for t in b.trials}:
        found.append("no case in common")
    if a.plan.duration_s != b.plan.duration_s:
        found.append(f"other window: {a.plan.duration_s} s and {b.plan.duration_s} s")
    return found


def metadata_differences(a: Run, b: Run) -> list[str]:
    """What else differs between the machines, kernels and settings, as sentences."""
    pairs = {
        "kernel": (a.host.kernel, b.host.kernel),
        "kernel command line": (a.host.command_line, b.host.command_line),
        "CPU": (a.host.cpu_model, b.host.cpu_model),
        "driver version": (a.nic.driver_version, b.nic.driver_version),
        "firmware": (a.nic.firmware, b.nic.firmware),
        "governor": (a.host.governor, b.host.governor),
        "MTU": (a.nic.mtu_bytes, b.nic.mtu_bytes),
        "qdisc": (a.nic.qdisc, b.nic.qdisc),
        "warm-up": (a.plan.warmup_s, b.plan.warmup_s),
        "offloadbench": (a.tool_version, b.tool_version),
        "idle clock": (a.host.idle_source, b.host.idle_source),
        "CPUs under test": (a.bed.dut_cpus, b.bed.dut_cpus),
    }
    found = [f"{name}: {x!s} -> {y!s}" for name, (x, y) in pairs.items() if x != y]
    for title, left, right in (
        ("sysctl", a.host.sysctls, b.host.sysctls),
        ("mitigation", a.host.mitigations, b.host.mitigations),
        ("NIC setting", a.nic.settings, b.nic.settings),
    ):
        keys = sorted(left.keys() | right.keys())
        found += [f"{title} {k}: {left.get(k)} -> {right.get(k)}" for k in keys if left.get(k) != right.get(k)]
    return found


def ratio_interval(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """Ratio of geometric means b/a and its 95 % interval; the interval is NaN with fewer than ENOUGH trials a side."""
    x, y = np.log(np.asarray(a, dtype=float)), np.log(np.asarray(b, dtype=float))
    ratio = math.exp(y.mean() - x.mean())
    if min(len(x), len(y)) < ENOUGH:
        return ratio, math.nan, math.nan
    if x.std() == 0 and y.std() == 0:
        return ratio, ratio, ratio
    interval = stats.ttest_ind(y, x, equal_var=False).confidence_interval(0.95)
    return ratio, math.exp(interval.low), math.exp(interval.high)


def _effect(workload: str, case: str, metric: str, a: list[float], b: list[float]) -> Effect:
    usable = bool(a and b) and all(value > 0 for value in [*a, *b])
    ratio, low, high = ratio_interval(a, b) if usable else (math.nan, math.nan, math.nan)
    decided = CHANGED if low > 1 or high < 1 else UNDECIDED
    verdict = TOO_FEW if math.isnan(low) else decided
    mean_a, mean_b = (float(np.mean(v)) if v else math.nan for v in (a, b))
    return Effect(workload, case, metric, mean_a, mean_b, len(a), len(b), ratio, low, high, verdict)


def compare(a: Run, b: Run, profile: Profile, *, force: bool = False) -> Comparison:
    """Every metric of every case that both runs have, and the module changes, largest first.

    Raises:
        RunFileError: the runs do not answer the same question, and `force` is not set.
    """
    hindrances = obstacles(a, b)
    if hindrances and not force:
        raise RunFileError(f"these runs cannot be compared: {'; '.join(hindrances)}", "run both alike, or add --force")
    trials_a, trials_b = (tables.trials([run]).query("outcome == 'ok'") for run in (a, b))
    ladder = {case.definition.name: case.definition.order for case in a.plan.cases}
    keys = sorted({(t.workload, t.case) for t in a.trials}, key=lambda key: (key[0], ladder[key[1]]))
    both = [key for key in keys if all(_values(side, *key, METRICS[0]) for side in (trials_a, trials_b))]
    lacking = [
        f"{workload} {case}: not in both with an ok trial"
        for workload, case in _all_keys(a, b)
        if (workload, case) not in both
    ]
    effects = [
        _effect(
            workload,
            case,
            metric,
            _values(trials_a, workload, case, metric),
            _values(trials_b, workload, case, metric),
        )
        for workload, case in both
        for metric in METRICS
    ]
    return Comparison(
        [*hindrances, *lacking, *metadata_differences(a, b)], effects, _module_changes(a, b, profile, both)
    )


def _all_keys(a: Run, b: Run) -> list[tuple[str, str]]:
    return sorted({(trial.workload, trial.case) for run in (a, b) for trial in run.trials})


def _values(trials: pd.DataFrame, workload: str, case: str, metric: str) -> list[float]:
    chosen = trials[(trials["workload"] == workload) & (trials["case"] == case)][metric].dropna()
    return [float(value) for value in chosen]


def _module_changes(a: Run, b: Run, profile: Profile, both: Sequence[tuple[str, ...]]) -> list[ModuleChange]:
    keys = ["workload", "case", "module", "quantity"]
    sides = [
        module_tables.modules([run], profile).query("module != 'idle'").groupby(keys)["value_per_byte"].mean()
        for run in (a, b)
    ]
    joined = pd.concat(sides, axis=1, keys=["a", "b"]).fillna(0.0).reset_index()
    changes = [
        ModuleChange(row["workload"], row["case"], row["module"], row["quantity"], row["a"], row["b"])
        for row in joined.to_dict("records")
        if (row["workload"], row["case"]) in both
    ]
    return sorted(changes, key=lambda change: -abs(change.b_per_byte - change.a_per_byte))
