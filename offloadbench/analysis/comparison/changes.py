"""Cases compared: between runs, or inside one run against its reference case.

Between runs the run is the unit (`offloadbench.analysis.statistics.run_means`); inside a run two cases are paired
within blocks. The mean over the cases of a workload is taken inside each block before anything is tested: the cases of
a block share its moment. All rows of one workload, over everything that is compared at once, are one family
(`offloadbench.analysis.statistics.holm`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from offloadbench.analysis.comparison import foreign_work, judging
from offloadbench.analysis.comparison.groups import RunGroup, ScatterSource, differences, single
from offloadbench.analysis.comparison.pairs import ALL_CASES, OTHER_CASES, Asked, CasePair, PairQuestion, Side, named
from offloadbench.analysis.comparison.usable_trials import (
    HEADLINES,
    MORE_IS_BETTER,
    Observations,
    common_blocks,
    observations,
)
from offloadbench.analysis.statistics.estimates import Estimate, mean_of, paired
from offloadbench.analysis.statistics.holm import CHANGED, Judgement, judge
from offloadbench.base.errors import StatisticError, UsageError
from offloadbench.model import Profile, Run

By = Literal["case", "workload", "module"]
PER_BYTE = "value_per_byte"


@dataclass(frozen=True, slots=True)
class Row:
    """A question with its answer."""

    question: PairQuestion
    judgement: Judgement

    @property
    def worse(self) -> bool | None:
        """Whether a change for the worse was shown; None where no change was."""
        if self.judgement.verdict != CHANGED:
            return None
        estimate = self.judgement.estimate
        return (estimate.b < estimate.a) == (self.question.metric in MORE_IS_BETTER)


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


def _by_case(pairs: Sequence[CasePair], metrics: Sequence[str]) -> list[Asked]:
    return [pair.ask(metric) for pair in pairs for metric in metrics if pair.has(metric)]


def _by_workload(pairs: Sequence[CasePair], metrics: Sequence[str]) -> list[Asked]:
    """The mean change over the cases of a workload, on logarithms."""
    asked = []
    for a, workload, b in dict.fromkeys((p.a, p.workload, "" if p.within else p.b) for p in pairs):
        members = [p for p in pairs if (p.a, p.workload) == (a, workload) and (p.within or p.b == b)]
        for metric in (name for name in metrics if all(pair.has(name) for pair in members)):
            question = PairQuestion(a, b or OTHER_CASES, workload, ALL_CASES, metric)
            with named(question):
                together = _cases_within if members[0].within else _cases_between
                asked.append((question, together(members, metric)))
    return asked


def _geometric_mean(figures: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(figures))))


def _block_means(cases: Sequence[Side], metric: str) -> list[float]:
    """The geometric mean over the cases, for every block that has all of them."""
    blocks = common_blocks(*cases)
    if not blocks:
        raise StatisticError("no block has a usable trial of every case", "compare --by case")
    return [_geometric_mean([case[block].value(metric) for case in cases]) for block in blocks]


def _cases_between(pairs: Sequence[CasePair], metric: str) -> Estimate:
    """Averaged inside each block of each run."""
    first = pairs[0]
    sides = [[pair.runs_a for pair in pairs], [pair.runs_b for pair in pairs]]
    figures = [[_block_means(run, metric) for run in zip(*side, strict=True)] for side in sides]
    others = [run for run in zip(*(pair.others for pair in pairs), strict=True) if common_blocks(*run)]
    figures.append([_block_means(run, metric) for run in others])
    if not first.given and [len(run) for runs in figures for run in runs] == [1, 1]:
        return mean_of([pair.estimate(metric) for pair in pairs])
    return first.weigh(figures, metric)


def _cases_within(pairs: Sequence[CasePair], metric: str) -> Estimate:
    """All cases share the reference: they are averaged inside each block before anything is tested."""
    reference = pairs[0].runs_a[0]
    blocks = common_blocks(reference, *(pair.runs_b[0] for pair in pairs))
    others = [_geometric_mean([pair.runs_b[0][block].value(metric) for pair in pairs]) for block in blocks]
    return paired([reference[block].value(metric) for block in blocks], others)


def _by_module(pairs: Sequence[CasePair], runs: Sequence[Run], profile: Profile) -> tuple[list[Asked], list[str]]:
    """The change of every module's cost per byte of payload, largest first; a module never sampled counts as zero."""
    # the tables need pandas, and the attribution of every trial: only who asks pays
    from offloadbench.analysis.comparison.module_costs import module_costs

    costs = module_costs(runs, profile)
    asked, missing = [], []
    for pair in (pair.only(costs.known) for pair in pairs):
        if not pair.runs_a or not pair.runs_b:
            missing.append(f"{pair.workload} {pair.case}: no profile in {pair.b if pair.runs_a else pair.a}")
            continue
        found = [[[costs.of(trial) for trial in run] for run in runs] for runs in pair.groups()]
        modules = sorted({module for runs in found for run in runs for trial in run for module in trial})
        changes = []
        for module in modules:
            question = PairQuestion(pair.a, pair.b, pair.workload, pair.case, PER_BYTE, module, costs.quantity)
            figures = [[[trial.get(module, 0.0) for trial in run] for run in runs] for runs in found]
            with named(question):
                changes.append((question, pair.weigh(figures, PER_BYTE, log=False)))
        asked += sorted(changes, key=lambda item: -abs(item[1].change))
    return asked, [*costs.problems, *missing]


