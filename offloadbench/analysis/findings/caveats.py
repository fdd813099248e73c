"""What a reader must know before believing a run, written from its data."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass

from offloadbench.analysis.comparison import alike, steadiness
from offloadbench.analysis.comparison.steadiness import Trouble
from offloadbench.analysis.profile import contamination, plain_count
from offloadbench.analysis.tables.results import Results, first_event
from offloadbench.analysis.trial import link_emulator, metrics, toggle_proof
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


@dataclass(frozen=True, slots=True)
class Caveat:
    """One thing to know, a sentence or two."""

    text: str


@dataclass(frozen=True, slots=True)
class _NamedTrial:
    """A trial with the words that name it, and its row of `quality.quality`."""

    run: Run
    trial: Trial
    name: str
    quality: Mapping[Hashable, float]


def _names(found: list[str]) -> str:
    return ", ".join(dict.fromkeys(found))


def _outcomes(results: Results, seen: list[_NamedTrial]) -> Iterator[str]:
    for item in seen:
        if item.trial.outcome != "ok":
            reason = item.trial.reason or "no reason recorded"
            yield f"{item.name} {item.trial.outcome}: {reason}. No finding rests on it."
    for run in results.runs:
        missing = len(run.plan.order) - len(run.trials)
        if missing > 0:
            yield (
                f"Run {run.run_id} is not complete: {missing} of {len(run.plan.order)} planned trials are missing; "
                "go on with `offloadbench run --resume`."
            )


def _proofs(results: Results, verdicts: tuple[str, ...]) -> Iterator[str]:
    table = results.proofs
    keys = ["nic", "subject", "verdict", "detail"]
    for group, rows in table[table["verdict"].isin(verdicts)].groupby(keys, sort=False):
        nic, subject, verdict, detail = (str(part) for part in group)
        cases = f"{nic}, case {_names([str(case) for case in rows['case']])}"
        if verdict == toggle_proof.CONTRADICTED:
            yield f"{subject} was contradicted ({cases}): {detail}. No finding rests on these trials."
        elif verdict == toggle_proof.NOT_SHOWN:
            yield f"{subject} was not shown to act ({cases}): {detail}."
        elif verdict == toggle_proof.NO_EFFECT:
            yield f"{subject} had no effect ({cases}): {detail}. The figures say nothing about it."
        else:
            yield f"{subject} is {detail} ({nic}); the cases do not differ in it."


def _losses(seen: list[_NamedTrial]) -> Iterator[str]:
    # nothing is above a bound where it was not measured: NaN compares as false
    for item in seen:
        again, dropped, damaged, used = (
            item.quality[name] for name in ("retrans_ratio", "tx_dropped_ratio", "csum_errors", "tool_cpu_ratio")
        )
        if again > _LOSS_RATIO:
            text = f"{percent(again)} of the segments were sent again; loss costs CPU and throughput of its own."
            yield f"{item.name}: {text}"
        # a trial of today warns of it by itself, from the first packet on
        if dropped > _LOSS_RATIO and not _counts_drops(item.trial):
            yield f"{item.name}: the NIC dropped {percent(dropped)} of its packets when sending."
        if damaged > 0:
            yield f"{item.name}: {damaged:.0f} received segments had a wrong checksum: data may be damaged on the way."
        if used > _TOOL_RATIO:
            yield f"{item.name}: offloadbench itself used {percent(used)} of the CPU it measured."


def _counts_drops(trial: Trial) -> bool:
    return any(name in device.growth for device in trial.statistics for name in ("link.tx_dropped",))


def _warnings(seen: list[_NamedTrial]) -> Iterator[str]:
    """What the engine said of each trial; contamination is judged anew."""
    for item in seen:
        judged = item.trial.outcome == "ok"
        for warning in item.trial.warnings:
            if not (judged and warning.startswith(contamination.PREFIX)):
                yield f"{item.name}: {warning}"


def _steadiness(results: Results, named: Collection[tuple[str, str]]) -> Iterator[str]:
    """Doubts about a steady state, each with its remedy; `foreign` says more of the trials that it names."""
    for run in results.runs:
        doubts = steadiness.doubts(run, results.benches[run.run_id])
        yield from steadiness.told(
            [d for d in doubts if d.trouble is not Trouble.CONTAMINATION or (run.run_id, d.where) not in named]
        )


def _profiles(results: Results, seen: list[_NamedTrial]) -> Iterator[str]:
    for item in seen:
        counts = item.trial.profile
        if counts is not None and (counts.lost_samples or counts.throttled):
            total = counts.samples + counts.lost_samples
            yield (
                f"{item.name}: the profiler lost {counts.lost_samples} of {total} samples and was throttled "
                f"{counts.throttled} times; shares of modules may be off."
            )
        if counts is not None:
            yield from _counted(item.name, counts)
    quantities = {e.quantity for i in seen if i.trial.profile for e in i.trial.profile.events}
    if "kernel_cpu_time_ns" in quantities:
        yield (
            "The profile counts time, not instructions: its samples were taken by a timer (cpu-clock), as "
            "no hardware counter was to be had. Samples that fell due while interrupts were off land on the "
            "instruction after: the irq-off skid (irq_shadow), which no module can claim."
        )
    yield from _clocks(seen)


def _counted(name: str, counts: ProfileCounts) -> Iterator[str]:
    """The sum of the samples against a plain count of the same window."""
    yield from (f"{name}: {sentence}" for sentence in plain_count.warnings(counts))


def foreign(results: Results) -> dict[tuple[str, str], str]:
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
    found = {}
    for (nic, workload, case, repeat, run), rows in trials.items():
        primary = first_event((event, quantity) for event, quantity, _, _ in rows)
        parts = sorted(((taken, name) for event, _, name, taken in rows if event == primary), key=lambda part: -part[0])
        share = math.fsum(taken for taken, _ in parts)
        if share > contamination.FOREIGN_RATIO:
            names = ", ".join(f"{name} {percent(taken)}" for taken, name in parts[:3] if taken)
            where = f"{nic}, {workload}, case {case}, repeat {repeat}"
            found[run, where] = (
                f"{where}: {percent(share)} of the busy weight was the work of other processes ({names}); its modules "
                "describe them too. Repeat it on an idle machine."
            )
    return found


def _clocks(seen: list[_NamedTrial]) -> Iterator[str]:
    """The profiler's busy time against the idle clock's, and the wake-up latency that is in neither."""
    waking = []
    apart = []
    for item in seen:
        sampled, busy, woken = (item.quality[name] for name in ("profile_busy_s", "busy_s", "wakeup_latency_s"))
        low, high = item.quality["busy_low_s"], item.quality["busy_high_s"]
        if woken > _WAKING_RATIO * busy:
            waking.append(f"{item.name}: {woken:.2f} s beside {busy:.2f} s busy")
        if sampled < low * (1 - _DISAGREE_RATIO) or sampled > high * (1 + _DISAGREE_RATIO):
            apart.append(f"{item.name}: {sampled:.2f} s against {busy:.2f} s")
    if waking:
        yield (
            f"Halted CPUs took time to wake up ({'; '.join(waking)}). No instruction ran in this wake-up latency: it "
            "is idle time, in no busy time and in no share of a module."
        )
    if apart:
        yield (
            f"The profiler saw another busy time than the idle clock ({'; '.join(apart)}). CPU s/GB rests on the idle "
            "clock, the modules on the profiler: they do not add up to it."
        )


def _full_load_side(item: _NamedTrial) -> str:
    """Which end was full, where it was not the one under test, and not the link."""
    figures = metrics.of_trial(item.run, item.trial) if item.trial.outcome == "ok" else None
    if figures is None or link_emulator.full(item.trial.wire, item.run.bed.line_rate_bits_per_s):
        return ""
    loaded, tested = figures.peer_cpu_ratio, figures.cpu_busy_ratio
    # nothing is above a bound where it was not measured: NaN compares as false
    if not (loaded > _FULL_CPU_RATIO and tested < _FULL_CPU_RATIO):
        return ""
    return (
        f"the CPUs of the load side were {percent(loaded)} busy, those under test {percent(tested)}: the throughput "
        "may be the load side's limit."
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


def _beds(results: Results, seen: list[_NamedTrial]) -> Iterator[str]:
    for item in seen:
        idle, behind_s, frames, dropped = (
            item.quality[f"wire_{name}"] for name in ("idle_ratio", "behind_s", "frames", "dropped_frames")
        )
        limit = link_emulator.saturated(item.trial.wire, item.run.bed.line_rate_bits_per_s)
        if idle < _WIRE_MARGIN_RATIO and item.trial.outcome == "ok" and not limit:
            yield f"{item.name}: the emulated cable was idle only {percent(idle)} of the time: little margin."
        if limit and item.trial.outcome == "ok":
            yield f"{item.name}: {limit}. No finding rests on it."
        if item.trial.wire and behind_s > _LOSS_RATIO * item.trial.wire.interval_s:
            yield f"{item.name}: the emulated cable fell {behind_s:.2f} s behind: its throughput is too low."
        if dropped > _LOSS_RATIO * max(1, frames):
            yield f"{item.name}: the emulated cable dropped {dropped:.0f} of {frames:.0f} frames."
        text = _full_load_side(item)
        if text:
            yield f"{item.name}: {text}"
    for run in results.runs:
        nic = results.benches[run.run_id]
        if run.bed.kind.startswith("lab"):
            yield (
                f"{nic} is an emulated NIC (driver {run.nic.driver}): the work of the kernel above the driver is "
                "real, a real driver's and its DMA's are missing. Repeat it with your NIC before you decide: "
                "`offloadbench run --nic IFNAME`."
            )
            for workload, chosen in _usable(results, run).items():
                yield from (f"{nic}, {workload}: {text}" for text in alike.unlike(chosen))
        yield from (f"{nic}: {text}." for text in run.bed.shared_cpus)
        yield from (f"{nic}: {text}" for text in run.warnings)


def _methods(results: Results, seen: list[_NamedTrial]) -> Iterator[str]:
    windows = {item.trial.window_s for item in seen if item.trial.outcome == "ok"}
    if windows and min(windows) < _ORIGIN_WINDOW_S - 1:
        yield f"Windows of {min(windows):.0f} s are short: the origin experiment averages 60 s."
    usable = results.trials[results.trials["usable"]]
    sides = usable.groupby(["nic", "workload", "case"]).size()
    if len(sides) and int(sides.min()) == 1:
        yield "One trial a case is an indication: it does not show how much trials differ. Use --repeats 5 or more."
    if "none" in results.cases:
        yield "Linux has no switch for the IP header checksum that the origin article toggled; it is always computed."


def collect(results: Results, others: Mapping[tuple[str, str], str]) -> list[Caveat]:
    """Every caveat, each once, the gravest kind first.

    Args:
        others: see `foreign`.
    """
    trials = [(run, trial) for run in results.runs for trial in run.trials]
    seen = [
        _NamedTrial(
            run,
            trial,
            f"{results.benches[run.run_id]}, {trial.workload}, case {trial.case}, repeat {trial.repeat}",
            measured,
        )
        for (run, trial), measured in zip(trials, results.quality.to_dict("records"), strict=True)
    ]
    texts = [
        *_outcomes(results, seen),
        *_proofs(results, (toggle_proof.CONTRADICTED, toggle_proof.NOT_SHOWN)),
        *_losses(seen),
        *_warnings(seen),
        *others.values(),
        *_steadiness(results, others),
        *_methods(results, seen),
        *_proofs(results, (toggle_proof.NO_EFFECT, toggle_proof.FIXED)),
        *_profiles(results, seen),
        *_beds(results, seen),
    ]
    return [Caveat(text) for text in dict.fromkeys(texts)]
