"""Whether other processes' work on the measured CPUs could be a difference.

CPU seconds per GB are all the busy time of the measured CPUs, other processes' too. What they took is known for each
trial, so a change can be split into theirs and the rest. A trial of which it is not known is passed over.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

from offloadbench.analysis.comparison.usable_trials import MORE_IS_BETTER, Observation
from offloadbench.analysis.profile import contamination
from offloadbench.analysis.statistics.holm import CHANGED, CONTAMINATED, INDICATION, Judgement
from offloadbench.base.sentence import Quantity, Sentence, Source, say

# beyond this part of a change, other processes' work could be the change
COULD_BE = 0.5
# a CPU that is idle for more than this has time for others without loss of throughput
_FULL_RATIO = 0.9
_NO_CPU_TIME = MORE_IS_BETTER
# nor are modules named where other processes' work is more than this part of the saving
_OF_SAVING = 0.05
# a trial whose busy time is all theirs says nothing, which a logarithm cannot
_ALMOST_ALL = 0.999


def mean_cost(trials: Sequence[Observation]) -> float:
    """CPU seconds per GB of payload that other processes took, the mean of a side's trials; 0 where not known."""
    known = [seen.foreign_share * seen.figures.cpu_s_per_gb for seen in trials if not math.isnan(seen.foreign_share)]
    return sum(known) / len(known) if known else 0.0


def spoils(pairs: Sequence[tuple[Observation, Observation]], saved: float) -> Sentence:
    """Why the modules of a saving are not named: other processes' work is part of it; "" where it is not.

    Args:
        pairs: the trials of its two sides.
        saved: CPU seconds per GB.
    """
    before, after = (mean_cost([pair[side] for pair in pairs]) for side in (0, 1))
    if abs(before - after) <= _OF_SAVING * abs(saved):
        return say("")
    return say("other processes' work is part of it, and the modules describe that too: they are not named")


def _taken(trials: Sequence[Observation]) -> list[float]:
    """By how much other processes raised each trial's cost, on logarithms, of the trials of which it is known."""
    return [-math.log1p(-min(t.foreign_share, _ALMOST_ALL)) for t in trials if not math.isnan(t.foreign_share)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _explained(one: float, other: float) -> float:
    """How much of a change, on logarithms, other processes could be that raised the two sides by so much.

    What they take on both sides alike cancels. Where they take so much that modules describe their work, they also
    disturb what they do not take (caches, waiting for the CPU): then all of it could be on one side only.
    """
    most = max(one, other)
    return most if most > -math.log1p(-contamination.FOREIGN_RATIO) else abs(one - other)


def _whole_percent(ratio: float) -> str:
    return f"{100 * ratio:.0f} %"


def _most_taken(shares: Sequence[float]) -> float:
    return max(min(share, _ALMOST_ALL) for share in shares if not math.isnan(share))


def judge(judgement: Judgement, a: Sequence[Observation], b: Sequence[Observation], metric: str) -> Judgement:
    """The judgement; `contaminated` where other processes' work could be the change, or hide one.

    Args:
        a, b: the trials of its two sides.
        metric: of `metrics.Metrics`, or of modules; what is no CPU time can only be theirs where the measured CPUs
            were full.
    """
    sides = _taken(a), _taken(b)
    every = [*sides[0], *sides[1]]
    most = -math.expm1(-max(every, default=0.0))
    if most <= contamination.NOTED_RATIO:
        return judgement
    if metric in _NO_CPU_TIME and max(seen.figures.cpu_busy_ratio for seen in (*a, *b)) < _FULL_RATIO:
        return judgement
    ratio, _, _ = judgement.ratios()
    shown = abs(math.log(ratio)) if ratio > 0 else 0.0
    explained = _explained(_mean(sides[0]), _mean(sides[1]))
    if judgement.verdict not in (CHANGED, INDICATION) and math.isfinite(judgement.detectable_change):
        # nothing was shown: whether a trial that was disturbed more than the others could have hidden something
        shown = max(shown, math.log1p(judgement.detectable_change))
        explained = max(explained, max(every) - statistics.median(every))
    if explained <= COULD_BE * shown:
        return judgement
    where = {
        "run": tuple(dict.fromkeys(seen.run.run_id for seen in (*a, *b))),
        "workload": a[0].trial.workload,
        "case": tuple(dict.fromkeys(seen.trial.case for seen in (*a, *b))),
        "repeat": tuple(dict.fromkeys(seen.trial.repeat for seen in (*a, *b))),
    }
    source = Source("trials", "foreign_cpu_ratio", where, _most_taken, over="cpu_busy_ratio")
    reason = say(
        "other processes used up to {foreign} of the busy time of the measured CPUs",
        foreign=Quantity(most, _whole_percent, source),
    )
    return replace(judgement, verdict=CONTAMINATED, reason=reason)
