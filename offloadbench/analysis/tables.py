"""Tidy tables of runs: trials, samples, modules, features. `export` prints them, reports draw from them.

The columns named in the README are a contract; more may follow, these stay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from functools import lru_cache

import pandas as pd

from offloadbench.analysis import metrics, proof
from offloadbench.analysis.attribution import IDLE, Rules, SymbolTable, attribute
from offloadbench.model import Profile, Run, Trial
from offloadbench.runfile import unpack_text

_SAMPLE_RATIOS = ("user", "system", "softirq")
_Z95 = 1.959964


def trials(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a trial.

    Columns: run, repeat, nic, driver, kernel, workload, case, also_named, outcome, reason, toggle_proven, warnings,
    and the fields of `metrics.Metrics`.
    """
    empty = dict.fromkeys((field.name for field in fields(metrics.Metrics)), math.nan)
    rows = []
    for run in runs:
        for trial in run.trials:
            figures = metrics.of_trial(run, trial)
            proofs = proof.judge(trial, counts_super_packets=run.bed.counts_super_packets)
            rows.append(
                {
                    "run": run.run_id,
                    "repeat": trial.repeat,
                    "nic": run.nic.name,
                    "driver": run.nic.driver,
                    "kernel": run.host.kernel,
                    "workload": trial.workload,
                    "case": trial.case,
                    "also_named": " ".join(trial.also_named),
                    "outcome": trial.outcome,
                    "reason": trial.reason,
                    **(asdict(figures) if figures else empty),
                    "toggle_proven": proof.toggle_proven(proofs),
                    "gso_max_segs": trial.gso_max_segs,
                    "warnings": "; ".join(trial.warnings),
                }
            )
    columns = [
        "run",
        "repeat",
        "nic",
        "driver",
        "kernel",
        "workload",
        "case",
        "also_named",
        "outcome",
        "reason",
    ]
    return pd.DataFrame(rows, columns=[*columns, *empty, "toggle_proven", "gso_max_segs", "warnings"])


