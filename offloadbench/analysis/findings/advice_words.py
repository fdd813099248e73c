"""Advice as sentences: an order only where there is one, and else what was shown and what would have been."""

from __future__ import annotations

from collections.abc import Sequence

from offloadbench.analysis.comparison import change_words, ladder
from offloadbench.analysis.comparison.judging import Answers
from offloadbench.analysis.findings.advice import Advice, Kind, Settings
from offloadbench.analysis.statistics.holm import CHANGED, CONTAMINATED, INDICATION, TOO_FEW, Judgement
from offloadbench.base.sentence import Quantity, Sentence, join, only, say

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


def _figures(found: Advice) -> Sentence:
    return say("{cost}; {rate}", cost=change_words.cost(found.cost), rate=change_words.rate(found.rate))


def notes(found: Advice, settings: Settings, *, full_cpu: bool) -> Sentence:
    """What to know beside the advice: what it switches besides, and which cases are as good.

    Args:
        settings: what leads from the state as found to the advised one.
        full_cpu: the measured CPUs were full on both sides.
    """
    told = []
    if found.kind is Kind.SWITCH:
        if settings.switches.get("tx") is False and settings.switches.get("tso") is False:
            told.append(say("Without TX checksum offload the kernel drops TSO, so it goes off as well."))
        if settings.gso_max_segs == 1:
            told.append(say("It takes gso_max_segs 1: `gso off` alone changes nothing for TCP since Linux 4.17."))
    if found.kind is Kind.SWITCH and found.cheaper:
        told.append(
            say(
                "Case {cheaper} seems to cost this workload still less, but one state serves all workloads.",
                cheaper=found.cheaper,
            )
        )
    if found.kind is Kind.SWITCH and found.beside:
        told.append(
            say(
                "One state serves all workloads: case {beside}, ordered for another, is not shown to differ from this "
                "one.",
                beside=", ".join(found.beside),
            )
        )
    if found.slower and found.kind in (Kind.KEEP, Kind.BEST):
        told.append(say("Less CPU per GB, but less throughput too: case {slower}.", slower=", ".join(found.slower)))
    if found.tied and found.kind in (Kind.KEEP, Kind.SWITCH, Kind.BEST):
        tied = ", ".join(found.tied)
        told.append(
            say("Case {tied} is not shown to differ from it in CPU per GB.", tied=tied)
            if len(found.tied) == 1
            else say("Cases {tied} are not shown to differ from it in CPU per GB.", tied=tied)
        )
    if full_cpu:
        told.append(say("The CPU was full in both cases, so it set the throughput."))
    return join(" ", told)


def sentence(found: Advice, answers: Answers) -> Sentence:
    """The advice, or why there is none."""
    told = _figures(found)
    state, against = _side(found, found.state), _side(found, found.against)
    if found.kind is Kind.KEEP:
        step = _step(found, answers)
        what = f"{step.subject.name} on (case {found.state}, the state as found)" if step else state
        return say("Keep {what}: against case {against} it {told}.", what=what, against=found.against, told=told)
    if found.kind is Kind.SWITCH:
        start = "the state as found" if found.start.as_found else "the reference"
        return say(
            "Switch to case {state}: against case {against}, {start}, it {told}.",
            state=found.state,
            against=found.against,
            start=start,
            told=told,
        )
    if found.kind is Kind.WEIGH:
        price = (
            say(" But what is best for {elsewhere} is another state of this NIC.", elsewhere=found.elsewhere)
            if found.elsewhere
            else ""
        )
        return say(
            "Weigh {state}: against {against}, it {told}.{price}", state=state, against=against, told=told, price=price
        )
    if found.kind is Kind.BEST:
        return say(
            "Of the states measured, case {state} costs the least CPU: against case {against} it {told}. Nothing is "
            "advised, since the state as found was not measured.",
            state=found.state,
            against=found.against,
            told=told,
        )
    pair = f"{state} against {against}"
    if found.kind is Kind.APART:
        return say(
            "Nothing is advised: by the idle clock {pair} {told}; by the profile it is the other way round.",
            pair=pair,
            told=told,
        )
    return _open(found, pair)


def _advised(needed: int) -> int:
    return max(_REPEATS_ADVISED, needed)


def _repeats(cost: Judgement) -> Quantity:
    """How many repeats to use."""
    return Quantity(_advised(cost.trials_needed), change_words.whole)


def advised_repeats(cells: Sequence[float]) -> float:
    """From the repeats that a verdict needs."""
    return _advised(int(only(cells)))


def _open(found: Advice, pair: str) -> Sentence:
    """Why nothing is advised, and what a reader can do."""
    cost = found.cost
    told = change_words.cost(cost)
    if cost.verdict == INDICATION:
        return say(
            "An indication, no verdict: {pair}: {cost}, {rate}. One trial a side cannot show how much trials differ: "
            "use `--repeats {cost_repeats}`.",
            pair=pair,
            cost=told,
            rate=change_words.rate(found.rate),
            cost_repeats=_repeats(cost),
        )
    if cost.verdict == TOO_FEW:
        return say(
            "Too few repeats for a verdict: {pair}: {cost}. At least {cost_needed} are needed: use "
            "`--repeats {cost_repeats}`.",
            pair=pair,
            cost=told,
            cost_needed=Quantity(cost.trials_needed, change_words.whole),
            cost_repeats=_repeats(cost),
        )
    if cost.verdict == CONTAMINATED:
        return say(
            "No result: {reason}, which could be the difference ({pair}: {sides}). Repeat on an idle machine.",
            reason=cost.reason,
            pair=pair,
            sides=change_words.sides(cost),
        )
    if cost.verdict == CHANGED:
        return say(
            "Nothing is advised: {pair} {told}, but the two differ in nothing that acts on TCP.",
            pair=pair,
            told=_figures(found),
        )
    return say(
        "No state is shown to cost less or more CPU per GB than {start}. The largest difference is {pair}: {cost}; "
        "{seen}.",
        start=_side(found, found.start.case),
        pair=pair,
        cost=told,
        seen=change_words.seen(cost),
    )
