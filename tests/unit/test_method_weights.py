"""The run file says itself how its samples found their modules."""

from __future__ import annotations

from offloadbench.analysis.profile.method_weights import method_weights
from offloadbench.model import Run
from tests.unit.builders import trial


def test_the_weights_are_those_of_all_samples(sample_run: Run) -> None:
    for captured in sample_run.trials:
        assert captured.profile is not None
        weights = method_weights(sample_run, captured)
        (event,) = captured.profile.events
        assert sum(weights[event.name].values()) == captured.profile.samples * event.period
        assert weights[event.name]["table"] > weights[event.name].get("prefix", 0)


def test_a_trial_without_a_profile_has_none(sample_run: Run) -> None:
    assert method_weights(sample_run, trial()) == {}
