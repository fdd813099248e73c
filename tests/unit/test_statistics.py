"""The statistics agree with scipy's own tests, keep their promises on simulated noise, and never fail in silence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from offloadbench.analysis.statistics import estimates
from offloadbench.analysis.statistics import holm as family
from offloadbench.analysis.statistics.estimates import batches, indicated, mean_interval, mean_of, paired, welch
from offloadbench.analysis.statistics.holm import CHANGED, TOO_FEW, UNDECIDED, holm, judge, trials_needed
from offloadbench.base.errors import StatisticError
from tests.benchmarks import statistics as promises

RANDOM = np.random.default_rng(20240607)


def _lognormal(count: int, sigma: float, level: float = 1.0) -> estimates.Values:
    return level * np.exp(RANDOM.normal(0, sigma, count))


def test_pairs_are_scipys_paired_t_test_on_logarithms() -> None:
    a, b = _lognormal(6, 0.1), _lognormal(6, 0.1, 1.1)
    found = stats.ttest_rel(np.log(b), np.log(a))
    estimate = paired(a, b)
    assert estimate.p == pytest.approx(found.pvalue)
    assert estimate.interval() == pytest.approx(tuple(found.confidence_interval(0.95)))
    assert estimate.ratio(estimate.change) == pytest.approx(stats.gmean(b) / stats.gmean(a))


def test_unpaired_trials_are_scipys_welch_test_on_logarithms() -> None:
    a, b = _lognormal(4, 0.1), _lognormal(3, 0.3, 1.1)
    found = stats.ttest_ind(np.log(b), np.log(a), equal_var=False)
    estimate = welch(a, b)
    assert estimate.p == pytest.approx(found.pvalue)
    assert estimate.interval() == pytest.approx(tuple(found.confidence_interval(0.95)))
    raw = stats.ttest_ind(b, a, equal_var=False)
    assert welch(a, b, log=False).p == pytest.approx(raw.pvalue)


@pytest.mark.parametrize("trials", [5, 6, 8, 10])
def test_an_interval_of_few_steady_trials_never_explodes(trials: int) -> None:
    # a lag-1 correction estimated from so few once made 651 % of 1 % noise
    random = np.random.default_rng(trials)
    plain = 0.01 * math.sqrt(2 / trials)
    widest = max(welch(*np.exp(random.normal(0, 0.01, (2, trials)))).standard_error / plain for _ in range(2000))
    assert widest < 2.5


def test_the_difference_and_the_ratio_agree_about_zero() -> None:
    judgement = judge([paired(_lognormal(5, 0.1), _lognormal(5, 0.1, 1.2))])[0]
    ratio, low, high = judgement.ratios()
    assert judgement.differences() == pytest.approx([judgement.estimate.a * (x - 1) for x in (ratio, low, high)])


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("test", [paired, welch])
def test_what_has_no_logarithm_is_an_error(test: object, wrong: float) -> None:
    with pytest.raises(StatisticError, match="no logarithm") as caught:
        test([1.0, 2.0, wrong], [1.0, 2.0, 3.0])  # type: ignore[operator]
    assert caught.value.exit_code == 10


@pytest.mark.parametrize("log", [True, False])
def test_a_change_without_any_scatter_is_an_error_and_never_significant(log: bool) -> None:
    for test in (paired, welch):
        with pytest.raises(StatisticError, match="do not differ at all"):
            test([1.1, 1.1, 1.1], [1.3, 1.3, 1.3], log=log)


def test_the_same_trials_twice_show_no_change() -> None:
    values = [1.1, 1.3, 0.7]
    assert paired(values, values).p == welch([1.1] * 3, [1.1] * 3).p == 1
    assert judge([paired(values, values)])[0].verdict == UNDECIDED


def test_no_trials_are_an_error() -> None:
    with pytest.raises(StatisticError, match="no trials"):
        welch([], [1.0])


def test_holm_adjusts_step_by_step() -> None:
    adjusted, levels = holm([0.01, 0.04, 0.03, 0.5], 4)
    assert adjusted == pytest.approx([0.04, 0.09, 0.09, 0.5])
    # after the first that is kept, all others are shown at its level
    assert levels == pytest.approx([1 - 0.05 / 4, *[1 - 0.05 / 3] * 3])
    alone, level = holm([0.03], 1)
    assert (alone, level) == ([0.03], [0.95])
    assert math.isnan(holm([math.nan, 0.001], 2)[0][0])


def test_an_interval_leaves_out_no_change_exactly_when_the_verdict_is_changed() -> None:
    for _ in range(300):
        shifts = RANDOM.choice([1.0, 1.05, 1.3], 6)
        judged = judge([paired(_lognormal(5, 0.05), _lognormal(5, 0.05, shift)) for shift in shifts])
        for judgement in judged:
            _, low, high = judgement.ratios()
            assert (low > 1 or high < 1) == (judgement.verdict == CHANGED)


def test_too_few_is_told_with_the_number_that_the_family_needs() -> None:
    assert [trials_needed(tests) for tests in (1, 8, 200)] == [3, 4, 5]
    assert [trials_needed(tests, of_runs=True) for tests in (1, 8, 200)] == [2, 3, 4]
    few = judge([paired([1.0, 1.02], [3.0, 3.1])] * 8)[0]
    assert (few.verdict, few.trials_needed) == (TOO_FEW, 4)
    assert math.isnan(few.p)
    # three blocks of a family of eight can show what is plain, and nothing else
    plain = judge([paired(_lognormal(3, 0.001), _lognormal(3, 0.001, 2.0))] * 8)[0]
    unclear = judge([paired([1.0, 1.1, 1.2], [1.2, 1.0, 1.1])] * 8)[0]
    assert (plain.verdict, unclear.verdict) == (CHANGED, TOO_FEW)


def test_from_that_number_on_an_obvious_change_is_found() -> None:
    tests = 8
    trials = trials_needed(tests)
    found = sum(
        judge([paired(_lognormal(trials, 0.02), _lognormal(trials, 0.02, math.exp(0.2)))] * tests)[0].verdict == CHANGED
        for _ in range(300)
    )
    assert found >= 0.8 * 300


@pytest.mark.parametrize("trials", [3, 5, 8, 10, 20])
@pytest.mark.parametrize("tests", [2, 6])
def test_the_detectable_change_is_found_four_times_in_five(trials: int, tests: int) -> None:
    _, share = promises.shown_at(trials, tests, 600, trials)
    # 80 % within three standard deviations of 600, and the median of 200 that says which change
    assert 0.74 <= share <= 0.87


def test_the_mean_over_cases_is_narrower_than_each() -> None:
    parts = [welch(_lognormal(5, 0.05), _lognormal(5, 0.05, 1.1)) for _ in range(6)]
    whole = mean_of(parts)
    assert whole.change == pytest.approx(np.mean([part.change for part in parts]))
    assert whole.standard_error < min(part.standard_error for part in parts)
    assert whole.degrees > max(part.degrees for part in parts)


def test_one_trial_a_side_gives_an_indication_and_never_a_verdict() -> None:
    seconds = [_lognormal(60, 0.05) for _ in range(2)]
    inside = [batches(side, np.ones(60)) for side in seconds]
    judgement = judge([indicated(1.0, 3.0, *inside)])[0]
    assert judgement.verdict == family.INDICATION
    assert math.isnan(judgement.p)
    low, high = judgement.estimate.interval()
    assert low < math.log(3) < high


def test_batches_grow_until_neighbours_are_independent() -> None:
    white = _lognormal(60, 0.05)
    walk = np.exp(np.cumsum(RANDOM.normal(0, 0.05, 60)))
    slow = np.repeat(_lognormal(15, 0.05), 4)
    assert len(batches(white, np.ones(60))) == 30
    assert len(batches(slow, np.ones(60))) < 30
    assert len(batches(walk, np.ones(60))) == 0
    assert len(batches(white[:9], np.ones(9))) == 0


@pytest.mark.parametrize("trials", [3, 5, 8])
@pytest.mark.parametrize("test", [paired, welch])
def test_an_interval_holds_the_truth_in_95_of_100(test: object, trials: int) -> None:
    held = 0
    for _ in range(600):
        low, high = test(_lognormal(trials, 0.1), _lognormal(trials, 0.1, 1.05)).interval()  # type: ignore[operator]
        held += low <= math.log(1.05) <= high
    assert 0.925 <= held / 600 <= 0.985


def test_pairs_in_blocks_do_not_care_what_drifts() -> None:
    held = 0
    for _ in range(600):
        drift = np.linspace(0, 1, 5) + np.cumsum(RANDOM.normal(0, 0.2, 5))
        a, b = (np.exp(drift + RANDOM.normal(0, 0.05, 5)) for _ in range(2))
        low, high = paired(a, b).interval()
        held += low <= 0 <= high
    assert 0.925 <= held / 600 <= 0.975


def test_a_family_of_comparisons_without_change_rarely_calls_one() -> None:
    called = sum(
        any(j.verdict == CHANGED for j in judge([paired(_lognormal(5, 0.1), _lognormal(5, 0.1)) for _ in range(6)]))
        for _ in range(300)
    )
    assert called <= 0.08 * 300


def test_interval_of_a_mean_is_student_t_on_logarithms() -> None:
    mean, low, high = mean_interval([1.0, 2.0, 4.0])
    # t(2, 97.5 %) = 4.3027, standard error = ln 2 / sqrt(3)
    assert mean == pytest.approx(2.0)
    assert [low, high] == pytest.approx([2 / math.exp(1.72191), 2 * math.exp(1.72191)], rel=1e-4)


def test_one_value_has_no_interval_and_zero_no_logarithm() -> None:
    assert mean_interval([3.0])[0] == pytest.approx(3.0)
    assert all(math.isnan(end) for end in mean_interval([3.0])[1:])
    with pytest.raises(StatisticError):
        mean_interval([0.0, 1.0])


def test_intervals_of_means_hold_the_truth_as_often_as_they_say() -> None:
    generator = np.random.default_rng(4)
    inside = [
        low <= 1.0 <= high for _, low, high in (mean_interval(np.exp(generator.normal(0, 0.2, 5))) for _ in range(2000))
    ]
    assert 0.93 <= np.mean(inside) <= 0.97
