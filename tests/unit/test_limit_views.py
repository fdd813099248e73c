"""Why the sender waits, as a report tells it: case by case, no limit twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from offloadbench.files import run_file
from offloadbench.files.packed_columns import pack_columns, unpack_tcp
from offloadbench.model import Run, TcpTrace
from offloadbench.report.sections import limits_section


@pytest.fixture(scope="module")
def watched(data: Path) -> Run:
    return run_file.load(data / "report-lab-watched.json")


def _repeated(run: Run, repeats: int) -> Run:
    return replace(run, trials=[replace(trial, repeat=n + 1) for n in range(repeats) for trial in run.trials])


@pytest.mark.parametrize(
    ("repeats", "again"),
    [(1, ""), (2, "the same limit in repeat 2"), (4, "the same limit in repeats 2, 3, 4")],
)
def test_repeats_of_one_limit_are_one_verdict(watched: Run, repeats: int, again: str) -> None:
    found, theory = limits_section.watched([_repeated(watched, repeats)])
    assert len(found) == len(watched.trials)
    for one, trial in zip(found, watched.trials, strict=True):
        assert one.first.title == f"{trial.workload}, case {trial.case}, repeat 1"
        assert one.again == again
        assert [other.sentence for other in one.others] == [one.first.sentence] * (repeats - 1)
    once = limits_section.watched([watched])[1]
    assert len(theory.rows) == repeats * len(once.rows)


def _slowed(trace: TcpTrace) -> TcpTrace:
    """The same readings, taken over ten times the time."""
    columns = unpack_tcp(trace)
    return replace(trace, columns=pack_columns(columns | {"t_us": columns["t_us"] * 10}), window_s=trace.window_s * 10)


def test_a_repeat_of_another_limit_is_told_by_itself(watched: Run) -> None:
    trial, *_ = watched.trials
    assert trial.wire
    # a tenth of what the line carries cannot be the line's limit
    slow = replace(trial.wire, to_peer=replace(trial.wire.to_peer, l2_bytes=trial.wire.to_peer.l2_bytes // 10))
    slower = replace(trial, repeat=2, wire=slow, tcp=[_slowed(trace) for trace in trial.tcp])
    found, _ = limits_section.watched([replace(watched, trials=[trial, slower])])
    first, second = (one.first for one in found)
    assert (first.title, second.title) == tuple(f"{trial.workload}, case {trial.case}, repeat {n}" for n in (1, 2))
    assert first.sentence != second.sentence
    assert not any(one.again for one in found)


def test_trials_of_several_runs_tell_their_run(watched: Run) -> None:
    found, theory = limits_section.watched([watched, replace(watched, run_id="later")])
    names = {one.first.title.partition(",")[0] for one in found}
    assert names == {f"run {watched.run_id}", "run later"}
    assert {row[0].text.partition(",")[0] for row in theory.rows} == {watched.run_id, "later"}
