"""Was the machine in a steady state? Every doubt is one of a closed list, and comes with its remedy."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from offloadbench.analysis.comparison.usable_trials import HEADLINES, Observation, observations, values
from offloadbench.analysis.profile import contamination
from offloadbench.analysis.statistics import student_t
from offloadbench.analysis.statistics.estimates import Values
from offloadbench.analysis.trial import metrics
from offloadbench.base.sentence import COUNTED, Quantity, Sentence, Source, amount, join, say
from offloadbench.model import Run, Samples

# a line counts as a trend when it moves the figure by this much, explains this much of it, and is no chance
_TREND_RATIO, _TREND_EXPLAINS, _TREND_P = 0.05, 0.5, 0.01
_TREND_FEWEST = 5
_UNSTEADY_RATIO = 0.1
# of the CPU time, and of the busy time that it leaves open
_STEAL_RATIO, _STEAL_OF_BUSY_RATIO = 0.01, 0.1
_FREQUENCY_RATIO = 0.03
# between the idle clock and /proc/stat, of the CPUs' time
_CLOCKS_RATIO = 0.1
# of the test for one outlier; smaller distances from the other trials are not worth a word
_OUTLIER_P, _OUTLIER_RATIO, _OUTLIER_FEWEST = 0.01, 0.05, 5
# governors that leave the frequency alone; `none` is a machine that shows no control of it
_STEADY_GOVERNORS = frozenset({"performance", "none", ""})
_TOLD_EACH = 3
_WORDS = {"throughput_bits_per_s": "throughput", "cpu_s_per_gb": "CPU per GB"}


class Trouble(enum.Enum):
    """What may be wrong, and what to do about it."""

    TREND = "Use a longer --warmup; inside one run, compare cases: blocks cancel what drifts."
    UNSTEADY = "Use a longer --duration, and look at the seconds: export --table samples."
    OUTLIER = "Look for what ran then; add repeats rather than leave it out."
    STEAL = "Use a machine whose CPUs nobody shares, or add repeats."
    FREQUENCY = "Set it still: cpupower frequency-set -g performance, and turn turbo off."
    CLOCKS = "Repeat the trial: its CPU busy and CPU per GB are wrong by this much."
    CONTAMINATION = "Stop the other processes, or move them off the measured CPUs."


@dataclass(frozen=True, slots=True)
class Doubt:
    """One trouble at one place.

    Attributes:
        what: in words; its figures have the names that they have in `figures`.
        figures: what the words rest on, by name.
    """

    trouble: Trouble
    where: str
    what: Sentence
    figures: Mapping[str, float]

    def __str__(self) -> str:
        return str(self.sentence)

    @property
    def sentence(self) -> Sentence:
        """Where, what, and the remedy."""
        return say("{where}: {what}. {remedy}", where=self.where, what=self.what, remedy=self.trouble.value)

    def of(self, run: Run, name: str) -> Doubt:
        """The doubt about a run that has this name, with the cells of its figures in the table `doubts`."""
        column = {"run": run.run_id, "trouble": self.trouble.name.lower(), "where": self.where}
        sources = {figure: Source("doubts", "value", column | {"figure": figure}) for figure in self.figures}
        where = f"{name}{self.where.removeprefix(run.nic.name)}"
        return replace(self, where=where, what=self.what.traced(sources))


def _trend(series: Values) -> float:
    """By how much of its mean a straight line moves the series from end to end; 0 when there is no trend."""
    count, mean = len(series), float(series.mean())
    if count < _TREND_FEWEST or mean <= 0 or float(series.std()) == 0:
        return 0.0
    position = np.arange(count, dtype=float)
    correlation = float(np.corrcoef(position, series)[0, 1])
    change = correlation * float(series.std() / position.std()) * (count - 1) / mean
    explained = correlation**2
    if explained <= _TREND_EXPLAINS or abs(change) <= _TREND_RATIO:
        return 0.0
    t = math.inf if explained >= 1 else abs(correlation) * math.sqrt((count - 2) / (1 - explained))
    return change if 2 * student_t.below(count - 2, -t) < _TREND_P else 0.0


def _seconds(samples: Samples, cpus: int) -> dict[str, Values]:
    """Throughput (as the NIC counts bytes) and busy CPUs of every second."""
    interval = np.array(samples.interval_s)
    return {
        "throughput": np.array(samples.counters["tx_bytes"]) * 8 / interval,
        "CPU busy": metrics.busy_by_second(samples, cpus) / (interval * cpus),
    }


def _whole(ratio: float) -> str:
    return f"{ratio:.0%}"


def _size(ratio: float) -> str:
    return f"{abs(ratio):.0%}"


def _signed(ratio: float) -> str:
    return f"{ratio:+.0%}"


def _tenths(ratio: float) -> str:
    return f"{ratio:.1%}"


def _ghz(rate: float) -> str:
    return f"{rate / 1e9:.2f}"


def _inside(seen: Observation, where: str) -> Iterator[Doubt]:
    """One trial's window."""
    samples, run = seen.trial.samples, seen.run
    assert samples is not None
    for name, series in _seconds(samples, len(run.bed.dut_cpus)).items():
        mean = float(series.mean())
        change = _trend(series)
        spread = float(series.std(ddof=1)) / mean if len(series) > 2 and mean else 0.0
        if change:
            moved = f"{name} over the window"
            what = say(
                "{name} moved by {change} in a line over the window",
                name=name,
                change=amount(moved, Quantity(change, _signed)),
            )
            yield Doubt(Trouble.TREND, where, what, {moved: change})
        elif spread > _UNSTEADY_RATIO:
            seconds = f"{name}, seconds"
            what = say(
                "{name} was not steady: its seconds differ by {spread} (standard deviation over mean)",
                name=name,
                spread=amount(seconds, Quantity(spread, _whole)),
            )
            yield Doubt(Trouble.UNSTEADY, where, what, {seconds: spread})
    steal, low, high = (seen.value(name) for name in ("steal_ratio", "cpu_busy_low_ratio", "cpu_busy_high_ratio"))
    if steal > _STEAL_RATIO or high - low > _STEAL_OF_BUSY_RATIO * seen.value("cpu_busy_ratio"):
        bounds = {"steal_ratio": steal, "cpu_busy_low_ratio": low, "cpu_busy_high_ratio": high}
        what = say(
            "the hypervisor took {steal_ratio} of the CPU time away, idle or busy: CPU busy lies between "
            "{cpu_busy_low_ratio} and {cpu_busy_high_ratio}",
            **{name: Quantity(value, _tenths) for name, value in bounds.items()},
        )
        yield Doubt(Trouble.STEAL, where, what, bounds)
    gap = metrics.clock_gap_ratio(samples, len(run.bed.dut_cpus))
    if abs(gap) > _CLOCKS_RATIO:
        name = "idle clock less /proc/stat"
        what = say(
            "the idle clock found {gap} of the CPU time {direction} idle than /proc/stat (idle and waiting for the "
            "disk)",
            gap=amount(name, Quantity(gap, _size)),
            direction="more" if gap > 0 else "less",
        )
        yield Doubt(Trouble.CLOCKS, where, what, {name: gap})
    taken = contamination.sentence(run, seen.trial)
    if taken:
        found = contamination.foreign(run, seen.trial)
        yield Doubt(Trouble.CONTAMINATION, where, taken, {contamination.ALL_OTHERS: found.ratio} | found.by_process)


