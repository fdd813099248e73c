"""The one judge: every question that is asked of a run, answered once, and read by everything that says something.

Findings, headline, advice, effects, `compare` inside a run, its gates and the tables take their numbers, intervals
and verdicts from here; none of them has a rule of its own.

Asked of each workload, for CPU seconds per GB and throughput: every case against the NIC's state as found (or, where
that was not measured, against the reference case), every case against the reference case, the named steps of the
ladder, and the factorial's contrasts. All are paired within blocks (`statistics.paired`).

What may carry an order, CPU per GB of every case against the state as found, is a family of its own over all
workloads of the run, judged by Holm's procedure at 1.5 % (`ORDER_ALPHA`); all other questions of a workload are one
more family at the remaining 3.5 % (Bonferroni between the two). So a report of a run orders falsely in at most 1.5 % of
cases, whatever is true of the other questions and however many workloads it has, and what a page says of one workload
is false in at most 5 %. One family a workload at 5 % orders falsely in 2 to 5 % of reports of two workloads: Holm's
procedure holds its level within a family only. A fixed sequence (advice first, the rest only after it) would leave
everything unsaid where the first question stays open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offloadbench.analysis.comparison import foreign_work, ladder
from offloadbench.analysis.comparison.contrasts import CONTRASTS, Pairs, pairs_of
from offloadbench.analysis.comparison.usable_trials import HEADLINES, Observation, Observations, common_blocks
from offloadbench.analysis.statistics.estimates import ALPHA, Estimate, indicated, mean_of, paired
from offloadbench.analysis.statistics.holm import Judgement, judge
from offloadbench.base.errors import StatisticError

COST, RATE = "cpu_s_per_gb", "throughput_bits_per_s"
ORDER_ALPHA = 0.015
_Block = list[tuple[Observation, Observation]]


@dataclass(frozen=True, slots=True)
class CaseQuestion:
    """How a metric changes within blocks from the first to the second case of each pair."""

    workload: str
    pairs: Pairs
    metric: str

    def reversed(self) -> CaseQuestion:
        """The question the other way round."""
        return CaseQuestion(self.workload, tuple((b, a) for a, b in self.pairs), self.metric)


@dataclass(frozen=True, slots=True)
class Pivot:
    """The case that advice starts from.

    Attributes:
        as_found: it is the state in which the run found the NIC; otherwise the run's reference case.
    """

    case: str
    as_found: bool


@dataclass(frozen=True)
class Answers:
    """What the judge says of a run, or of runs that were measured alike."""

    seen: Observations
    judgements: dict[CaseQuestion, Judgement]

    def of(self, workload: str, pairs: Pairs, metric: str) -> Judgement | None:
        """The answer, from the first case of each pair to the second; None where it was not asked."""
        question = CaseQuestion(workload, pairs, metric)
        if question in self.judgements:
            return self.judgements[question]
        other = self.judgements.get(question.reversed())
        return other.reversed() if other else None

    def all_of(self, questions: Sequence[CaseQuestion]) -> list[Judgement]:
        """The answers; what was asked besides the judge's own questions is one more family."""
        own = [self.of(q.workload, q.pairs, q.metric) for q in questions]
        besides = [question for question, answer in zip(questions, own, strict=True) if answer is None]
        more = iter(_judged(self.seen, besides, ALPHA))
        return [answer or next(more) for answer in own]


def as_found(seen: Observations, workload: str) -> str:
    """The case whose trials ran in the state in which the run found the NIC; "" where none did."""
    nic = seen.run.nic
    for case in seen.cases(workload):
        trial = next(iter(seen.case(workload, case).values())).trial
        found = {name: active for name, (active, _, _) in nic.features.items()}
        if trial.gso_max_segs == nic.gso_max_segs and all(
            record.active == found.get(record.feature, False) for record in trial.features
        ):
            return case
    return ""


def pivot(seen: Observations, workload: str) -> Pivot:
    """The state as found, or the first case on the ladder."""
    found = as_found(seen, workload)
    return Pivot(found or seen.cases(workload)[0], bool(found))


def blocks(seen: Observations, workload: str, pairs: Pairs) -> list[_Block]:
    """By block, the two trials (a, b) of each pair; only blocks that have all of them."""
    sides = [(seen.case(workload, a), seen.case(workload, b)) for a, b in pairs]
    common = common_blocks(*(side for pair in sides for side in pair))
    return [[(a[block], b[block]) for a, b in sides] for block in common]


def _mean(trials: Sequence[Observation], metric: str) -> float:
    return float(np.exp(np.mean(np.log([trial.value(metric) for trial in trials]))))


def estimate(found: Sequence[_Block], metric: str) -> Estimate:
    """The change of a metric over blocks; several pairs are averaged inside each block first, on logarithms.

    Raises:
        StatisticError: it cannot be computed.
    """
    if len(found) > 1:
        sides = ([_mean([pair[side] for pair in block], metric) for block in found] for side in (0, 1))
        return paired(*sides)
    single = [indicated(a.value(metric), b.value(metric), a.batches(metric), b.batches(metric)) for a, b in found[0]]
    return single[0] if len(single) == 1 else mean_of(single)


def _judged(seen: Observations, family: Sequence[CaseQuestion], alpha: float) -> list[Judgement]:
    """The answers to the questions of one family."""
    found = [blocks(seen, question.workload, question.pairs) for question in family]
    estimates = []
    for question, trials in zip(family, found, strict=True):
        try:
            estimates.append(estimate(trials, question.metric))
        except StatisticError as error:
            against = ", ".join(f"{b} against {a}" for a, b in question.pairs)
            where = f"{question.workload}, {against}, {question.metric}"
            raise StatisticError(f"{where}: {error.message}", error.hint) from error
    return [
        foreign_work.judge(
            judgement,
            [a for block in trials for a, _ in block],
            [b for block in trials for _, b in block],
            question.metric,
        )
        for question, trials, judgement in zip(family, found, judge(estimates, alpha), strict=True)
    ]


def _asked(seen: Observations, workload: str) -> list[Pairs]:
    """The comparisons of a workload, each once, those with the state as found first."""
    cases = seen.cases(workload)
    start = pivot(seen, workload).case
    wanted: list[Pairs] = [((first, case),) for first in (start, cases[0]) for case in cases if case != first]
    wanted += [((step.off, step.on),) for step in ladder.steps(seen, workload)]
    wanted += [pairs_of(seen, workload, contrast) for contrast in CONTRASTS]
    found: dict[frozenset[frozenset[str]], Pairs] = {}
    for pairs in wanted:
        if pairs and blocks(seen, workload, pairs):
            found.setdefault(frozenset(frozenset(pair) for pair in pairs), pairs)
    return list(found.values())


def judged(seen: Observations) -> Answers:
    """Every answer.

    Raises:
        StatisticError: a test cannot be made.
    """
    orders: list[CaseQuestion] = []
    families: list[list[CaseQuestion]] = []
    for workload in seen.workloads():
        start = pivot(seen, workload).case
        every = [CaseQuestion(workload, pairs, metric) for pairs in _asked(seen, workload) for metric in HEADLINES]
        carrying = [q for q in every if q.metric == COST and len(q.pairs) == 1 and start in q.pairs[0]]
        orders += carrying
        families.append([question for question in every if question not in carrying])
    found = dict(zip(orders, _judged(seen, orders, ORDER_ALPHA), strict=True))
    for family in families:
        found |= dict(zip(family, _judged(seen, family, ALPHA - ORDER_ALPHA), strict=True))
    return Answers(seen, found)
