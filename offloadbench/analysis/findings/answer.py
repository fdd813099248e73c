"""The answer in one sentence, for whom it is to pay for: percent of CPU, and cores at the measured rate.

It says what the verdict says, and no more; figures and interval are the judge's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from offloadbench.analysis.comparison import change_words
from offloadbench.analysis.comparison.judging import blocks
from offloadbench.analysis.comparison.usable_trials import Observation, Observations
from offloadbench.analysis.findings.advice import Kind
from offloadbench.analysis.findings.findings import Finding, traces
from offloadbench.analysis.statistics.holm import CHANGED, CONTAMINATED, INDICATION, TOO_FEW
from offloadbench.base.sentence import Quantity, Sentence, Source, say
from offloadbench.base.units import format_rate
from offloadbench.base.words import figure, percent


@dataclass(frozen=True, slots=True)
class OffloadAnswer:
    """What the offloads do to the CPU: one sentence for whom it is to pay for, and what it rests on."""

    text: Sentence
    detail: Sentence


def answer(found: Finding, seen: Observations) -> OffloadAnswer:
    """By the comparison of a workload that carries its advice."""
    if found.advice and found.advice.kind is Kind.APART:
        return OffloadAnswer(found.sentence, say(""))
    cells = traces(found.nic, found.workload, found.on, found.off)
    return OffloadAnswer(_told(found, seen).traced(cells), _detail(found, seen).traced(cells))


def _told(found: Finding, seen: Observations) -> Sentence:
    cost = found.cost
    if cost.verdict == CONTAMINATED:
        return say("No result: {reason}. Repeat on an idle machine.", reason=cost.reason)
    ratio, _, _ = cost.ratios()
    subject, _, _ = found.title.partition(" (case ")
    parts: dict[str, str | Quantity] = {
        "subject": subject if subject != found.title else f"case {found.on}",
        "direction": "less" if ratio < 1 else "more",
        "change": change_words.size(cost),
        "cores": _cores(found, seen),
    }
    if cost.verdict == CHANGED:
        return say("With {subject}, {change} {direction} CPU for the same data: {cores}.", **parts)
    if cost.verdict == INDICATION:
        return say(
            "An indication from one trial a side, no verdict: with {subject}, {change} {direction} CPU for the same "
            "data: {cores}.",
            **parts,
        )
    if cost.verdict == TOO_FEW:
        needed = Quantity(cost.trials_needed, change_words.whole)
        return say(
            "Too few repeats for a verdict, which needs {cost_needed}: with {subject}, {change} {direction} CPU for "
            "the same data: {cores}.",
            cost_needed=needed,
            **parts,
        )
    would = Quantity(cost.detectable_change, change_words.part)
    return say(
        "No change of CPU use shown with {subject} ({cost_detectable} would have been): {cores}.",
        cost_detectable=would,
        **parts,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _all_cores(cpus: int, busy: Sequence[float]) -> float:
    return cpus * _mean(busy)


def _sides(found: Finding, seen: Observations) -> tuple[list[Observation], list[Observation]]:
    """The trials compared, off and on."""
    pairs = [pair for block in blocks(seen, found.workload, ((found.off, found.on),)) for pair in block]
    return [off for off, _ in pairs], [on for _, on in pairs]


def _cores(found: Finding, seen: Observations) -> Sentence:
    """Cores and goodput of both sides."""
    sides = _sides(found, seen)
    whole_machine = partial(_all_cores, len(seen.run.bed.dut_cpus))
    off, on = (_figure(side, "cpu_busy_ratio", figure, whole_machine) for side in sides)
    goodput_off, goodput_on = (_figure(side, "goodput_bits_per_s", format_rate, _mean) for side in sides)
    if str(goodput_off) == str(goodput_on):
        return say("{on} instead of {off} cores at {goodput} of goodput", on=on, off=off, goodput=goodput_on)
    return say(
        "{on} cores at {goodput_on} of goodput instead of {off} at {goodput_off}",
        on=on,
        off=off,
        goodput_on=goodput_on,
        goodput_off=goodput_off,
    )


def _detail(found: Finding, seen: Observations) -> Sentence:
    """Cases, interval, CPU busy and the layer-2 throughput; nothing of trials that others spoiled."""
    if found.cost.verdict == CONTAMINATED:
        return say("")
    inside = found.cost.verdict == INDICATION and not math.isnan(found.cost.ratios()[1])
    sides = _sides(found, seen)
    busy_off, busy_on = (_figure(side, "cpu_busy_ratio", percent, _mean) for side in sides)
    layer2_off, layer2_on = (_figure(side, "throughput_bits_per_s", format_rate, _mean) for side in sides)
    return say(
        "Case {on} against {off}: {interval}{inside}. CPU busy {busy_off} → {busy_on}; layer-2 throughput "
        "{layer2_off} → {layer2_on}.",
        on=found.on,
        off=found.off,
        interval=change_words.sized_interval(found.cost),
        inside=say(" of the scatter inside the two trials") if inside else "",
        busy_off=busy_off,
        busy_on=busy_on,
        layer2_off=layer2_off,
        layer2_on=layer2_on,
    )


def _figure(
    side: Sequence[Observation], column: str, form: Callable[[float], str], derive: Callable[[Sequence[float]], float]
) -> Quantity:
    trials = [one.trial for one in side]
    where = {
        "run": tuple(dict.fromkeys(one.run.run_id for one in side)),
        "workload": trials[0].workload,
        "case": tuple(dict.fromkeys(trial.case for trial in trials)),
        "repeat": tuple(dict.fromkeys(trial.repeat for trial in trials)),
    }
    values = [one.value(column) for one in side]
    return Quantity(derive(values), form, Source("trials", column, where, derive))