def _ask(
    pairs: Sequence[CasePair], runs: Sequence[Run], by: By, metrics: Sequence[str], profile: Profile
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


def _with_contamination(row: Row, pairs: Sequence[CasePair]) -> Row:
    """The row, `contaminated` where other processes could be its difference."""
    question = row.question
    mine = [
        pair.groups()
        for pair in pairs
        if (pair.a, pair.workload) == (question.a, question.workload)
        and question.b in (pair.b, OTHER_CASES)
        and question.case in (pair.case, ALL_CASES)
    ]
    a, b = ([seen for groups in mine for run in groups[side] for seen in run] for side in (0, 1))
    return replace(row, judgement=foreign_work.judge(row.judgement, a, b, question.metric))


def between(
    runs: Sequence[Run],
    names: Sequence[str],
    profile: Profile,
    *,
    by: By = "case",
    metrics: Sequence[str] = HEADLINES,
    force: bool = False,
) -> Comparison:
    """Every other run against the first; see `between_groups`."""
    groups = [single(run, name) for run, name in zip(runs, names, strict=True)]
    return between_groups(groups, profile, by=by, metrics=metrics, force=force)


def between_groups(
    groups: Sequence[RunGroup],
    profile: Profile,
    *,
    scatter: ScatterSource | None = None,
    by: By = "case",
    metrics: Sequence[str] = HEADLINES,
    force: bool = False,
) -> Comparison:
    """The runs of every other group against those of the first: each case that all of them have.

    Args:
        scatter: what else is known of how identical runs scatter.

    Raises:
        RunFileError: the runs do not answer the same question, and `force` is not set; or one is given twice.
        StatisticError: a test cannot be made.
    """
    scatter = scatter or ScatterSource()
    differs = differences(groups, scatter, force=force)
    seen = [[observations(run) for run in group.runs] for group in groups]
    others = [observations(run) for run in scatter.group.runs]
    missing: list[str] = []
    pairs: list[CasePair] = []
    for index in range(1, len(groups)):
        both, lacking = _pairs_between((groups[0], seen[0]), (groups[index], seen[index]), others, scatter)
        pairs += both
        missing += lacking
    every = [run for group in (*groups, scatter.group) for run in group.runs]
    rows, problems = _ask(pairs, every, by, metrics, profile)
    title = f"{', '.join(group.name for group in groups[1:])} against {groups[0].name}"
    return Comparison(title, differs, [*missing, *problems], rows)


def _pairs_between(
    base: tuple[RunGroup, Sequence[Observations]],
    other: tuple[RunGroup, Sequence[Observations]],
    others: Sequence[Observations],
    scatter: ScatterSource,
) -> tuple[list[CasePair], list[str]]:
    pairs, missing = [], []
    sides = (base, other)
    runs = [run for group, _ in reversed(sides) for run in group.runs]
    # what was planned and never measured is missing too
    known = {(trial.workload, trial.case): None for run in runs for trial in run.trials}
    known |= {(planned.workload, planned.case): None for run in runs for planned in run.plan.order}
    order = {case.definition.name: case.definition.order for run in runs for case in run.plan.cases}
    for workload, case in sorted(known, key=lambda key: (key[0], order.get(key[1], 0), key[1])):
        found = [[run.case(workload, case) for run in seen] for _, seen in sides]
        lacks = [
            name
            for (group, _), side in zip(sides, found, strict=True)
            for name, trials in zip(group.names, side, strict=True)
            if not trials
        ]
        if lacks:
            missing.append(f"{workload} {case}: no usable trial in {' and '.join(lacks)}")
            continue
        more = [run.case(workload, case) for run in others]
        a, b = (group.name for group, _ in sides)
        side_a, side_b = found
        pairs.append(CasePair(a, b, workload, case, side_a, side_b, within=False, others=more, given=scatter.given))
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

    Case by case the answers are the judge's (`offloadbench.analysis.comparison.judging`), as in a report of the run;
    metrics and pairs of cases that it is not asked about by itself are one more family.

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
        planned = [trial.case for trial in run.plan.order if trial.workload == workload]
        missing += [
            f"{workload} {case}: no usable trial in {run.run_id}"
            for case in dict.fromkeys(planned)
            if not seen.case(workload, case)
        ]
        for case in cases:
            side = seen.case(workload, case)
            if side is base:
                continue
            if common_blocks(base, side):
                pairs.append(CasePair(first, case, workload, case, [base], [side], within=True))
            else:
                missing.append(f"{workload} {case}: no block in common with {first}")
    rows, problems = (_judged(seen, pairs, metrics), []) if by == "case" else _ask(pairs, [run], by, metrics, profile)
    title = f"the cases of {run.run_id} against {', '.join(dict.fromkeys(chosen)) or 'nothing'}"
    return Comparison(title, [], [*missing, *problems], rows)


def _judged(seen: Observations, pairs: Sequence[CasePair], metrics: Sequence[str]) -> list[Row]:
    questions = [
        PairQuestion(pair.a, pair.b, pair.workload, pair.case, metric)
        for pair in pairs
        for metric in metrics
        if pair.has(metric)
    ]
    asked = [judging.CaseQuestion(q.workload, ((q.a, q.b),), q.metric) for q in questions]
    return [Row(q, judgement) for q, judgement in zip(questions, judging.judged(seen).all_of(asked), strict=True)]
