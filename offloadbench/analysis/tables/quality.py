"""How well trials were measured, as tidy tables: what the caveats of a report rest on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from offloadbench.analysis.comparison import steadiness
from offloadbench.analysis.profile import plain_count
from offloadbench.analysis.profile.attribution import WAKE
from offloadbench.analysis.profile.wakeups import CLOCK_QUANTITY
from offloadbench.analysis.trial import metrics
from offloadbench.model import Run, Trial

_TRIAL = ["run", "workload", "case", "repeat"]
QUALITY_COLUMNS = [*_TRIAL, "window_s", "retrans_ratio", "tx_dropped_ratio", "csum_errors", "tool_cpu_ratio", "busy_s"]
QUALITY_COLUMNS += [
    "busy_low_s",
    "busy_high_s",
    "profile_busy_s",
    "wakeup_latency_s",
    "profile_samples",
    "profile_lost_samples",
    "profile_throttled",
]
QUALITY_COLUMNS += ["wire_idle_ratio", "wire_behind_s", "wire_frames", "wire_dropped_frames"]
COUNT_COLUMNS = [*_TRIAL, "event", "quantity", "sampled", "counted", "relative_gap"]
DOUBT_COLUMNS = ["run", "trouble", "where", "what", "figure", "value", "remedy"]
Key = tuple[str, str, str, int]


def _named(run: Run, trial: Trial) -> dict[str, object]:
    return dict(zip(_TRIAL, (run.run_id, trial.workload, trial.case, trial.repeat), strict=True))


def clocked_s(modules: pd.DataFrame) -> dict[Key, float]:
    """(run, workload, case, repeat) -> busy seconds by the profiler's clock, of trials that it sampled.

    Args:
        modules: see `module_tables.modules`.
    """
    return _seconds(modules[(modules["quantity"] == CLOCK_QUANTITY) & modules["share_ratio"].notna()])


def waking_s(modules: pd.DataFrame) -> dict[Key, float]:
    """(run, workload, case, repeat) -> seconds of wake-up latency, of trials that have any.

    Args:
        modules: see `module_tables.modules`.
    """
    return _seconds(modules[modules["module"] == WAKE])


def _seconds(timed: pd.DataFrame) -> dict[Key, float]:
    sums = timed.groupby(_TRIAL, as_index=False)["value"].sum()
    keys = zip(*(sums[name] for name in _TRIAL), strict=True)
    return dict(zip(keys, (sums["value"] / 1e9).tolist(), strict=True))


def quality(runs: Sequence[Run], modules: pd.DataFrame) -> pd.DataFrame:
    """One row a trial; NaN for what was not measured.

    Columns: run, workload, case, repeat, window_s, retrans_ratio (of TCP segments), tx_dropped_ratio (of the NIC's
    packets), csum_errors (segments received), tool_cpu_ratio (of the measured CPUs; NaN where the tool ran elsewhere),
    busy_s (by the idle clock), busy_low_s, busy_high_s (its bounds, see `metrics.busy_bounds_s`), profile_busy_s (by
    the profiler's clock, without wake-up latency), wakeup_latency_s, profile_samples, profile_lost_samples,
    profile_throttled, and of an emulated cable wire_idle_ratio, wire_behind_s, wire_frames, wire_dropped_frames
    (towards the load side).

    Args:
        modules: of the same runs, see `module_tables.modules`.
    """
    clocked, waking = clocked_s(modules), waking_s(modules)
    rows = [_named(run, trial) | _figures(run, trial, clocked, waking) for run in runs for trial in run.trials]
    return pd.DataFrame(rows, columns=QUALITY_COLUMNS)


def _figures(run: Run, trial: Trial, clocked: Mapping[Key, float], waking: Mapping[Key, float]) -> dict[str, float]:
    found: dict[str, float] = {"window_s": trial.window_s}
    key = (run.run_id, trial.workload, trial.case, trial.repeat)
    if trial.samples is not None:
        total = {name: sum(column) for name, column in trial.samples.counters.items()}
        segments, packets = total["tcp_out_segments"], total["tx_packets"]
        window_s, cpus = sum(trial.samples.interval_s), len(run.bed.dut_cpus)
        low, high = metrics.busy_bounds_s(trial.samples, cpus)
        found |= {
            "retrans_ratio": total["tcp_retrans_segments"] / segments if segments else math.nan,
            "tx_dropped_ratio": total["tx_dropped"] / packets if packets else math.nan,
            "csum_errors": total["tcp_in_csum_errors"],
            "busy_s": metrics.busy_s(trial.samples, cpus),
            "busy_low_s": low,
            "busy_high_s": high,
            "profile_busy_s": clocked.get(key, math.nan),
            "wakeup_latency_s": waking.get(key, 0.0) if key in clocked else math.nan,
        }
        if trial.tool and trial.tool.on_dut_cpus and window_s:
            found["tool_cpu_ratio"] = (trial.tool.cpu_s + trial.tool.perf_cpu_s) / (window_s * cpus)
    if trial.profile is not None:
        found |= {
            "profile_samples": trial.profile.samples,
            "profile_lost_samples": trial.profile.lost_samples,
            "profile_throttled": trial.profile.throttled,
        }
    if trial.wire is not None:
        wire = trial.wire
        found |= {
            "wire_idle_ratio": math.nan if wire.asleep_ratio is None else wire.asleep_ratio,
            "wire_behind_s": math.nan if wire.behind_s is None else wire.behind_s,
            "wire_frames": wire.to_peer.frames,
            "wire_dropped_frames": wire.to_peer.dropped,
        }
    return found


def counts(runs: Sequence[Run]) -> pd.DataFrame:
    """The samples of a profile beside a plain count of the same window: one row an event of every trial with both.

    Columns: run, workload, case, repeat, event, quantity, sampled, counted (both in the event's unit, idle included),
    relative_gap (how much more was sampled than counted).
    """
    rows = [
        _named(run, trial)
        | {
            "event": gap.event,
            "quantity": gap.quantity,
            "sampled": gap.sampled,
            "counted": gap.counted,
            "relative_gap": gap.ratio,
        }
        for run in runs
        for trial in run.trials
        if trial.profile is not None
        for gap in plain_count.gaps(trial.profile)
    ]
    return pd.DataFrame(rows, columns=COUNT_COLUMNS)


def doubts(runs: Sequence[Run]) -> pd.DataFrame:
    """What speaks against a steady state: one row a figure of every doubt.

    Columns: run, trouble (`steadiness.Trouble`, in lower case), where (the trial, the case or the NIC), what (the
    doubt in words), figure (what the value is of), value (NaN for the governor: its
    name stands in `benches`), remedy.
    """
    rows = [
        {
            "run": run.run_id,
            "trouble": doubt.trouble.name.lower(),
            "where": doubt.where,
            "what": doubt.what,
            "figure": name,
            "value": value,
            "remedy": doubt.trouble.value,
        }
        for run in runs
        for doubt in steadiness.doubts(run)
        for name, value in doubt.figures.items()
    ]
    return pd.DataFrame(rows, columns=DOUBT_COLUMNS)
