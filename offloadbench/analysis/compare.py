"""Cases compared: between runs, or inside one run against its reference case.

Between runs the trials of a case are unpaired; inside a run two cases are paired within blocks. All rows of one
workload, over everything that is compared at once, are one family (`offloadbench.analysis.family`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from offloadbench.analysis import foreign, judging
from offloadbench.analysis.compatibility import metadata_differences, obstacles
from offloadbench.analysis.family import Judgement, judge
from offloadbench.analysis.observations import HEADLINES, Observation, Observations, common_blocks, observations, values
from offloadbench.analysis.statistics import Estimate, indicated, mean_of, paired, welch
from offloadbench.errors import RunFileError, StatisticError, UsageError
from offloadbench.model import Profile, Run

By = Literal["case", "workload", "module"]
Side = dict[int, Observation]
ALL_CASES, OTHER_CASES, PER_BYTE = "all cases", "the other cases", "value_per_byte"


@dataclass(frozen=True, slots=True)
class Question:
    """What is compared.

    Attributes:
        a, b: two runs' names, or two cases of one run.
        case: the case of both runs, or case b of one; `all cases` for a workload as a whole.
        metric: a field of `metrics.Metrics`, or `value_per_byte` of a module.
        module, quantity: "" unless modules are compared.
    """

    a: str
    b: str
    workload: str
    case: str
    metric: str
    module: str = ""
    quantity: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.workload, self.case, self.module, self.metric)))


@dataclass(frozen=True, slots=True)
class Row:
    """A question with its answer."""

    question: Question
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows by workload and case.

    Attributes:
        title: what was compared with what.
        differences: what differs besides the offloads, as sentences.
        missing: what could not be compared, as sentences.
    """

    title: str
    differences: list[str]
    missing: list[str]
    rows: list[Row]


Asked = tuple[Question, Estimate]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sides of one case, repeat -> trial.

    Attributes:
        within: both sides are of one run, so that its blocks pair them.
    """

    a: str
    b: str
    workload: str
    case: str
    side_a: Side
    side_b: Side
    within: bool

    def sides(self) -> tuple[list[Observation], list[Observation]]:
        """The trials to compare; inside a run those of the common blocks, in the same order."""
        if not self.within:
            return list(self.side_a.values()), list(self.side_b.values())
        blocks = common_blocks(self.side_a, self.side_b)
        return [self.side_a[block] for block in blocks], [self.side_b[block] for block in blocks]

    def only(self, wanted: Callable[[Observation], bool]) -> Pair:
        """The pair with those trials only."""
        sides = [{block: seen for block, seen in side.items() if wanted(seen)} for side in (self.side_a, self.side_b)]
        return replace(self, side_a=sides[0], side_b=sides[1])

    def estimate(self, metric: str) -> Estimate:
        """The change of a metric.

        Raises:
            StatisticError: it cannot be computed.
        """
        left, right = self.sides()
        if len(left) == len(right) == 1:
            a, b = left[0], right[0]
            return indicated(a.value(metric), b.value(metric), a.batches(metric), b.batches(metric))
        return (paired if self.within else welch)(values(left, metric), values(right, metric))

    def ask(self, metric: str) -> Asked:
        """The question about a metric, with its estimate."""
        question = Question(self.a, self.b, self.workload, self.case, metric)
        with named(question):
            return question, self.estimate(metric)


@contextlib.contextmanager
def named(question: Question) -> Iterator[None]:
    """A statistic that fails says of what."""
    try:
        yield
    except StatisticError as error:
        raise StatisticError(f"{question}: {error.message}", error.hint) from error


def _by_case(pairs: Sequence[Pair], metrics: Sequence[str]) -> list[Asked]:
    return [pair.ask(metric) for pair in pairs for metric in metrics]


def _by_workload(pairs: Sequence[Pair], metrics: Sequence[str]) -> list[Asked]:
    """The mean change over the cases of a workload, on logarithms."""
    asked = []
    for a, workload, b in dict.fromkeys((p.a, p.workload, "" if p.within else p.b) for p in pairs):
        members = [p for p in pairs if (p.a, p.workload) == (a, workload) and (p.within or p.b == b)]
        for metric in metrics:
            question = Question(a, b or OTHER_CASES, workload, ALL_CASES, metric)
            with named(question):
                together = _cases_within if members[0].within else _cases_between
                asked.append((question, together(members, metric)))
    return asked


def _cases_between(pairs: Sequence[Pair], metric: str) -> Estimate:
    return mean_of([pair.estimate(metric) for pair in pairs])


def _cases_within(pairs: Sequence[Pair], metric: str) -> Estimate:
    """All cases share the reference: they are averaged inside each block before anything is tested."""
    reference = pairs[0].side_a
    blocks = common_blocks(reference, *(pair.side_b for pair in pairs))
    others = [float(np.exp(np.mean(np.log([pair.side_b[block].value(metric) for pair in pairs])))) for block in blocks]
    return paired([reference[block].value(metric) for block in blocks], others)


def _by_module(pairs: Sequence[Pair], runs: Sequence[Run], profile: Profile) -> tuple[list[Asked], list[str]]:
    """The change of every module's cost per byte of payload, largest first; a module never sampled counts as zero."""
    # the tables need pandas, and the attribution of every trial: only who asks pays
    from offloadbench.analysis.module_costs import module_costs

    costs = module_costs(runs, profile)
    asked = []
    for pair in (pair.only(costs.known) for pair in pairs):
        sides = [[costs.of(trial) for trial in side] for side in pair.sides()]
        modules = sorted({module for side in sides for trial in side for module in trial})
        found = []
        for module in modules:
            question = Question(pair.a, pair.b, pair.workload, pair.case, PER_BYTE, module, costs.quantity)
            left, right = ([trial.get(module, 0.0) for trial in side] for side in sides)
            with named(question):
                found.append((question, (paired if pair.within else welch)(left, right, log=False)))
        asked += sorted(found, key=lambda item: -abs(item[1].change))
    return asked, costs.problems


