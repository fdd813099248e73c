"""A run file that parses but contradicts itself is refused with its reason, not met with a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from offloadbench.base.errors import RunFileError
from offloadbench.files import run_file

SAMPLE = Path(__file__).parents[1] / "data" / "run-v1.json"
Damage = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda trial: trial["samples"]["counters"]["tx_bytes"].pop(), "differ in length"),
        (lambda trial: trial["samples"]["counters"].clear(), "counters are missing"),
        (lambda trial: trial["profile"]["events"].clear(), "without events"),
        (lambda trial: trial.update(window_s=-1.0), "window of -1.0 s"),
        (
            lambda trial: trial.update(foreign={"ratio": 1.5, "by_process": {}, "profiled": True}),
            "other processes used 1.5 of the CPUs",
        ),
        (lambda trial: trial.update(case="nope"), "not in the plan"),
    ],
)
def test_a_trial_that_contradicts_itself_is_refused(damage: Damage, said: str, tmp_path: Path) -> None:
    run = json.loads(SAMPLE.read_text())
    damage(run["trials"][0])
    path = tmp_path / "run.json"
    path.write_text(json.dumps(run))
    with pytest.raises(RunFileError, match=said) as caught:
        run_file.load(path)
    assert caught.value.exit_code == 8