def _across(trials: Sequence[Observation], where: str) -> Iterator[Doubt]:
    """One case over its repeats."""
    for metric in HEADLINES:
        found = np.array(values(trials, metric))
        change = _trend(found)
        if change:
            moved = f"{_WORDS[metric]} over the repeats"
            what = say(
                "{metric} moved by {change} in a line over the repeats",
                metric=_WORDS[metric],
                change=amount(moved, Quantity(change, _signed)),
            )
            yield Doubt(Trouble.TREND, where, what, {moved: change})
        if len(found) < _OUTLIER_FEWEST:
            continue
        index = _outlier(np.log(found))
        away = found[index] / float(np.median(found)) - 1 if index is not None else 0.0
        if abs(away) > _OUTLIER_RATIO:
            seen = trials[index or 0]
            trial = seen.trial
            name = f"{_WORDS[metric]}, repeat {trial.repeat}"
            what = say(
                "repeat {repeat} stands out: {metric} {away}",
                repeat=Quantity(trial.repeat, _count, _repeat(seen)),
                metric=_WORDS[metric],
                away=amount(name, Quantity(away, _signed)),
            )
            yield Doubt(Trouble.OUTLIER, where, what, {name: away})


def _repeat(seen: Observation) -> Source:
    trial = seen.trial
    names = {"workload": trial.workload, "case": trial.case, "repeat": trial.repeat}
    return Source("trials", "repeat", {"run": seen.run.run_id, **names})


