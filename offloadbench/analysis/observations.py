"""Trials that may be compared, as plain figures: without tables, since a thousand trials are to be read at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from offloadbench.analysis import link_emulator, metrics, proof
from offloadbench.analysis.statistics import Values, batches
from offloadbench.model import Run, Trial

# the two figures on which verdicts rest, and how they are read
HEADLINES = ("throughput_bits_per_s", "cpu_s_per_gb")
LESS_IS_BETTER = frozenset(
    {"cpu_s_per_gb", "cpu_busy_ratio", "cpu_user_ratio", "cpu_system_ratio", "cpu_softirq_ratio"}
)
MORE_IS_BETTER = frozenset({"throughput_bits_per_s", "goodput_bits_per_s"})


@dataclass(frozen=True, slots=True)
class Observation:
    """A usable trial."""

    run: Run
    trial: Trial
    figures: metrics.Metrics

    def value(self, metric: str) -> float:
        """A field of `metrics.Metrics`."""
        return float(getattr(self.figures, metric))

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
    proofs = proof.judge(trial, counts_super_packets=run.bed.counts_super_packets)
    if any(item.verdict == proof.CONTRADICTED for item in proofs):
        return None
    return Observation(run, trial, figures)


@dataclass(frozen=True)
class Observations:
    """The usable trials of a run, by workload and case, in the order in which they were measured."""

    run: Run
    by_case: dict[tuple[str, str], dict[int, Observation]]

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


def values(trials: Iterable[Observation], metric: str) -> list[float]:
    """The metric of each trial."""
    return [trial.value(metric) for trial in trials]


def common_blocks(*cases: dict[int, Observation]) -> Sequence[int]:
    """Repeats in which every one of the cases has a usable trial."""
    return sorted(set(cases[0]).intersection(*cases[1:]))
