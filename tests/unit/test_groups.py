"""What differs between the sides of a comparison, inside a side, and in time."""

from __future__ import annotations

import msgspec
import pytest

from offloadbench.analysis.comparison.groups import RunGroup, ScatterSource, differences
from offloadbench.base.errors import RunFileError
from offloadbench.model import Run
from tests.unit.sides import group

replace = msgspec.structs.replace


def _at(side: RunGroup, hour: int) -> RunGroup:
    runs = [
        replace(run, created_utc=f"2026-01-01T{hour + 2 * index:02d}:00:00+00:00")
        for index, run in enumerate(side.runs)
    ]
    return RunGroup(side.name, runs, side.names)


def _kernel(side: RunGroup, kernels: list[str]) -> RunGroup:
    runs = [replace(run, host=replace(run.host, kernel=kernel)) for run, kernel in zip(side.runs, kernels, strict=True)]
    return RunGroup(side.name, runs, side.names)


def test_what_differs_between_and_inside_the_sides_is_named_once(sample_run: Run) -> None:
    a, b = group(sample_run), group(sample_run, seed=2, name="b")
    assert differences([a, b], ScatterSource(), force=False) == []
    kernel = sample_run.host.kernel
    found = differences([a, _kernel(b, ["7.0"] * 3)], ScatterSource(), force=False)
    assert found == [f"kernel: {kernel} -> 7.0"]
    mixed = differences([_kernel(a, [kernel, kernel, "6.0"]), b], ScatterSource(), force=False)
    assert mixed == [f"a3.json against a1.json: kernel: {kernel} -> 6.0"]
    others = ScatterSource(_kernel(group(sample_run, seed=3, runs=1, name="o"), ["5.0"]))
    assert differences([a, b], others, force=False) == [f"o1.json: kernel: {kernel} -> 5.0"]


def test_sides_that_follow_each_other_in_time_are_said_and_alternating_ones_are_not(sample_run: Run) -> None:
    a, b = group(sample_run), group(sample_run, seed=2, name="b")

    def in_time(first: int, second: int) -> list[str]:
        found = differences([_at(a, first), _at(b, second)], ScatterSource(), force=False)
        return [text for text in found if "alternate them" in text]

    assert len(in_time(0, 6)) == len(in_time(6, 0)) == 1
    assert in_time(0, 1) == []


def test_a_run_counted_twice_is_refused_wherever_it_stands(sample_run: Run) -> None:
    a, b = group(sample_run), group(sample_run, seed=2, name="b")
    for other in (a.runs[0], b.runs[1]):
        with pytest.raises(RunFileError, match="are the same run"):
            differences([a, b], ScatterSource(RunGroup("--scatter-from", [other], ["again.json"])), force=False)
    with pytest.raises(RunFileError, match="are the same run"):
        differences([RunGroup("a", [a.runs[0], a.runs[0]], ["x", "y"]), b], ScatterSource(), force=False)


def test_runs_inside_a_side_must_answer_the_same_question(sample_run: Run) -> None:
    a, b = group(sample_run), group(sample_run, seed=2, name="b")
    other = replace(b.runs[2], plan=replace(b.runs[2].plan, duration_s=99))
    wrong = RunGroup(b.name, [*b.runs[:2], other], b.names)
    with pytest.raises(RunFileError, match="other window"):
        differences([a, wrong], ScatterSource(), force=False)
    assert any("other window" in text for text in differences([a, wrong], ScatterSource(), force=True))
