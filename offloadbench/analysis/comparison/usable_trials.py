"""Trials that may be compared, as plain figures: without tables, since a thousand trials are to be read at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import msgspec

from offloadbench.analysis.profile import contamination
from offloadbench.analysis.statistics.estimates import Values, batches
from offloadbench.analysis.trial import link_emulator, metrics, toggle_proof
from offloadbench.model import Run, Trial

# the two figures on which verdicts rest, and how they are read
HEADLINES = ("throughput_bits_per_s", "cpu_s_per_gb")
_PERCENTILES = ("p50", "p90", "p99", "max")
LATENCIES = tuple(f"latency_{name}_us" for name in _PERCENTILES)
_CPU = ("cpu_s_per_gb", "cpu_busy_ratio", "cpu_user_ratio", "cpu_system_ratio", "cpu_softirq_ratio")
# the metrics that can be compared and bounded, by which way is better: every latency is better when it is shorter
LESS_IS_BETTER = frozenset(
    {*_CPU, *LATENCIES, *(field.name for field in fields(metrics.Metrics) if field.name.startswith("latency_"))}
)
MORE_IS_BETTER = frozenset({"throughput_bits_per_s", "goodput_bits_per_s"})


def latencies(trial: Trial | None) -> dict[str, float]:
    """Column -> microseconds, from a transfer's submission to its end; NaN where the trial has none."""
    seen = trial.load.latency_us if trial and trial.load else {}
    return {column: seen.get(name, math.nan) for column, name in zip(LATENCIES, _PERCENTILES, strict=True)}


@dataclass(frozen=True)
class Observation:
    """A usable trial."""

    run: Run
    trial: Trial
    figures: metrics.Metrics

    @cached_property
    def foreign_share(self) -> float:
        """Other processes' part of the measured CPUs' busy time, 0 to 1; NaN where it is not known."""
        taken, busy = contamination.foreign(self.run, self.trial).ratio, self.figures.cpu_busy_ratio
        return min(taken / busy, 1.0) if busy > 0 else math.nan

    def value(self, metric: str) -> float:
        """A field of `metrics.Metrics`, or one of `LATENCIES`; NaN where the trial has no such figure."""
        if hasattr(self.figures, metric):
            return float(getattr(self.figures, metric))
        return latencies(self.trial)[metric]

    def batches(self, metric: str) -> Values:
        """Independent batch means of a headline metric inside the trial, up to a factor; empty when there are none."""
        samples = self.trial.samples
        assert samples is not None
        if metric not in HEADLINES:
            return batches([], [])
        sent = samples.counters["tx_bytes"]
        if metric == "throughput_bits_per_s":
            return batches(sent, samples.interval_s)
        return batches(metrics.busy_by_second(samples, len(self.run.bed.dut_cpus)).tolist(), sent)


def observe(run: Run, trial: Trial) -> Observation | None:
    """The trial's figures; None unless it ended well, its link emulator was not the limit, and its packets do not show
    another state than its case.
    """
    figures = metrics.of_trial(run, trial) if trial.outcome == "ok" else None
    if figures is None or math.isnan(figures.cpu_s_per_gb):
        return None
    if link_emulator.saturated(trial.wire, run.bed.line_rate_bits_per_s):
        return None
    proofs = toggle_proof.judge(trial, counts_super_packets=run.bed.counts_super_packets)
    if any(item.verdict == toggle_proof.CONTRADICTED for item in proofs):
        return None
    return Observation(run, trial, figures)


@dataclass(frozen=True)
class Observations:
    """The usable trials of a run, by workload and case, in the order in which they were measured."""

    run: Run
    by_case: dict[tuple[str, str], dict[int, Observation]]

    @property
    def run_ids(self) -> str:
        """The id of the run, or those of runs that were measured alike, with `+` between them."""
        return "+".join(dict.fromkeys(seen.run.run_id for case in self.by_case.values() for seen in case.values()))

    def case(self, workload: str, case: str) -> dict[int, Observation]:
        """repeat -> trial of a case; a case that came to another's state on this NIC ran under that one's name."""
        found = self.by_case.get((workload, case))
        if found is not None:
            return found
        for (kind, _), trials in self.by_case.items():
            first = next(iter(trials.values()))
            if kind == workload and case in first.trial.also_named:
                return trials
        return {}

    def workloads(self) -> list[str]:
        """Names, in the run's order."""
        return list(dict.fromkeys(workload for workload, _ in self.by_case))

    def cases(self, workload: str) -> list[str]:
        """Names of the cases with usable trials, in ladder order."""
        order = {case.definition.name: case.definition.order for case in self.run.plan.cases}
        return sorted((case for kind, case in self.by_case if kind == workload), key=lambda case: order.get(case, 0))


def observations(run: Run) -> Observations:
    """Every usable trial of the run; the last of a repeat counts."""
    found: dict[tuple[str, str], dict[int, Observation]] = {}
    for trial in run.trials:
        seen = observe(run, trial)
        if seen is not None:
            found.setdefault((trial.workload, trial.case), {})[trial.repeat] = seen
    return Observations(run, found)


def pooled(runs: Sequence[Run]) -> Observations:
    """The usable trials of runs that were measured alike, as of one run: a block is one repeat of one of them.

    Args:
        runs: at least one; `results.bench_names` says which were measured alike.
    """
    if len(runs) == 1:
        return observations(runs[0])
    found: dict[tuple[str, str], dict[int, Observation]] = {}
    first = 0
    for run in runs:
        for key, trials in observations(run).by_case.items():
            found.setdefault(key, {}).update({first + repeat: seen for repeat, seen in trials.items()})
        first += 1 + max((trial.repeat for trial in run.trials), default=0)
    cases = {case.definition.name: case for run in runs for case in run.plan.cases}
    plan = msgspec.structs.replace(runs[0].plan, cases=list(cases.values()))
    return Observations(msgspec.structs.replace(runs[0], plan=plan), found)


def values(trials: Iterable[Observation], metric: str) -> list[float]:
    """The metric of each trial."""
    return [trial.value(metric) for trial in trials]


def common_blocks(*cases: dict[int, Observation]) -> Sequence[int]:
    """Repeats in which every one of the cases has a usable trial."""
    return sorted(set(cases[0]).intersection(*cases[1:]))
