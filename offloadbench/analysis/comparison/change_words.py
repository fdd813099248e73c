"""Changes in words, the same on every surface: findings, advice, effects, and the tables that hold them."""

from __future__ import annotations

import math

from offloadbench.analysis.statistics.holm import CHANGED, CONTAMINATED, INDICATION, TOO_FEW, UNDECIDED, Judgement
from offloadbench.base.units import format_change, format_rate, format_ratio
from offloadbench.base.words import figure

# from here a factor is easier to read than percent
_TIMES_FROM = 3.0


def interval(judgement: Judgement) -> str:
    """The interval at the confidence of its test: `-41 % to +12 %`, both ends as factors where one is large."""
    _, low, high = judgement.ratios()
    if math.isnan(low):
        return "no interval"
    if high >= _TIMES_FROM:
        return f"{_factor(low)} to {_factor(high)}"
    return f"{format_ratio(low)} to {format_ratio(high)}"


def _factor(ratio: float) -> str:
    return f"\N{MULTIPLICATION SIGN}{ratio:.2g}" if ratio < 99.5 else f"\N{MULTIPLICATION SIGN}{ratio:.0f}"


def cost(judgement: Judgement) -> str:
    """A change of CPU per GB: `saves 68 % of CPU per GB (61 % to 74 %): 3.25 → 1.05 CPU s/GB` where it was shown."""
    estimate = judgement.estimate
    sides = f"{figure(estimate.a)} → {figure(estimate.b)} CPU s/GB"
    ratio, low, high = judgement.ratios()
    if judgement.verdict != CHANGED:
        return f"CPU per GB {format_ratio(ratio)} ({interval(judgement)}): {sides}"
    if ratio < 1:
        ends = f"{format_change(1 - high)} to {format_change(1 - low)}"
        return f"saves {format_change(1 - ratio)} of CPU per GB ({ends}): {sides}"
    if high >= _TIMES_FROM:
        return f"costs {ratio:.3g} times the CPU per GB ({interval(judgement)}): {sides}"
    ends = f"{format_change(low - 1)} to {format_change(high - 1)}"
    return f"costs {format_change(ratio - 1)} more CPU per GB ({ends}): {sides}"


def rate(judgement: Judgement) -> str:
    """What throughput did; whether it is shown stands in the words."""
    ratio, _, _ = judgement.ratios()
    sides = f"{format_rate(judgement.estimate.a)} → {format_rate(judgement.estimate.b)}"
    if judgement.verdict == CHANGED:
        verb = "rises" if ratio > 1 else "falls"
        size = f"to {ratio:.3g} times" if ratio >= 2 else f"by {format_change(ratio - 1)}"
        return f"throughput {verb} {size} ({interval(judgement)}): {sides}"
    if judgement.verdict == UNDECIDED:
        return f"throughput {sides}, no change shown ({format_change(judgement.detectable_change)} would have been)"
    return f"throughput {sides}, no verdict"


def seen(judgement: Judgement) -> str:
    """What these data would have shown."""
    return f"a change of {format_change(judgement.detectable_change)} would have been shown"


def verdict(judgement: Judgement) -> str:
    """The verdict of CPU per GB, with its figures: what may be said of the change, and no more."""
    if judgement.verdict == CHANGED:
        return cost(judgement)
    if judgement.verdict == CONTAMINATED:
        sides = f"{figure(judgement.estimate.a)} → {figure(judgement.estimate.b)} s"
        return f"no result: {judgement.reason} (CPU per GB {sides})"
    if judgement.verdict == INDICATION:
        return f"indication from one trial a side, no verdict: {cost(judgement)}"
    if judgement.verdict == TOO_FEW:
        return f"too few repeats, at least {judgement.trials_needed}: {cost(judgement)}"
    ratio, _, _ = judgement.ratios()
    return f"no change of CPU per GB shown: {format_ratio(ratio)} ({interval(judgement)}); {seen(judgement)}"


def sentence(cost_judgement: Judgement, rate_judgement: Judgement) -> str:
    """What a comparison shows of CPU per GB, and of throughput where either is shown to change."""
    told = verdict(cost_judgement)
    if CHANGED in (cost_judgement.verdict, rate_judgement.verdict):
        told += f"; {rate(rate_judgement)}"
    return told