def samples(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a second of every trial.

    Columns: run, workload, case, repeat, t_s, interval_s, late_s, tx_bits_per_s (layer 2), rx_bits_per_s (as the NIC
    counts), cpu_busy_ratio, cpu_user_ratio, cpu_system_ratio, cpu_softirq_ratio, packets_per_s, context_switches_per_s,
    retrans_segments.
    """
    parts = [_sample_rows(run, trial) for run in runs for trial in run.trials if trial.samples]
    columns = [
        "run",
        "workload",
        "case",
        "repeat",
        "t_s",
        "interval_s",
        "late_s",
        "tx_bits_per_s",
        "rx_bits_per_s",
    ]
    columns += ["cpu_busy_ratio", *(f"cpu_{kind}_ratio" for kind in _SAMPLE_RATIOS)]
    columns += ["packets_per_s", "context_switches_per_s", "retrans_segments"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _sample_rows(run: Run, trial: Trial) -> pd.DataFrame:
    assert trial.samples is not None
    rows = pd.DataFrame(trial.samples.counters)
    interval = pd.Series(trial.samples.interval_s)
    cpus = len(run.bed.dut_cpus)
    segments = rows["tcp_out_segments"] + rows["tcp_retrans_segments"]
    on_cable = rows["tx_bytes"]
    if run.bed.counts_super_packets:
        on_cable = on_cable + (segments - rows["tx_packets"]).clip(lower=0) * metrics.SEGMENT_HEADER_BYTES
    ticks = rows["cpu_ticks_s"].where(rows["cpu_ticks_s"] > 0)
    busy = interval * cpus - rows["cpu_idle_exact_s"] - rows["cpu_steal_s"]
    table = {
        "run": run.run_id,
        "workload": trial.workload,
        "case": trial.case,
        "repeat": trial.repeat,
        "t_s": trial.samples.t_s,
        "interval_s": interval,
        "late_s": trial.samples.late_s,
        "tx_bits_per_s": on_cable * 8 / interval,
        "rx_bits_per_s": rows["rx_bytes"] * 8 / interval,
        "cpu_busy_ratio": busy.clip(lower=0) / (interval * cpus),
        **{f"cpu_{kind}_ratio": rows[f"cpu_{kind}_s"] / ticks for kind in _SAMPLE_RATIOS},
        "packets_per_s": rows["tx_packets"] / interval,
        "context_switches_per_s": rows["context_switches"] / interval,
        "retrans_segments": rows["tcp_retrans_segments"],
    }
    return pd.DataFrame(table)


def wilson_interval(share: float, samples_total: float) -> tuple[float, float]:
    """95 % interval of a share of `samples_total` samples (Wilson 1927)."""
    if samples_total <= 0:
        return math.nan, math.nan
    centre = share + _Z95**2 / (2 * samples_total)
    spread = _Z95 * math.sqrt(share * (1 - share) / samples_total + _Z95**2 / (4 * samples_total**2))
    scale = 1 + _Z95**2 / samples_total
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


@lru_cache(maxsize=8)
def _symbol_table(packed: str) -> SymbolTable:
    return SymbolTable(unpack_text(packed))


def attributed(run: Run, trial: Trial, profile: Profile) -> pd.DataFrame:
    """The trial's samples with their leaves, see `attribution.attribute`; only for a trial with a profile."""
    assert trial.profile is not None
    return attribute(trial.profile, _symbol_table(run.kallsyms.text), Rules(profile))


def modules(runs: Sequence[Run], profile: Profile) -> pd.DataFrame:
    """One row per leaf and event of every trial.

    Columns: run, workload, case, repeat, module (the leaf), floor, ko, event, quantity, value (sum of weights, in the
    quantity's unit), value_per_byte (of payload), share_ratio (of busy weight; sums to one per trial and event; NaN for
    idle), share_low_ratio, share_high_ratio (95 %, Wilson, from the number of busy samples), samples, method (that
    resolved most of the weight).
    """
    parts = [_module_rows(run, trial, profile) for run in runs for trial in run.trials if trial.profile]
    columns = ["run", "workload", "case", "repeat", "module", "floor", "ko", "event", "quantity", "value"]
    columns += ["value_per_byte", "share_ratio", "share_low_ratio", "share_high_ratio", "samples", "method"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _module_rows(run: Run, trial: Trial, profile: Profile) -> pd.DataFrame:
    rows = attributed(run, trial, profile)
    by = ["event", "quantity", "leaf", "floor"]
    groups = rows.groupby(by, sort=True)
    table = groups.agg(value=("weight", "sum"), samples=("samples", "sum")).reset_index()
    heaviest = (
        rows.groupby([*by, "method"])["weight"]
        .sum()
        .reset_index()
        .sort_values("weight")
        .drop_duplicates(by, keep="last")
    )
    table = table.merge(heaviest[[*by, "method"]], on=by)
    names = rows[rows["ko"] != ""].groupby(by)["ko"].agg(lambda found: " ".join(sorted(set(found))))
    table = table.merge(names.rename("ko").reset_index(), on=by, how="left").fillna({"ko": ""})
    busy = table["leaf"] != IDLE
    totals = table[busy].groupby("event")[["value", "samples"]].sum()
    weight = table["event"].map(totals["value"])
    counted = table["event"].map(totals["samples"])
    share = (table["value"] / weight).where(busy)
    bounds = [
        wilson_interval(s, n) if not math.isnan(s) else (math.nan, math.nan)
        for s, n in zip(share, counted, strict=True)
    ]
    payload = metrics.payload_bytes(trial)
    return table.rename(columns={"leaf": "module"}).assign(
        run=run.run_id,
        workload=trial.workload,
        case=trial.case,
        repeat=trial.repeat,
        value_per_byte=table["value"] / payload if payload else math.nan,
        share_ratio=share,
        share_low_ratio=[low for low, _ in bounds],
        share_high_ratio=[high for _, high in bounds],
    )


_SUBJECTS = {
    "tx-tcp-segmentation": "tso",
    "tx-tcp6-segmentation": "",
    "tx-generic-segmentation": "gso",
    "tx-checksum-ip-generic": "tx-checksum",
    "tx-checksum-ipv4": "tx-checksum",
    "rx-checksum": "rx-checksum",
}


def features(runs: Sequence[Run]) -> pd.DataFrame:
    """One row per feature that a trial asked for or that was dragged along.

    Columns: run, workload, case, repeat, feature, requested, active, dragged, refused, fixed, proof.
    """
    rows = []
    for run in runs:
        for trial in run.trials:
            proofs = {
                item.subject: item.verdict
                for item in proof.judge(trial, counts_super_packets=run.bed.counts_super_packets)
            }
            rows += [
                {
                    "run": run.run_id,
                    "workload": trial.workload,
                    "case": trial.case,
                    "repeat": trial.repeat,
                    "feature": record.feature,
                    "requested": record.requested,
                    "active": record.active,
                    "dragged": record.dragged,
                    "refused": record.refused,
                    "fixed": record.fixed,
                    "proof": proof.FIXED if record.fixed else proofs.get(_SUBJECTS.get(record.feature, ""), ""),
                }
                for record in trial.features
            ]
    columns = [
        "run",
        "workload",
        "case",
        "repeat",
        "feature",
        "requested",
        "active",
        "dragged",
        "refused",
        "fixed",
        "proof",
    ]
    return pd.DataFrame(rows, columns=columns)


TABLES: dict[str, Callable[[Sequence[Run], Profile], pd.DataFrame]] = {
    "trials": lambda runs, profile: trials(runs),
    "samples": lambda runs, profile: samples(runs),
    "modules": modules,
    "features": lambda runs, profile: features(runs),
}
