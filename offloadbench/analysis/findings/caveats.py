"""What a reader must know before believing a run, written from its data."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass

from offloadbench.analysis.comparison import alike, steadiness
from offloadbench.analysis.comparison.steadiness import Trouble
from offloadbench.analysis.profile import contamination, plain_count
from offloadbench.analysis.tables.results import Results, first_event
from offloadbench.analysis.trial import link_emulator, metrics, toggle_proof
from offloadbench.base.sentence import COUNTED, Quantity, Quoted, Sentence, Source, join, say
from offloadbench.base.words import percent
from offloadbench.model import ProfileCounts, Run, Trial

_LOSS_RATIO = 0.001
_TOOL_RATIO = 0.01
# between the profile's busy time and the bounds of the idle clock's; of wake-up latency beside busy time
_DISAGREE_RATIO = 0.05
_WAKING_RATIO = 0.05
_WIRE_MARGIN_RATIO = 0.15
_FULL_CPU_RATIO = 0.97
# the origin experiment averages 60 samples of one second
_ORIGIN_WINDOW_S = 60.0
_NAMED = 3
# words that say where, not what
_PLACES = frozenset({"bench", "nic", "workload", "case", "where", "text", "process", "comm"})


@dataclass(frozen=True, slots=True)
class Caveat:
    """One thing to know, a sentence or two.

    Attributes:
        weight: the less, the more it speaks against the rest.
        more: the same of other trials.
    """

    text: Sentence
    weight: int
    more: tuple[Sentence, ...] = ()

    @property
    def first(self) -> Sentence:
        """Told once, with how many more there are."""
        if not self.more:
            return self.text
        return say("{text} ({count} more alike)", text=self.text, count=Quantity(len(self.more), _whole, COUNTED))


def _whole(value: float) -> str:
    return f"{value:.0f}"


def _hundredths(value: float) -> str:
    return f"{value:.2f}"


@dataclass(frozen=True, slots=True)
class _NamedTrial:
    """A trial with the words that name it, and its row of `quality.quality`."""

    run: Run
    trial: Trial
    bench: str
    quality: Mapping[Hashable, float]

    @property
    def keys(self) -> dict[str, object]:
        """Column -> value of its rows."""
        trial = self.trial
        names = {"workload": trial.workload, "case": trial.case, "repeat": trial.repeat}
        return {"run": self.run.run_id, **names}

    @property
    def name(self) -> Sentence:
        """Bench, workload, case, repeat."""
        return _trial_name(self.bench, self.trial.workload, self.trial.case, self.trial.repeat, self.run.run_id)

    def figure(self, column: str, form: Callable[[float], str] = percent) -> Quantity:
        """Of its row of the table `quality`."""
        return Quantity(self.quality[column], form, Source("quality", column, self.keys))

    def says(self, sentence: Sentence) -> Sentence:
        """A sentence about it."""
        return say("{name}: {sentence}", name=self.name, sentence=sentence)


def _trial_name(bench: str, workload: str, case: str, repeat: int, run_id: str) -> Sentence:
    keys = {"run": run_id, "workload": workload, "case": case, "repeat": repeat}
    return say(
        "{bench}, {workload}, case {case}, repeat {repeat}",
        bench=bench,
        workload=workload,
        case=case,
        repeat=Quantity(repeat, _whole, Source("trials", "repeat", keys)),
    )


def _names(found: list[str]) -> Sentence:
    return join(", ", list(dict.fromkeys(found)))


def _outcomes(results: Results, seen: list[_NamedTrial]) -> Iterator[Sentence]:
    for item in seen:
        if item.trial.outcome != "ok":
            yield say(
                "{name} {outcome}: {reason}. No finding rests on it.",
                name=item.name,
                outcome=item.trial.outcome,
                reason=item.trial.reason or "no reason recorded",
            )
    for run in results.runs:
        planned = len(run.plan.order)
        missing = planned - len(run.trials)
        if missing > 0:
            mine = {"run": run.run_id}
            yield say(
                "Run {run} is not complete: {missing} of {planned} planned trials are missing; go on with "
                "`offloadbench run --resume`.",
                run=run.run_id,
                missing=Quantity(missing, _whole, Source("benches", "trials_missing", mine)),
                planned=Quantity(planned, _whole, Source("benches", "trials_planned", mine)),
            )


def _proofs(results: Results, verdicts: tuple[str, ...]) -> Iterator[Sentence]:
    table = results.proofs
    keys = ["nic", "subject", "verdict", "detail"]
    for group, rows in table[table["verdict"].isin(verdicts)].groupby(keys, sort=False):
        nic, subject, verdict, detail = (str(part) for part in group)
        cases = say("{nic}, case {cases}", nic=nic, cases=_names([str(case) for case in rows["case"]]))
        parts = {"subject": subject, "cases": cases, "detail": detail}
        if verdict == toggle_proof.CONTRADICTED:
            yield say("{subject} was contradicted ({cases}): {detail}. No finding rests on these trials.", **parts)
        elif verdict == toggle_proof.NOT_SHOWN:
            yield say("{subject} was not shown to act ({cases}): {detail}.", **parts)
        elif verdict == toggle_proof.NO_EFFECT:
            yield say("{subject} had no effect ({cases}): {detail}. The figures say nothing about it.", **parts)
        else:
            yield say("{subject} is {detail} ({nic}); the cases do not differ in it.", nic=nic, **parts)


def _losses(seen: list[_NamedTrial]) -> Iterator[Sentence]:
    # nothing is above a bound where it was not measured: NaN compares as false
    for item in seen:
        again, dropped, damaged, used = (
            item.quality[name] for name in ("retrans_ratio", "tx_dropped_ratio", "csum_errors", "tool_cpu_ratio")
        )
        if again > _LOSS_RATIO:
            yield item.says(
                say(
                    "{again} of the segments were sent again; loss costs CPU and throughput of its own.",
                    again=item.figure("retrans_ratio"),
                )
            )
        # a trial of today warns of it by itself, from the first packet on
        if dropped > _LOSS_RATIO and not _counts_drops(item.trial):
            lost = item.figure("tx_dropped_ratio")
            yield item.says(say("the NIC dropped {lost} of its packets when sending.", lost=lost))
        if damaged > 0:
            yield item.says(
                say(
                    "{damaged} received segments had a wrong checksum: data may be damaged on the way.",
                    damaged=item.figure("csum_errors", _whole),
                )
            )
        if used > _TOOL_RATIO:
            tool = item.figure("tool_cpu_ratio")
            yield item.says(say("offloadbench itself used {tool} of the CPU it measured.", tool=tool))


def _counts_drops(trial: Trial) -> bool:
    return any(name in device.growth for device in trial.statistics for name in ("link.tx_dropped",))


def _warnings(seen: list[_NamedTrial]) -> Iterator[Sentence]:
    """What the engine said of each trial; contamination is judged anew."""
    for item in seen:
        judged = item.trial.outcome == "ok"
        for warning in item.trial.warnings:
            if not (judged and warning.startswith(contamination.PREFIX)):
                yield item.says(say("{warning}", warning=warning))


def _steadiness(results: Results, named: Collection[tuple[str, str]]) -> Iterator[Sentence]:
    """Doubts about a steady state, each with its remedy; `foreign` says more of the trials that it names."""
    for run in results.runs:
        doubts = steadiness.doubts(run, results.benches[run.run_id])
        for doubt in doubts:
            if doubt.trouble is not Trouble.CONTAMINATION or (run.run_id, doubt.where) not in named:
                yield doubt.sentence


def _profiles(results: Results, seen: list[_NamedTrial]) -> Iterator[Sentence]:
    for item in seen:
        counts = item.trial.profile
        if counts is not None and (counts.lost_samples or counts.throttled):
            lost = item.figure("profile_lost_samples", _whole)
            total = Source("quality", "profile_samples", item.keys, plus=lost.source)
            yield item.says(
                say(
                    "the profiler lost {lost} of {total} samples and was throttled {throttled} times; shares of "
                    "modules may be off.",
                    lost=lost,
                    total=Quantity(counts.samples + counts.lost_samples, _whole, total),
                    throttled=item.figure("profile_throttled", _whole),
                )
            )
        if counts is not None:
            yield from _counted(item, counts)
    quantities = {e.quantity for i in seen if i.trial.profile for e in i.trial.profile.events}
    if "kernel_cpu_time_ns" in quantities:
        yield say(
            "The profile counts time, not instructions: its samples were taken by a timer (cpu-clock), as "
            "no hardware counter was to be had. Samples that fell due while interrupts were off land on the "
            "instruction after: the irq-off skid (irq_shadow), which no module can claim."
        )
    yield from _clocks(seen)


def _counted(item: _NamedTrial, counts: ProfileCounts) -> Iterator[Sentence]:
    """The sum of the samples against a plain count of the same window."""
    yield from (item.says(sentence) for sentence in plain_count.sentences(counts, item.keys))


def foreign(results: Results) -> dict[tuple[str, str], Sentence]:
    """Trials whose modules describe the work of other programs too: (run id, words that name it) -> a sentence."""
    keys = ["nic", "workload", "case", "repeat", "run"]
    table = results.processes
    table = table.assign(taken=table["share_ratio"] * table["foreign_ratio"])
    shares = table.groupby([*keys, "event"])["taken"].sum()
    suspects = shares[shares > contamination.FOREIGN_RATIO].reset_index()[keys].drop_duplicates()
    # the rows of a trial side by side: a table of its own for each takes a hundred times as long
    trials: dict[tuple[str, ...], list[tuple[str, str, str, float]]] = {}
    columns = [*keys, "event", "quantity", "process", "taken"]
    for *key, event, quantity, process, taken in table.merge(suspects, on=keys)[columns].itertuples(index=False):
        known = 0.0 if math.isnan(taken) else float(taken)
        trials.setdefault(tuple(map(str, key)), []).append((str(event), str(quantity), str(process), known))
    found: dict[tuple[str, str], Sentence] = {}
    for (nic, workload, case, repeat, run), rows in trials.items():
        primary = first_event((event, quantity) for event, quantity, _, _ in rows)
        parts = sorted(((taken, name) for event, _, name, taken in rows if event == primary), key=lambda part: -part[0])
        share = math.fsum(taken for taken, _ in parts)
        if share > contamination.FOREIGN_RATIO:
            mine = {"run": run, "workload": workload, "case": case, "repeat": int(repeat), "event": primary}
            names = [
                say("{process} {share}", process=name, share=_taken(taken, mine, name))
                for taken, name in parts[:_NAMED]
                if taken
            ]
            where = _trial_name(nic, workload, case, int(repeat), run)
            found[run, str(where)] = say(
                "{where}: {share} of the busy weight was the work of other processes ({names}); its modules describe "
                "them too. Repeat it on an idle machine.",
                where=where,
                share=_taken(share, mine),
                names=join(", ", names),
            )
    return found


def _taken(share: float, trial: Mapping[str, object], process: object = None) -> Quantity:
    """What other processes, or one of them, took of a trial's busy time."""
    where = trial if process is None else {**trial, "process": process}
    return Quantity(share, percent, Source("processes", "share_ratio", where, sum, times="foreign_ratio"))


