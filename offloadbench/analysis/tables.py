"""Tidy tables of runs: trials, samples, features, proofs. `export` prints them, reports draw from them.

The columns named in the README are a contract; more may follow, these stay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, fields

import pandas as pd

from offloadbench.analysis import contamination, metrics, proof
from offloadbench.model import Run, Trial

_SAMPLE_RATIOS = ("user", "system", "softirq")


def trials(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a trial.

    Columns: run, repeat, nic, driver, kernel, workload, case, also_named, outcome, reason, toggle_proven, warnings,
    foreign_cpu_ratio (of the measured CPUs' time, taken by processes of others; NaN without a profile),
    latency_p50_us, latency_p90_us, latency_p99_us, latency_max_us (of commands; NaN without), and the fields of
    `metrics.Metrics`.
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
                    "foreign_cpu_ratio": _foreign_ratio(trial),
                    **_latencies(trial),
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
    return pd.DataFrame(
        rows,
        columns=[*columns, *empty, "foreign_cpu_ratio", *_latencies(None), "toggle_proven", "gso_max_segs", "warnings"],
    )


def _latencies(trial: Trial | None) -> dict[str, float]:
    """Percentiles of a command's time from submission to status; NaN for traffic without commands."""
    told = trial.load.latency_us if trial and trial.load else {}
    return {f"latency_{name}_us": told.get(name, math.nan) for name in ("p50", "p90", "p99", "max")}


def _foreign_ratio(trial: Trial) -> float:
    if trial.profile is None or not contamination.names_server(trial.profile.comms):
        return math.nan
    return sum(contamination.foreign_shares(trial.profile).values())


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
    if metrics.counts_super_packets(run, rows["tx_bytes"].sum(), rows["tx_packets"].sum()):
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


_SUBJECTS = {
    "tx-tcp-segmentation": "tso",
    "tx-tcp6-segmentation": "",
    "tx-generic-segmentation": "gso",
    "tx-checksum-ip-generic": "tx-checksum",
    "tx-checksum-ipv4": "tx-checksum",
    "rx-checksum": "rx-checksum",
    "rx-lro": "lro",
    "rx-gro-hw": "hw-gro",
}


def features(runs: Sequence[Run]) -> pd.DataFrame:
    """One row per feature that a trial asked for, that was dragged along, or that its proofs rest on.

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


def statistics(runs: Sequence[Run]) -> pd.DataFrame:
    """One row per statistic of a driver that grew in a trial's window.

    Columns: run, workload, case, repeat, device, driver, statistic, growth, growth_per_s.
    """
    rows = [
        {
            "run": run.run_id,
            "workload": trial.workload,
            "case": trial.case,
            "repeat": trial.repeat,
            "device": device.ifname,
            "driver": device.driver,
            "statistic": name,
            "growth": growth,
            "growth_per_s": growth / device.interval_s if device.interval_s > 0 else math.nan,
        }
        for run in runs
        for trial in run.trials
        for device in trial.statistics
        for name, growth in device.growth.items()
    ]
    columns = ["run", "workload", "case", "repeat", "device", "driver", "statistic", "growth", "growth_per_s"]
    return pd.DataFrame(rows, columns=columns)


def proofs(runs: Sequence[Run]) -> pd.DataFrame:
    """Whether packets and counters show what a case asked for: one row per subject of every trial.

    Columns: run, workload, case, repeat, subject (an offload), verdict (see `proof`), detail (in words).
    """
    rows = [
        (run.run_id, trial.workload, trial.case, trial.repeat, item.subject, item.verdict, item.detail)
        for run in runs
        for trial in run.trials
        for item in proof.judge(trial, counts_super_packets=run.bed.counts_super_packets)
    ]
    return pd.DataFrame(rows, columns=["run", "workload", "case", "repeat", "subject", "verdict", "detail"])
