"""`run --runs`: a file a run, what is there is kept, what is missing is made, and how far runs lie apart is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from offloadbench import cli
from offloadbench.base.errors import HostError
from offloadbench.commands import run as command
from offloadbench.commands import run_series
from offloadbench.definitions import catalog
from offloadbench.engine.options import RunOptions
from offloadbench.files import run_file
from offloadbench.model import Run
from tests.unit import repeats

CASE = next(case for case in catalog.all_cases() if case.name == "tso")
ASKED = ["run", "--nic", "lab", "--cases", "tso,none", "--runs", "3"]


@pytest.fixture
def made(sample_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[RunOptions]:
    """What was asked of the engine, which writes runs at once."""
    asked: list[RunOptions] = []
    monkeypatch.chdir(tmp_path)

    def measure(options: RunOptions, *, dry_run: bool, page: bool) -> int:
        # a page of one of them would answer for all
        assert not page
        asked.append(options)
        if not dry_run:
            costs = (0.60, 0.61, 0.59)
            trials = [repeats.measured(CASE, number, cost) for number, cost in enumerate(costs, 1)]
            base = repeats.repeated(sample_run, trials)
            run = replace(base, run_id=f"r{len(asked)}", command=options.command, finished_utc="now")
            run_file.save(run, options.output)
        return 0

    monkeypatch.setattr(command, "_measure", measure)
    return asked


def _call(monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    words = [*ASKED, *more]
    monkeypatch.setattr("sys.argv", ["offloadbench", *words])
    return cli.main(words)


def test_every_run_has_its_file_and_its_order(
    made: list[RunOptions], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert _call(monkeypatch, "--output", "x.json") == 0
    assert [options.output.name for options in made] == ["x-1.json", "x-2.json", "x-3.json"]
    assert len({options.seed for options in made}) == 3
    said = capsys.readouterr().out
    assert "the means of 3 runs scatter by" in said
    assert "offloadbench compare --baseline" in said


def test_it_goes_on_with_what_is_missing_and_what_did_not_end(
    made: list[RunOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    _call(monkeypatch, "--output", "x.json")
    Path("x-3.json").unlink()
    run_file.save(replace(run_file.load("x-2.json"), finished_utc=""), Path("x-2.json"))
    made.clear()
    assert _call(monkeypatch, "--resume", "x.json") == 0
    assert [(options.output.name, options.resume) for options in made] == [("x-2.json", True), ("x-3.json", False)]


def test_a_series_of_another_command_is_not_gone_on_with(
    made: list[RunOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    _call(monkeypatch, "--output", "x.json")
    made.clear()
    assert _call(monkeypatch, "--resume", "x.json", "--duration", "7") == 2
    assert made == []


def test_a_file_that_is_there_is_not_overwritten(made: list[RunOptions], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("x-2.json").write_text("mine")
    assert _call(monkeypatch, "--output", "x.json") == 2
    assert made == []
    assert Path("x-2.json").read_text() == "mine"


def test_a_dry_run_shows_every_run(made: list[RunOptions], monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert _call(monkeypatch, "--output", "x.json", "--dry-run") == 0
    assert len(made) == 3
    assert "scatter" not in capsys.readouterr().out


def test_a_run_that_fails_leaves_the_others(made: list[RunOptions], monkeypatch: pytest.MonkeyPatch) -> None:
    good = command._measure

    def measure(options: RunOptions, *, dry_run: bool, page: bool) -> int:
        if options.output.name == "x-2.json":
            raise HostError("no", "no")
        return good(options, dry_run=dry_run, page=page)

    monkeypatch.setattr(command, "_measure", measure)
    assert _call(monkeypatch, "--output", "x.json") == 3
    assert len(made) == 2


@pytest.mark.parametrize("more", [["--runs", "1"], ["--dut", "ssh://there"], ["--resume", "x.json", "--output", "y"]])
def test_what_is_no_series_is_refused(made: list[RunOptions], monkeypatch: pytest.MonkeyPatch, more: list[str]) -> None:
    assert _call(monkeypatch, *more) == 2
    assert made == []


def test_both_suffixes_stay() -> None:
    assert [path.name for path in run_series.files(Path("a/x.json.gz"), 2)] == ["x-1.json.gz", "x-2.json.gz"]
