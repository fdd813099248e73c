"""Where the difference between two cases comes from: from the dearer one's total to the cheaper one's, by module."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from offloadbench.base.sentence import Quantity, Sentence, say
from offloadbench.base.words import figure

# movers that are named; smaller ones than this share of the dearer total are not worth a row of their own
_NAMED = 8
_WORTH_NAMING = 0.01
# below this share of the dearer total there is no difference to take apart
_SMALLEST = 0.02
# clock and profile may differ by so much before a sentence says so
SAME_TOTAL_RATIO = 0.05


@dataclass(frozen=True, slots=True)
class SavingStep:
    """What one module adds on the way; `module` is "" for the rest as one."""

    module: str
    change: float


@dataclass(frozen=True, slots=True)
class Fall:
    """The way from `start` to `end`; the changes of the steps sum up to it.

    Attributes:
        start, end: totals of all modules, in `quantity` per byte of payload, `start` the dearer.
        steps: the biggest saving first, what became dearer last, and after these the rest.
        modules: every module with what it costs in the dearer and in the cheaper case, the biggest saving first.
    """

    dearer: str
    cheaper: str
    quantity: str
    start: float
    end: float
    steps: list[SavingStep]
    modules: list[tuple[str, float, float]]


def by_the_clock(found: Fall, saved: float) -> Sentence:
    """The difference by the idle clock, where the profile's is another; "" where they agree.

    Its figures are called `whole` and `saved`.

    Args:
        saved: CPU seconds per GB; one is a nanosecond per byte.
    """
    whole = found.start - found.end
    if found.quantity != "kernel_cpu_time_ns" or abs(whole / abs(saved) - 1) <= SAME_TOTAL_RATIO:
        return say("")
    return say(
        " Its totals are the profile's, {whole} apart; by the idle clock, on which the finding rests, the cases are "
        "{saved} apart.",
        whole=Quantity(whole, _size),
        saved=Quantity(saved, _size),
    )


def _size(value: float) -> str:
    return figure(abs(value))


def fall(modules: pd.DataFrame, one: str, other: str) -> Fall | None:
    """The way between two cases; None where a case has no profile, or the two do not differ enough.

    Args:
        modules: of one nic and workload, as `results.busy_modules` gives them.
    """
    wide = modules[modules["case"].isin([one, other])].pivot_table(
        index="module", columns="case", values="value_per_byte", aggfunc="sum", fill_value=0.0
    )
    if not {one, other} <= set(wide.columns):
        return None
    totals = wide.sum()
    dearer, cheaper = (one, other) if totals[one] >= totals[other] else (other, one)
    start, end = float(totals[dearer]), float(totals[cheaper])
    if start - end <= _SMALLEST * start:
        return None
    changes = wide[cheaper] - wide[dearer]
    biggest = changes.reindex(changes.abs().sort_values(ascending=False, kind="stable").index)
    named = biggest[biggest.abs() > _WORTH_NAMING * start].head(_NAMED)
    steps = [SavingStep(str(module), float(change)) for module, change in named.sort_values(kind="stable").items()]
    if len(named) < len(changes):
        steps.append(SavingStep("", float(changes.drop(named.index).sum())))
    every = [
        (str(module), float(wide.loc[module, dearer]), float(wide.loc[module, cheaper]))
        for module in changes.sort_values(kind="stable").index
    ]
    return Fall(dearer, cheaper, str(modules["quantity"].iloc[0]), start, end, steps, every)
