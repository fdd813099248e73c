"""Between runs the run is the unit: exact under any run effect, and what is known of the scatter counts once."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from offloadbench.analysis.statistics import holm, run_means
from offloadbench.analysis.statistics.estimates import GIVEN, ONE_RUN, RUNS, welch
from offloadbench.analysis.statistics.holm import CHANGED, INDICATION, TOO_FEW, UNDECIDED, judge
from offloadbench.analysis.statistics.run_means import KnownScatter, change
from offloadbench.base.errors import StatisticError
from tests.benchmarks.between_runs import shown_between
from tests.benchmarks.run_noise import Design, Noise, called, coverage, mixed_model, trials_as_units

SIMULATIONS = 250
# three standard deviations of a share of 5 % of so many; rows of a comparison resemble each other
SLACK = 0.042


def _runs(seed: int, count: int, trials: int = 5, level: float = 1.0, run: float = 0.08) -> list[list[float]]:
    random = np.random.default_rng(seed)
    return [
        [float(x) for x in level * np.exp(random.normal(0, run) + random.normal(0, 0.05, trials))] for _ in range(count)
    ]


def test_run_means_are_scipys_pooled_t_test() -> None:
    a, b = _runs(1, 3), _runs(2, 4, level=1.2)
    means = [[float(np.log(run).mean()) for run in side] for side in (a, b)]
    found = stats.ttest_ind(means[1], means[0], equal_var=True)
    estimate = change(a, b)
    assert estimate.p == pytest.approx(found.pvalue)
    assert estimate.interval() == pytest.approx(tuple(found.confidence_interval(0.95)))
    assert (estimate.method, estimate.degrees, estimate.units) == (RUNS, 5, (3, 4))
    assert (estimate.trials_a, estimate.trials_b) == (15, 20)


def test_more_trials_inside_the_runs_do_not_make_the_runs_more() -> None:
    # 62 s apart, the same machine and settings: -18.7 % was called changed, p 0.00036
    apart = [[[2.77 * f for f in (0.97, 1.0, 1.02, 0.99, 1.02)]], [[2.26 * f for f in (1.03, 0.98, 1.0, 0.99, 1.0)]]]
    assert welch(*(side[0] for side in apart)).p < 0.001
    (judgement,) = judge([change(*apart)])
    assert (judgement.verdict, judgement.estimate.method) == (INDICATION, ONE_RUN)
    assert math.isnan(judgement.p_holm)


@pytest.mark.parametrize("effect", [0.0, 0.5, 1.0, 1.6])
@pytest.mark.parametrize(
    "design", [Design(1, 1, exact=True), Design(1, 1, others=6), Design(2, 2), Design(3, 3)], ids=str
)
def test_intervals_hold_the_truth_and_identical_runs_are_rarely_called(effect: float, design: Design) -> None:
    noise = Noise(0.05, 0.05 * effect)
    assert 0.95 - SLACK <= coverage(noise, design, SIMULATIONS, 3) <= 0.95 + SLACK
    for by_workload in (False, True):
        assert called(noise, design, SIMULATIONS, 4, by_workload=by_workload) <= 0.05 + SLACK


def test_unequal_numbers_of_runs_and_trials_keep_the_promise() -> None:
    for design in (Design(3, 10), Design(2, 6), Design(3, 3, 3, 20), Design(1, 1, 3, 20, exact=True)):
        assert called(Noise(0.05, 0.05), design, SIMULATIONS, 5) <= 0.05 + SLACK


def test_what_was_done_before_and_a_mixed_model_would_be_noticed() -> None:
    noise = Noise(0.05, 0.05)
    assert trials_as_units(noise, Design(1, 1), SIMULATIONS, 6) > 0.3
    assert trials_as_units(noise, Design(1, 1, 3, 20), SIMULATIONS, 6) > 0.3
    assert mixed_model(noise, Design(2, 2), SIMULATIONS, 6) > 0.1


def test_a_planted_change_is_found_where_the_scatter_allows_it() -> None:
    assert called(Noise(0.05, 0.02), Design(3, 3), 200, 7, change=0.15) >= 0.8
    assert called(Noise(0.05, 0.04), Design(3, 3, others=6), 200, 7, change=0.15) >= 0.8
    # even with the scatter known exactly, one test of 3 against 3 has a power of 57 % there
    assert called(Noise(0.05, 0.08), Design(3, 3), 200, 7, change=0.15) <= 0.57


@pytest.mark.parametrize("design", [Design(3, 3), Design(3, 10), Design(1, 1, others=6)], ids=str)
def test_what_would_have_been_shown_is_shown_in_four_of_five(design: Design) -> None:
    _, share = shown_between(design, SIMULATIONS, 8)
    assert 0.72 <= share <= 0.88


def test_other_runs_tell_the_scatter_of_one_run_a_side() -> None:
    a, b, others = _runs(1, 1), _runs(2, 1, level=2.0), _runs(3, 6)
    estimate = change(a, b, others=others)
    means = [float(np.log(run).mean()) for run in others]
    assert estimate.degrees == 5
    assert estimate.run_sd == pytest.approx(np.std(means, ddof=1))
    assert estimate.standard_error == pytest.approx(math.sqrt(2) * np.std(means, ddof=1))
    assert judge([estimate])[0].verdict == CHANGED
    # of runs with more trials than those compared, the trials' own part is added
    few = change([run[:2] for run in a], [run[:2] for run in b], others=others)
    assert few.standard_error > estimate.standard_error


def test_a_scatter_that_is_given_decides_with_its_degrees_of_freedom() -> None:
    a, b = _runs(1, 1, run=0.0), _runs(2, 1, level=1.3, run=0.0)
    exact, of_six = (change(a, b, known=known) for known in (KnownScatter(0.08), KnownScatter(0.08, 5)))
    assert exact.standard_error == of_six.standard_error == pytest.approx(0.08 * math.sqrt(2))
    assert exact.interval()[1] - exact.interval()[0] == pytest.approx(2 * 1.95996 * 0.08 * math.sqrt(2), rel=1e-4)
    assert of_six.p > exact.p
    assert exact.method == GIVEN
    assert judge([change(a, a, known=KnownScatter(0.08))])[0].verdict == UNDECIDED


def test_a_scatter_that_the_data_contradict_is_not_used() -> None:
    wild = change(_runs(1, 3, run=0.3), _runs(2, 3, run=0.3), known=KnownScatter(0.01))
    assert wild.method == RUNS
    assert "more than the 1 % given" in wild.note
    single = change([[1.0, 1.4, 0.8, 1.3]], [[1.1, 0.7, 1.5, 0.9]], known=KnownScatter(0.01))
    assert "the trials alone" in single.note
    assert single.standard_error > 0.1


def test_verdicts_need_two_degrees_of_freedom() -> None:
    one_against_two, one_against_three = (change(_runs(1, 1), _runs(2, n, level=9.0)) for n in (2, 3))
    assert not holm.testable(one_against_two)
    assert judge([one_against_two])[0].verdict == TOO_FEW
    assert judge([one_against_two])[0].trials_needed == 2
    assert judge([one_against_three])[0].verdict == CHANGED


def test_two_runs_a_side_find_what_is_obvious() -> None:
    runs = holm.trials_needed(6, of_runs=True)
    found = sum(
        judge([change(_runs(s, runs, run=0.02), _runs(s + 5000, runs, level=1.6, run=0.02))] * 6)[0].verdict == CHANGED
        for s in range(200)
    )
    assert found >= 0.8 * 200


def test_what_cannot_be_weighed_is_an_error() -> None:
    with pytest.raises(StatisticError, match="do not differ at all"):
        change([[1.0, 1.0], [1.0, 1.0]], [[2.0, 2.0], [2.0, 2.0]])
    with pytest.raises(StatisticError, match="no trials"):
        change([[]], [[1.0]])
    assert change([[1.0, 1.0]] * 2, [[1.0, 1.0]] * 2).p == 1


def test_modules_are_weighed_on_the_raw_scale() -> None:
    estimate = run_means.change([[0.0, 0.1], [0.1, 0.0]], [[0.5, 0.6], [0.6, 0.7]], log=False)
    assert estimate.change == pytest.approx(0.55)
    assert estimate.degrees == 2
