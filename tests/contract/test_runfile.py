"""Every released version of the run file can be read, and still means what it meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offloadbench.files import packed_columns, run_file
from offloadbench.model import FORMAT_VERSION
from tests.conftest import DATA

RELEASED = sorted(DATA.glob("run-v*.json"))


def test_there_is_a_sample_of_every_released_version() -> None:
    assert [path.stem for path in RELEASED] == [f"run-v{version}" for version in range(1, FORMAT_VERSION + 1)]


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: str(path.stem))
def test_a_released_file_loads_with_all_that_it_holds(path: Path) -> None:
    document = json.loads(path.read_text())
    run = run_file.load(path)
    assert run.run_id == document["run_id"]
    for trial, raw in zip(run.trials, document["trials"], strict=True):
        assert trial.samples is not None
        assert trial.samples.counters == raw["samples"]["counters"]
        assert trial.profile is not None
        columns = packed_columns.unpack_profile(trial.profile)
        assert int(columns["count"].sum()) == trial.profile.samples
        assert int(columns["process"].max()) < len(trial.profile.comms)
        assert int(columns["event"].max()) < len(trial.profile.events)
    assert packed_columns.unpack_text(run.kallsyms.text).splitlines()


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: str(path.stem))
def test_every_trial_of_a_released_file_stands_in_its_plan(path: Path) -> None:
    run = run_file.load(path)
    planned = {(trial.repeat, trial.workload, trial.case) for trial in run.plan.order}
    assert {(trial.repeat, trial.workload, trial.case) for trial in run.trials} <= planned