def _clocks(seen: list[_NamedTrial]) -> Iterator[Sentence]:
    """The profiler's busy time against the idle clock's, and the wake-up latency that is in neither."""
    waking = []
    apart = []
    for item in seen:
        sampled, busy, woken = (item.quality[name] for name in ("profile_busy_s", "busy_s", "wakeup_latency_s"))
        low, high = item.quality["busy_low_s"], item.quality["busy_high_s"]
        by_clock = item.figure("busy_s", _hundredths)
        if woken > _WAKING_RATIO * busy:
            latency = item.figure("wakeup_latency_s", _hundredths)
            waking.append(
                say("{name}: {latency} s beside {busy} s busy", name=item.name, latency=latency, busy=by_clock)
            )
        if sampled < low * (1 - _DISAGREE_RATIO) or sampled > high * (1 + _DISAGREE_RATIO):
            profiled = item.figure("profile_busy_s", _hundredths)
            apart.append(say("{name}: {sampled} s against {busy} s", name=item.name, sampled=profiled, busy=by_clock))
    if waking:
        yield say(
            "Halted CPUs took time to wake up ({waking}). No instruction ran in this wake-up latency: it is idle time, "
            "in no busy time and in no share of a module.",
            waking=join("; ", waking),
        )
    if apart:
        yield say(
            "The profiler saw another busy time than the idle clock ({apart}). CPU s/GB rests on the idle clock, the "
            "modules on the profiler: they do not add up to it.",
            apart=join("; ", apart),
        )


