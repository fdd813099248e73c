"""What tests/benchmarks/statistics.py shows at length, from fixed seeds and in seconds; and that it would notice."""

from __future__ import annotations

import pytest
import scipy.special

from offloadbench.analysis.statistics import holm
from offloadbench.analysis.statistics.estimates import paired
from tests.benchmarks import statistics as promises
from tests.benchmarks.between_runs import HIGHEST, LOWEST

SIMULATIONS = 1500
# two standard deviations of a share of so many simulations
SLACK = 0.012


@pytest.fixture(scope="module")
def noise() -> promises.Noise:
    return promises.real_noise()


def test_there_is_real_noise_to_draw_from(noise: promises.Noise) -> None:
    assert len(noise.logs) >= 40
    assert noise.sigma > 0.01


def test_comparisons_of_the_same_rarely_call_a_change(noise: promises.Noise) -> None:
    assert promises.false_alarms_in_blocks(noise, 5, 200, seed=11) <= promises.MOST_CALLED


@pytest.mark.parametrize("trials", promises.TRIALS)
def test_intervals_hold_the_truth(noise: promises.Noise, trials: int) -> None:
    for draw in (
        promises.white(noise.sigma, 0.05, trials),
        promises.drifting(noise.sigma, noise.resemblance, 0.05, trials),
    ):
        share = promises.coverage(paired, draw, trials, 0.05, SIMULATIONS)
        assert LOWEST - SLACK <= share <= HIGHEST + SLACK


def test_five_percent_is_found_with_eight_repeats_where_the_noise_allows_it() -> None:
    # `paper` is a family of six tests; of one alone the power would be 95 and 75 %
    assert promises.power(promises.white(0.02, 0.05, 3), 8, 6, 400) == pytest.approx(0.83, abs=0.06)
    assert promises.power(promises.white(0.03, 0.05, 3), 8, 6, 400) == pytest.approx(0.44, abs=0.08)


def test_intervals_from_the_normal_distribution_would_be_noticed(
    noise: promises.Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = scipy.special.stdtrit
    monkeypatch.setattr(scipy.special, "stdtrit", lambda degrees, p: real(1e9, p))
    share = promises.coverage(paired, promises.white(noise.sigma, 0.05, 3), 3, 0.05, SIMULATIONS)
    assert share < LOWEST - SLACK


def test_a_family_without_correction_would_be_noticed(noise: promises.Noise, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(p_values: list[float], tests: int, _: float) -> tuple[list[float], list[float]]:
        return [p / (2 * tests) for p in p_values], [0.95] * len(p_values)

    monkeypatch.setattr(holm, "holm", careless)
    assert promises.false_alarms_in_blocks(noise, 8, 200, seed=11) > promises.MOST_CALLED
