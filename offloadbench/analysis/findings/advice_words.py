"""Advice as sentences: an order only where there is one, and else what was shown and what would have been."""

from __future__ import annotations

from offloadbench.analysis.comparison import change_words, ladder
from offloadbench.analysis.comparison.judging import Answers
from offloadbench.analysis.findings.advice import Advice, Kind, Settings
from offloadbench.analysis.statistics.holm import CHANGED, CONTAMINATED, INDICATION, TOO_FEW
from offloadbench.base import words

# a run with fewer repeats has a verdict on obvious differences only
_REPEATS_ADVISED = 5


def title(found: Advice, answers: Answers) -> str:
    """For a heading."""
    step = _step(found, answers)
    cases = f"case {found.state} against {found.against}"
    return f"{step.subject.name} ({cases})" if step else cases


def _step(found: Advice, answers: Answers) -> ladder.LadderStep | None:
    """The step of the ladder between the two cases, if there is one."""
    steps = ladder.steps(answers.seen, found.workload)
    return next((step for step in steps if (step.on, step.off) == (found.state, found.against)), None)


def _side(found: Advice, case: str) -> str:
    """`case tso (the state as found)`."""
    return f"case {case} (the state as found)" if found.start.as_found and case == found.start.case else f"case {case}"


def _figures(found: Advice) -> str:
    return f"{change_words.cost(found.cost)}; {change_words.rate(found.rate)}"


def notes(found: Advice, settings: Settings, *, full_cpu: bool) -> str:
    """What to know beside the advice: what it switches besides, and which cases are as good.

    Args:
        settings: what leads from the state as found to the advised one.
        full_cpu: the measured CPUs were full on both sides.
    """
    told = []
    if found.kind is Kind.SWITCH:
        if settings.switches.get("tx") is False and settings.switches.get("tso") is False:
            told.append("Without TX checksum offload the kernel drops TSO, so it goes off as well.")
        if settings.gso_max_segs == 1:
            told.append("It takes gso_max_segs 1: `gso off` alone changes nothing for TCP since Linux 4.17.")
    if found.kind is Kind.SWITCH and found.cheaper:
        told.append(f"Case {found.cheaper} seems to cost this workload still less, but one state serves all workloads.")
    if found.kind is Kind.SWITCH and found.beside:
        told.append(
            f"One state serves all workloads: case {', '.join(found.beside)}, ordered for another, is not shown to "
            "differ from this one."
        )
    if found.slower and found.kind in (Kind.KEEP, Kind.BEST):
        told.append(f"Less CPU per GB, but less throughput too: case {', '.join(found.slower)}.")
    if found.tied and found.kind in (Kind.KEEP, Kind.SWITCH, Kind.BEST):
        nouns = ("Case", "is") if len(found.tied) == 1 else ("Cases", "are")
        told.append(f"{nouns[0]} {', '.join(found.tied)} {nouns[1]} not shown to differ from it in CPU per GB.")
    if full_cpu:
        told.append("The CPU was full in both cases, so it set the throughput.")
    return " ".join(told)


def sentence(found: Advice, answers: Answers) -> str:
    """The advice, or why there is none."""
    if found.kind is Kind.KEEP:
        step = _step(found, answers)
        what = f"{step.subject.name} on (case {found.state}, the state as found)" if step else _side(found, found.state)
        return f"Keep {what}: against case {found.against} it {_figures(found)}."
    if found.kind is Kind.SWITCH:
        start = "the state as found" if found.start.as_found else "the reference"
        return f"Switch to case {found.state}: against case {found.against}, {start}, it {_figures(found)}."
    if found.kind is Kind.WEIGH:
        price = f" But what is best for {found.elsewhere} is another state of this NIC." if found.elsewhere else ""
        told = f"Weigh {_side(found, found.state)}: against {_side(found, found.against)}, it {_figures(found)}"
        return f"{told}.{price}"
    if found.kind is Kind.BEST:
        return (
            f"Of the states measured, case {found.state} costs the least CPU: against case {found.against} it "
            f"{_figures(found)}. Nothing is advised, since the state as found was not measured."
        )
    pair = f"{_side(found, found.state)} against {_side(found, found.against)}"
    if found.kind is Kind.APART:
        return (
            f"Nothing is advised: by the idle clock {pair} {_figures(found)}; by the profile it is the other way round."
        )
    return _open(found, pair)


def _open(found: Advice, pair: str) -> str:
    """Why nothing is advised, and what a reader can do."""
    cost = found.cost
    if cost.verdict == INDICATION:
        repeats = max(_REPEATS_ADVISED, cost.trials_needed)
        return (
            f"An indication, no verdict: {pair}: {change_words.cost(cost)}, {change_words.rate(found.rate)}. "
            f"One trial a side cannot show how much trials differ: use `--repeats {repeats}`."
        )
    if cost.verdict == TOO_FEW:
        repeats = max(_REPEATS_ADVISED, cost.trials_needed)
        return (
            f"Too few repeats for a verdict: {pair}: {change_words.cost(cost)}. At least {cost.trials_needed} are "
            f"needed: use `--repeats {repeats}`."
        )
    if cost.verdict == CONTAMINATED:
        sides = f"{words.figure(cost.estimate.a)} → {words.figure(cost.estimate.b)} CPU s/GB"
        return f"No result: {cost.reason}, which could be the difference ({pair}: {sides}). Repeat on an idle machine."
    if cost.verdict == CHANGED:
        return f"Nothing is advised: {pair} {_figures(found)}, but the two differ in nothing that acts on TCP."
    start = _side(found, found.start.case)
    return (
        f"No state is shown to cost less or more CPU per GB than {start}. The largest difference is {pair}: "
        f"{change_words.cost(cost)}; {change_words.seen(cost)}."
    )