def _full_load_side(item: _NamedTrial) -> Sentence:
    """Which end was full, where it was not the one under test, and not the link."""
    figures = metrics.of_trial(item.run, item.trial) if item.trial.outcome == "ok" else None
    if figures is None or link_emulator.full(item.trial.wire, item.run.bed.line_rate_bits_per_s):
        return say("")
    loaded, tested = figures.peer_cpu_ratio, figures.cpu_busy_ratio
    # nothing is above a bound where it was not measured: NaN compares as false
    if not (loaded > _FULL_CPU_RATIO and tested < _FULL_CPU_RATIO):
        return say("")
    return say(
        "the CPUs of the load side were {loaded} busy, those under test {tested}: the throughput may be the load "
        "side's limit.",
        loaded=Quantity(loaded, percent, Source("trials", "peer_cpu_ratio", item.keys)),
        tested=Quantity(tested, percent, Source("trials", "cpu_busy_ratio", item.keys)),
    )


def _usable(results: Results, run: Run) -> dict[str, list[Trial]]:
    """Workload -> trials of the run that findings rest on."""
    rows = results.trials[(results.trials["run"] == run.run_id) & results.trials["usable"]]
    keys = set(zip(rows["workload"], rows["case"], rows["repeat"], strict=True))
    found: dict[str, list[Trial]] = {}
    for trial in run.trials:
        if (trial.workload, trial.case, trial.repeat) in keys:
            found.setdefault(trial.workload, []).append(trial)
    return found


