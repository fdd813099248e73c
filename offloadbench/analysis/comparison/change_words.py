"""Changes in words, the same on every surface: findings, advice, effects, and the tables that hold them.

The names of their figures: `cost_` or `rate_`, and of the judgement `a`, `b` (the two sides), `ratio`, `low`, `high`
(b over a with its interval), `detectable`, `needed`. `sources` gives each of them the cells that it stands in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from offloadbench.analysis.statistics.holm import CHANGED, CONTAMINATED, INDICATION, TOO_FEW, UNDECIDED, Judgement
from offloadbench.base.sentence import Quantity, Sentence, Source, amount, say
from offloadbench.base.units import format_change, format_rate, format_ratio
from offloadbench.base.words import figure

# from here a factor is easier to read than percent
_TIMES_FROM = 3.0
_COST, _RATE = "cost_", "rate_"


def sources(cost: Mapping[str, Source], rate: Mapping[str, Source]) -> dict[str, Source]:
    """Name of a figure -> its cells, from those of the two judgements."""
    return {_COST + name: source for name, source in cost.items()} | {_RATE + name: s for name, s in rate.items()}


def _ratio(ratio: float) -> str:
    """A change as a part of what was there."""
    return format_change(ratio - 1)


def _left(ratio: float) -> str:
    """What a saving saves."""
    return format_change(1 - ratio)


def _times(ratio: float) -> str:
    return f"{ratio:.3g}"


def whole(value: float) -> str:
    """A count."""
    return f"{value:.0f}"


def _ends(judgement: Judgement, kind: str, form: Callable[[float], str], *, turned: bool = False) -> Sentence:
    """Both ends of the interval; `turned`: those of what is saved, the smaller saving first."""
    _, low, high = judgement.ratios()
    first, last = (("high", high), ("low", low)) if turned else (("low", low), ("high", high))
    return say(
        "{first} to {last}",
        first=amount(kind + first[0], Quantity(first[1], form)),
        last=amount(kind + last[0], Quantity(last[1], form)),
    )


def _interval(judgement: Judgement, kind: str) -> Sentence:
    _, low, high = judgement.ratios()
    if math.isnan(low):
        return say("no interval")
    return _ends(judgement, kind, _factor if high >= _TIMES_FROM else format_ratio)


def interval(judgement: Judgement) -> Sentence:
    """The interval at the confidence of its test: `-41 % to +12 %`, both ends as factors where one is large."""
    return _interval(judgement, "")


def _factor(ratio: float) -> str:
    return f"\N{MULTIPLICATION SIGN}{ratio:.2g}" if ratio < 99.5 else f"\N{MULTIPLICATION SIGN}{ratio:.0f}"


def _sides(judgement: Judgement) -> dict[str, Quantity]:
    return {"cost_a": Quantity(judgement.estimate.a, figure), "cost_b": Quantity(judgement.estimate.b, figure)}


def sides(judgement: Judgement) -> Sentence:
    """CPU per GB of both sides."""
    return say("{cost_a} → {cost_b} CPU s/GB", **_sides(judgement))


def cost(judgement: Judgement) -> Sentence:
    """A change of CPU per GB: `saves 68 % of CPU per GB (61 % to 74 %): 3.25 → 1.05 CPU s/GB` where it was shown."""
    ratio, _, high = judgement.ratios()
    ends, both = _interval(judgement, _COST), sides(judgement)
    if judgement.verdict != CHANGED:
        change = Quantity(ratio, format_ratio)
        return say("CPU per GB {cost_ratio} ({ends}): {sides}", cost_ratio=change, ends=ends, sides=both)
    if ratio < 1:
        saved, ends = Quantity(ratio, _left), _ends(judgement, _COST, _left, turned=True)
        return say("saves {cost_ratio} of CPU per GB ({ends}): {sides}", cost_ratio=saved, ends=ends, sides=both)
    if high >= _TIMES_FROM:
        times = Quantity(ratio, _times)
        return say("costs {cost_ratio} times the CPU per GB ({ends}): {sides}", cost_ratio=times, ends=ends, sides=both)
    more, ends = Quantity(ratio, _ratio), _ends(judgement, _COST, _ratio)
    return say("costs {cost_ratio} more CPU per GB ({ends}): {sides}", cost_ratio=more, ends=ends, sides=both)


def rate(judgement: Judgement) -> Sentence:
    """What throughput did; whether it is shown stands in the words."""
    ratio, _, _ = judgement.ratios()
    estimate = judgement.estimate
    both = say(
        "{rate_a} → {rate_b}", rate_a=Quantity(estimate.a, format_rate), rate_b=Quantity(estimate.b, format_rate)
    )
    if judgement.verdict == CHANGED:
        size = (
            say("to {rate_ratio} times", rate_ratio=Quantity(ratio, _times))
            if ratio >= 2
            else say("by {rate_ratio}", rate_ratio=Quantity(ratio, _ratio))
        )
        ends = _interval(judgement, _RATE)
        if ratio > 1:
            return say("throughput rises {size} ({ends}): {sides}", size=size, ends=ends, sides=both)
        return say("throughput falls {size} ({ends}): {sides}", size=size, ends=ends, sides=both)
    if judgement.verdict == UNDECIDED:
        would = Quantity(judgement.detectable_change, format_change)
        return say(
            "throughput {sides}, no change shown ({rate_detectable} would have been)", sides=both, rate_detectable=would
        )
    return say("throughput {sides}, no verdict", sides=both)


def seen(judgement: Judgement) -> Sentence:
    """What these data would have shown."""
    would = Quantity(judgement.detectable_change, format_change)
    return say("a change of {cost_detectable} would have been shown", cost_detectable=would)


def verdict(judgement: Judgement) -> Sentence:
    """The verdict of CPU per GB, with its figures: what may be said of the change, and no more."""
    if judgement.verdict == CHANGED:
        return cost(judgement)
    if judgement.verdict == CONTAMINATED:
        return say(
            "no result: {reason} (CPU per GB {cost_a} → {cost_b} s)", reason=judgement.reason, **_sides(judgement)
        )
    if judgement.verdict == INDICATION:
        return say("indication from one trial a side, no verdict: {cost}", cost=cost(judgement))
    if judgement.verdict == TOO_FEW:
        needed = Quantity(judgement.trials_needed, whole)
        return say("too few repeats, at least {cost_needed}: {cost}", cost_needed=needed, cost=cost(judgement))
    ratio, _, _ = judgement.ratios()
    return say(
        "no change of CPU per GB shown: {cost_ratio} ({ends}); {seen}",
        cost_ratio=Quantity(ratio, format_ratio),
        ends=_interval(judgement, _COST),
        seen=seen(judgement),
    )


def sentence(cost_judgement: Judgement, rate_judgement: Judgement) -> Sentence:
    """What a comparison shows of CPU per GB, and of throughput where either is shown to change."""
    told = verdict(cost_judgement)
    if CHANGED in (cost_judgement.verdict, rate_judgement.verdict):
        return say("{cost}; {rate}", cost=told, rate=rate(rate_judgement))
    return told
