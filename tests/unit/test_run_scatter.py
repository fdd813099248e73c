"""The scatter between runs: known truth, simulated, and the limits of what it can say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from offloadbench.analysis.comparison.run_scatter import Scatter, components
from offloadbench.base.errors import StatisticError


def _simulated(seed: int, run_sd: float, trial_sd: float, trials: list[int]) -> Scatter:
    random = np.random.default_rng(seed)
    runs = [np.exp(random.normal(0, run_sd) + random.normal(0, trial_sd, count)) for count in trials]
    return components([run.tolist() for run in runs])


@pytest.mark.parametrize("effect", [0.0, 0.5, 1.0, 1.6])
@pytest.mark.parametrize("trials", [[5] * 6, [3] * 12, [5, 5, 3, 8, 20, 5]])
def test_the_interval_of_what_runs_add_holds_the_truth(effect: float, trials: list[int]) -> None:
    trial_sd = 0.05
    found = [_simulated(seed, effect * trial_sd, trial_sd, trials) for seed in range(1000)]

    held = np.mean([one.run_low <= effect * trial_sd <= one.run_high for one in found])
    # a third of a percent of binomial noise at 1,000; without an effect only the upper end can miss
    assert held >= 0.93
    assert effect == 0 or held <= 0.97


@pytest.mark.parametrize("effect", [0.0, 0.5, 1.6])
def test_components_are_those_that_were_drawn(effect: float) -> None:
    trial_sd = 0.05
    found = [_simulated(seed, effect * trial_sd, trial_sd, [5] * 8) for seed in range(1000)]
    means_variance = (effect**2 + 1 / 5) * trial_sd**2

    assert np.mean([one.means_sd**2 for one in found]) == pytest.approx(means_variance, rel=0.07)
    assert np.mean([one.trial_sd**2 for one in found]) == pytest.approx(trial_sd**2, rel=0.03)
    held = np.mean([one.means_low <= math.sqrt(means_variance) <= one.means_high for one in found])
    assert 0.93 <= held <= 0.97
    if effect == 1.6:
        assert np.median([one.run_sd for one in found]) == pytest.approx(effect * trial_sd, rel=0.1)
        assert np.median([one.explained_ratio for one in found]) == pytest.approx(0.2 / (1.6**2 + 0.2), rel=0.25)


def test_one_trial_a_run_says_how_means_scatter_and_not_why() -> None:
    found = components([[1.0], [1.1], [0.9]])

    assert found.degrees == 2
    assert found.means_sd == pytest.approx(float(np.std(np.log([1.0, 1.1, 0.9]), ddof=1)))
    assert math.isnan(found.run_sd)
    assert math.isnan(found.explained_ratio)


def test_one_run_says_nothing_about_runs() -> None:
    found = components([[1.0, 1.1, 0.9]])

    assert (found.runs, found.trials, found.degrees) == (1, 3, 0)
    assert math.isnan(found.means_sd)
    assert math.isnan(found.run_sd)
    assert found.trial_sd > 0


@pytest.mark.parametrize("runs", [[[1.0], []], [[1.0, 0.0], [1.0]], [[1.0, math.nan], [1.0]]])
def test_a_figure_without_a_logarithm_is_an_error(runs: list[list[float]]) -> None:
    with pytest.raises(StatisticError):
        components(runs)