def _beds(results: Results, seen: list[_NamedTrial]) -> Iterator[Sentence]:
    for item in seen:
        idle, behind_s, frames, dropped = (
            item.quality[f"wire_{name}"] for name in ("idle_ratio", "behind_s", "frames", "dropped_frames")
        )
        limit = link_emulator.saturated(item.trial.wire, item.run.bed.line_rate_bits_per_s)
        if idle < _WIRE_MARGIN_RATIO and item.trial.outcome == "ok" and not limit:
            margin = item.figure("wire_idle_ratio")
            yield item.says(say("the emulated cable was idle only {margin} of the time: little margin.", margin=margin))
        if limit and item.trial.outcome == "ok":
            yield item.says(say("{limit}. No finding rests on it.", limit=limit))
        if item.trial.wire and behind_s > _LOSS_RATIO * item.trial.wire.interval_s:
            late = item.figure("wire_behind_s", _hundredths)
            yield item.says(say("the emulated cable fell {late} s behind: its throughput is too low.", late=late))
        if dropped > _LOSS_RATIO * max(1, frames):
            yield item.says(
                say(
                    "the emulated cable dropped {dropped} of {frames} frames.",
                    dropped=item.figure("wire_dropped_frames", _whole),
                    frames=item.figure("wire_frames", _whole),
                )
            )
        text = _full_load_side(item)
        if text:
            yield item.says(text)
    for run in results.runs:
        nic = results.benches[run.run_id]
        if run.bed.kind.startswith("lab"):
            for workload, chosen in _usable(results, run).items():
                for text in alike.unlike(chosen):
                    yield say("{nic}, {workload}: {text}", nic=nic, workload=workload, text=text)
        yield from (say("{nic}: {text}.", nic=nic, text=text) for text in run.bed.shared_cpus)
        yield from (say("{nic}: {text}", nic=nic, text=text) for text in run.warnings)


