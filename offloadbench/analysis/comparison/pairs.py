"""Two sides of one case, and the change from one to the other: of one run, paired within its blocks, or of several."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from offloadbench.analysis.comparison.usable_trials import Observation, common_blocks, values
from offloadbench.analysis.statistics import run_means
from offloadbench.analysis.statistics.estimates import Estimate, indicated, paired
from offloadbench.base.errors import StatisticError

Side = dict[int, Observation]
ALL_CASES, OTHER_CASES = "all cases", "the other cases"


@dataclass(frozen=True, slots=True)
class PairQuestion:
    """What is compared.

    Attributes:
        a, b: the names of two sides (runs), or two cases of one run.
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

    @property
    def between_runs(self) -> bool:
        """Whether its sides are runs, not two cases of one run."""
        return self.b not in (self.case, OTHER_CASES)


Asked = tuple[PairQuestion, Estimate]


@dataclass(frozen=True, slots=True)
class CasePair:
    """Two sides of one case, repeat -> trial, for each run.

    Attributes:
        within: both sides are of one run, so that its blocks pair them.
        others: more runs of the configuration, which tell how runs scatter; a run without the case has no trials.
        given: metric -> the scatter of runs, as the user knows it.
    """

    a: str
    b: str
    workload: str
    case: str
    runs_a: Sequence[Side]
    runs_b: Sequence[Side]
    within: bool
    others: Sequence[Side] = ()
    given: Mapping[str, run_means.KnownScatter] = field(default_factory=dict)

    def groups(self) -> tuple[list[list[Observation]], ...]:
        """The trials to compare, by side and run, and those of other runs; inside a run those of the common blocks."""
        if not self.within:
            sides = (self.runs_a, self.runs_b, self.others)
            return tuple([list(run.values()) for run in runs if run] for runs in sides)
        (side_a,), (side_b,) = self.runs_a, self.runs_b
        blocks = common_blocks(side_a, side_b)
        return [[side_a[block] for block in blocks]], [[side_b[block] for block in blocks]], []

    def only(self, wanted: Callable[[Observation], bool]) -> CasePair:
        """The pair with those trials only; a run without any is left out."""
        kept = [
            [side for run in runs if (side := {block: seen for block, seen in run.items() if wanted(seen)})]
            for runs in (self.runs_a, self.runs_b, self.others)
        ]
        return replace(self, runs_a=kept[0], runs_b=kept[1], others=kept[2])

    def has(self, metric: str) -> bool:
        """Whether every trial has this figure."""
        return not any(math.isnan(x) for runs in self.groups() for run in runs for x in values(run, metric))

    def estimate(self, metric: str) -> Estimate:
        """The change of a metric.

        Raises:
            StatisticError: it cannot be computed.
        """
        left, right, others = self.groups()
        known = bool(others) or metric in self.given
        if not known and [len(run) for run in (*left, *right)] == [1, 1]:
            return _indicated(left[0][0], right[0][0], metric)
        figures = [[values(run, metric) for run in runs] for runs in (left, right, others)]
        return self.weigh(figures, metric)

    def weigh(self, figures: Sequence[Sequence[Sequence[float]]], metric: str, *, log: bool = True) -> Estimate:
        """The change from figures of this pair's two sides and its other runs."""
        left, right, others = figures
        if self.within:
            return paired(left[0], right[0], log=log)
        # a scatter in percent says nothing of modules
        return run_means.change(left, right, others=others, known=self.given.get(metric), log=log)

    def ask(self, metric: str) -> Asked:
        """The question about a metric, with its estimate."""
        question = PairQuestion(self.a, self.b, self.workload, self.case, metric)
        with named(question):
            return question, self.estimate(metric)


def _indicated(a: Observation, b: Observation, metric: str) -> Estimate:
    return indicated(a.value(metric), b.value(metric), a.batches(metric), b.batches(metric))


@contextlib.contextmanager
def named(question: PairQuestion) -> Iterator[None]:
    """A statistic that fails says of what."""
    try:
        yield
    except StatisticError as error:
        raise StatisticError(f"{question}: {error.message}", error.hint) from error
