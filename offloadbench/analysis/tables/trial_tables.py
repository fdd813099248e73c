"""Tidy tables of runs: trials, samples, features, proofs. `export` prints them, reports draw from them.

The columns named in `offloadbench.analysis.table_columns` are a contract; more may follow, these stay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, fields

import numpy as np
import numpy.typing as npt
import pandas as pd

from offloadbench.analysis.comparison.usable_trials import latencies
from offloadbench.analysis.profile import contamination
from offloadbench.analysis.trial import headers, metrics, toggle_proof
from offloadbench.model import Run, Trial

_SAMPLE_RATIOS = ("user", "system", "softirq")
_SECOND_COLUMNS = ["t_s", "interval_s", "late_s", "tx_bits_per_s", "rx_bits_per_s", "cpu_busy_ratio"]
_SECOND_COLUMNS += [*(f"cpu_{kind}_ratio" for kind in _SAMPLE_RATIOS)]
_SECOND_COLUMNS += ["packets_per_s", "context_switches_per_s", "retrans_segments"]


def trials(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a trial.

    Columns: run, repeat, nic, driver, kernel, workload, case, also_named, outcome, reason, toggle_proven, warnings,
    foreign_cpu_ratio (of the measured CPUs' time, taken by processes of others; at least that much without a profile,
    NaN where nothing tells),
    latency_p50_us, latency_p90_us, latency_p99_us, latency_max_us (of commands; NaN without), and the fields of
    `metrics.Metrics`.
    """
    empty = dict.fromkeys((field.name for field in fields(metrics.Metrics)), math.nan)
    rows = []
    for run in runs:
        for trial in run.trials:
            figures = metrics.of_trial(run, trial)
            proofs = toggle_proof.judge(trial, counts_super_packets=run.bed.counts_super_packets)
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
                    "foreign_cpu_ratio": contamination.foreign(run, trial).ratio,
                    **latencies(trial),
                    "toggle_proven": toggle_proof.toggle_proven(proofs),
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
        columns=[*columns, *empty, "foreign_cpu_ratio", *latencies(None), "toggle_proven", "gso_max_segs", "warnings"],
    )


def samples(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a second of every trial.

    Columns: run, workload, case, repeat, t_s, interval_s, late_s, tx_bits_per_s (layer 2), rx_bits_per_s (as the NIC
    counts), cpu_busy_ratio, cpu_user_ratio, cpu_system_ratio, cpu_softirq_ratio, packets_per_s, context_switches_per_s,
    retrans_segments.
    """
    named = [(run, trial, len(trial.samples.t_s)) for run in runs for trial in run.trials if trial.samples]
    counts = [count for *_, count in named]
    keys = {
        "run": np.repeat([run.run_id for run, *_ in named], counts),
        "workload": np.repeat([trial.workload for _, trial, _ in named], counts),
        "case": np.repeat([trial.case for _, trial, _ in named], counts),
        "repeat": np.repeat([trial.repeat for _, trial, _ in named], counts),
    }
    parts = [_seconds(run, trial) for run, trial, _ in named]
    figures = {name: np.concatenate([part[name] for part in parts]) for name in _SECOND_COLUMNS} if parts else {}
    return pd.DataFrame(keys | figures, columns=[*keys, *_SECOND_COLUMNS])


def _seconds(run: Run, trial: Trial) -> dict[str, npt.NDArray[np.float64]]:
    """The figures of a trial's samples, each of shape (seconds,)."""
    assert trial.samples is not None
    rows = {name: np.array(column, dtype=float) for name, column in trial.samples.counters.items()}
    interval = np.array(trial.samples.interval_s, dtype=float)
    cpus = len(run.bed.dut_cpus)
    segments = rows["tcp_out_segments"] + rows["tcp_retrans_segments"]
    on_cable = rows["tx_bytes"]
    if metrics.counts_super_packets(run, rows["tx_bytes"].sum(), rows["tx_packets"].sum()):
        on_cable = on_cable + np.maximum(segments - rows["tx_packets"], 0) * headers.of_trial(run, trial).layer2_bytes
    ticks = np.where(rows["cpu_ticks_s"] > 0, rows["cpu_ticks_s"], math.nan)
    busy = metrics.busy_by_second(trial.samples, cpus)
    return {
        "t_s": np.array(trial.samples.t_s, dtype=float),
        "interval_s": interval,
        "late_s": np.array(trial.samples.late_s, dtype=float),
        "tx_bits_per_s": on_cable * 8 / interval,
        "rx_bits_per_s": rows["rx_bytes"] * 8 / interval,
        "cpu_busy_ratio": busy / (interval * cpus),
        **{f"cpu_{kind}_ratio": rows[f"cpu_{kind}_s"] / ticks for kind in _SAMPLE_RATIOS},
        "packets_per_s": rows["tx_packets"] / interval,
        "context_switches_per_s": rows["context_switches"] / interval,
        "retrans_segments": rows["tcp_retrans_segments"],
    }


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
                for item in toggle_proof.judge(trial, counts_super_packets=run.bed.counts_super_packets)
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
                    "proof": toggle_proof.FIXED if record.fixed else proofs.get(_SUBJECTS.get(record.feature, ""), ""),
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
        for item in toggle_proof.judge(trial, counts_super_packets=run.bed.counts_super_packets)
    ]
    return pd.DataFrame(rows, columns=["run", "workload", "case", "repeat", "subject", "verdict", "detail"])