def _ask(
    pairs: Sequence[Pair], runs: Sequence[Run], by: By, metrics: Sequence[str], profile: Profile
) -> tuple[list[Row], list[str]]:
    if by == "module":
        asked, problems = _by_module(pairs, runs, profile)
    else:
        asked, problems = (_by_workload if by == "workload" else _by_case)(pairs, metrics), []
    # every workload is a family of its own
    rows = []
    for workload in dict.fromkeys(question.workload for question, _ in asked):
        family = [item for item in asked if item[0].workload == workload]
        judgements = judge([estimate for _, estimate in family])
        rows += [Row(question, judgement) for (question, _), judgement in zip(family, judgements, strict=True)]
    return [_with_contamination(row, pairs) for row in rows], problems


def _with_contamination(row: Row, pairs: Sequence[Pair]) -> Row:
    """The row, `contaminated` where other processes could be its difference."""
    question = row.question
    mine = [
        pair.sides()
        for pair in pairs
        if (pair.a, pair.workload) == (question.a, question.workload)
        and question.b in (pair.b, OTHER_CASES)
        and question.case in (pair.case, ALL_CASES)
    ]
    a, b = ([seen for sides in mine for seen in sides[side]] for side in (0, 1))
    return replace(row, judgement=foreign.judge(row.judgement, a, b, question.metric))


def between(
    runs: Sequence[Run],
    names: Sequence[str],
    profile: Profile,
    *,
    by: By = "case",
    metrics: Sequence[str] = HEADLINES,
    force: bool = False,
) -> Comparison:
    """Every other run against the first: each case that both have.

    Raises:
        RunFileError: the runs do not answer the same question, and `force` is not set.
        StatisticError: a test cannot be made.
    """
    seen = [observations(run) for run in runs]
    base, base_name = seen[0], names[0]
    differences, missing, pairs = [], [], []
    for other, name in zip(seen[1:], names[1:], strict=True):
        hindrances = obstacles(base.run, other.run)
        if hindrances and not force:
            raise RunFileError(
                f"these runs cannot be compared: {'; '.join(hindrances)}", "run both alike, or add --force"
            )
        found = [*hindrances, *metadata_differences(base.run, other.run)]
        differences += [f"{name}: {text}" for text in found] if len(runs) > 2 else found
        both, lacking = _pairs_between(base, other, base_name, name)
        pairs += both
        missing += lacking
    rows, problems = _ask(pairs, runs, by, metrics, profile)
    return Comparison(f"{', '.join(names[1:])} against {base_name}", differences, [*missing, *problems], rows)


def _pairs_between(base: Observations, other: Observations, a: str, b: str) -> tuple[list[Pair], list[str]]:
    pairs, missing = [], []
    known = {(trial.workload, trial.case): None for run in (base.run, other.run) for trial in run.trials}
    order = {case.definition.name: case.definition.order for run in (other.run, base.run) for case in run.plan.cases}
    for workload, case in sorted(known, key=lambda key: (key[0], order.get(key[1], 0), key[1])):
        left, right = base.case(workload, case), other.case(workload, case)
        if left and right:
            pairs.append(Pair(a, b, workload, case, left, right, within=False))
        else:
            lacks = " and ".join(name for name, side in ((a, left), (b, right)) if not side)
            missing.append(f"{workload} {case}: no usable trial in {lacks}")
    return pairs, missing


def within(
    run: Run,
    profile: Profile,
    *,
    reference: str = "",
    by: By = "case",
    metrics: Sequence[str] = HEADLINES,
) -> Comparison:
    """Every case of a run against its reference case, paired within blocks.

    Case by case the answers are the judge's (`offloadbench.analysis.judging`), as in a report of the run; metrics and
    pairs of cases that it is not asked about by itself are one more family.

    Args:
        reference: a case; by default the first on the ladder that has usable trials.

    Raises:
        UsageError: the run has no such case.
        StatisticError: a test cannot be made.
    """
    seen = observations(run)
    pairs, missing, chosen = [], [], []
    for workload in seen.workloads():
        cases = seen.cases(workload)
        first = reference or cases[0]
        base = seen.case(workload, first)
        if not base:
            raise UsageError(f"--reference {first}: no usable trial in {workload}", f"has: {', '.join(cases)}")
        chosen.append(first)
        for case in cases:
            side = seen.case(workload, case)
            if side is base:
                continue
            if common_blocks(base, side):
                pairs.append(Pair(first, case, workload, case, base, side, within=True))
            else:
                missing.append(f"{workload} {case}: no block in common with {first}")
    rows, problems = (_judged(seen, pairs, metrics), []) if by == "case" else _ask(pairs, [run], by, metrics, profile)
    title = f"the cases of {run.run_id} against {', '.join(dict.fromkeys(chosen)) or 'nothing'}"
    return Comparison(title, [], [*missing, *problems], rows)


def _judged(seen: Observations, pairs: Sequence[Pair], metrics: Sequence[str]) -> list[Row]:
    questions = [Question(pair.a, pair.b, pair.workload, pair.case, metric) for pair in pairs for metric in metrics]
    asked = [judging.Question(q.workload, ((q.a, q.b),), q.metric) for q in questions]
    return [Row(q, judgement) for q, judgement in zip(questions, judging.judged(seen).all_of(asked), strict=True)]