def _outlier(logs: Values) -> int | None:
    """The position of the one value that does not belong to the others (Grubbs 1969), if there is one."""
    count, spread = len(logs), float(logs.std(ddof=1))
    away = np.abs(logs - logs.mean())
    t = student_t.quantile(count - 2, 1 - _OUTLIER_P / (2 * count))
    limit = (count - 1) / math.sqrt(count) * math.sqrt(t**2 / (count - 2 + t**2))
    return int(away.argmax()) if float(away.max()) > limit * spread > 0 else None


def _frequency(run: Run, trials: Sequence[Observation], where: str) -> Iterator[Doubt]:
    if run.host.governor not in _STEADY_GOVERNORS:
        what = say("the governor {governor} changes the CPU's frequency", governor=run.host.governor)
        yield Doubt(Trouble.FREQUENCY, where, what, {"governor": math.nan})
    rates = []
    for seen in trials:
        cycles = seen.trial.profile.counted.get("cycles") if seen.trial.profile else None
        assert seen.trial.samples is not None
        busy = metrics.busy_s(seen.trial.samples, len(run.bed.dut_cpus))
        if cycles and busy:
            rates.append(cycles / busy)
    if rates and max(rates) / min(rates) - 1 > _FREQUENCY_RATIO:
        figures = {"lowest busy frequency, Hz": min(rates), "highest busy frequency, Hz": max(rates)}
        low, high = (amount(name, Quantity(value, _ghz)) for name, value in figures.items())
        what = say("busy CPUs ran at {low} to {high} GHz from trial to trial", low=low, high=high)
        yield Doubt(Trouble.FREQUENCY, where, what, figures)


def doubts(run: Run, name: str = "") -> list[Doubt]:
    """Everything that speaks against a steady state, trial by trial, then case by case, then the machine.

    Args:
        name: what the run is called; its NIC by default.
    """
    nic = run.nic.name
    seen = observations(run)
    every = [trial for trials in seen.by_case.values() for trial in trials.values()]
    found: list[Doubt] = []
    for trial in every:
        where = f"{nic}, {trial.trial.workload}, case {trial.trial.case}, repeat {trial.trial.repeat}"
        found += _inside(trial, where)
    for (workload, case), trials in seen.by_case.items():
        found += _across(list(trials.values()), f"{nic}, {workload}, case {case}")
    return [doubt.of(run, name or nic) for doubt in (*found, *_frequency(run, every, nic))]


def told(found: Sequence[Doubt]) -> list[Sentence]:
    """The doubts as sentences; of many alike the first two, and how many there are."""
    texts = []
    for trouble in Trouble:
        alike = [doubt for doubt in found if doubt.trouble is trouble]
        if len(alike) <= _TOLD_EACH:
            texts += [doubt.sentence for doubt in alike]
            continue
        first = [say("{where}: {what}", where=doubt.where, what=doubt.what) for doubt in alike[: _TOLD_EACH - 1]]
        more = Quantity(len(alike) - _TOLD_EACH + 1, _count, COUNTED)
        texts.append(
            say("{first}; and {more} more alike. {remedy}", first=join("; ", first), more=more, remedy=trouble.value)
        )
    return texts


def _count(number: float) -> str:
    return f"{number:.0f}"