def _emulated(results: Results) -> Iterator[Sentence]:
    for run in results.runs:
        nic = results.benches[run.run_id]
        if run.bed.kind.startswith("lab"):
            yield say(
                "{nic} is an emulated NIC (driver {driver}): the work of the kernel above the driver is real, a real "
                "driver's and its DMA's are missing. Repeat it with your NIC before you decide: "
                "`offloadbench run --nic IFNAME`.",
                nic=nic,
                driver=run.nic.driver,
            )


def _methods(results: Results, seen: list[_NamedTrial]) -> Iterator[Sentence]:
    shortest = min((item for item in seen if item.trial.outcome == "ok"), key=_window_s, default=None)
    if shortest and _window_s(shortest) < _ORIGIN_WINDOW_S - 1:
        window = shortest.figure("window_s", _whole)
        yield say("Windows of {window} s are short: the origin experiment averages 60 s.", window=window)
    if "none" in results.cases:
        yield say(
            "Linux has no switch for the IP header checksum that the origin article toggled; it is always computed."
        )


def _single(results: Results) -> Iterator[Sentence]:
    usable = results.trials[results.trials["usable"]]
    sides = usable.groupby(["nic", "workload", "case"]).size()
    if len(sides) and int(sides.min()) == 1:
        yield say(
            "One trial a case is an indication: it does not show how much trials differ. Use --repeats 5 or more."
        )


def _window_s(item: _NamedTrial) -> float:
    return item.trial.window_s


def collect(results: Results, others: Mapping[tuple[str, str], Sentence]) -> list[Caveat]:
    """Every caveat, each once, the gravest kind first.

    Args:
        others: see `foreign`.
    """
    trials = [(run, trial) for run in results.runs for trial in run.trials]
    seen = [
        _NamedTrial(run, trial, results.benches[run.run_id], measured)
        for (run, trial), measured in zip(trials, results.quality.to_dict("records"), strict=True)
    ]
    told = [
        (1, _outcomes(results, seen)),
        (1, _proofs(results, (toggle_proof.CONTRADICTED, toggle_proof.NOT_SHOWN))),
        (3, _losses(seen)),
        (4, _warnings(seen)),
        (0, others.values()),
        (3, _steadiness(results, others)),
        (2, _single(results)),
        (5, _methods(results, seen)),
        (5, _proofs(results, (toggle_proof.NO_EFFECT, toggle_proof.FIXED))),
        (5, _profiles(results, seen)),
        (3, _beds(results, seen)),
        (2, _emulated(results)),
    ]
    found: dict[tuple[str, ...], list[tuple[Sentence, int]]] = {}
    for weight, texts in told:
        for text in dict.fromkeys(texts):
            alike_ones = found.setdefault(_kind(text), [])
            if all(text != known for known, _ in alike_ones):
                alike_ones.append((text, weight))
    return [
        Caveat(first, min(weight for _, weight in every), tuple(text for text, _ in rest))
        for every in found.values()
        for (first, _), *rest in [every]
    ]


def _kind(text: Sentence) -> tuple[str, ...]:
    """The same for sentences that say the same of different trials."""
    words = [piece.text if isinstance(piece, Quoted) and piece.name not in _PLACES else piece for piece in text.pieces]
    return tuple(re.sub(r"[\d.]+", "#", word) for word in words if isinstance(word, str))
