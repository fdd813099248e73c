"""How a run ends: what it found, on what that rests, what to do, and a page that overwrites nothing."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from offloadbench.commands import run_answer
from offloadbench.engine.options import RunOptions
from offloadbench.engine.progress_events import Emit
from offloadbench.model import Run
from tests.conftest import CommandLine
from tests.unit.repeats import noise, of_costs


def _lines(run: Run) -> list[str]:
    return list(run_answer.lines(run_answer.material(run, Path("a.json"))))


def test_a_run_with_a_verdict_says_what_to_do_and_on_what_that_rests(sample_run: Run) -> None:
    found = _lines(of_costs(sample_run, {"tso": noise(5, 0.01, 1), "csum": [2 * x for x in noise(5, 0.01, 2)]}))
    assert len(found) == 3
    assert re.match(r"ftp-get: With TSO\b.*, 50 % less CPU for the same data: ", found[0])
    assert re.match(r"  how sure: Case tso against csum: .* interval.* 5 blocks, ", found[1])
    assert found[2] == "  to do: nothing: the state as found is the best of those measured"


def test_a_run_without_a_verdict_orders_nothing(sample_run: Run) -> None:
    found = _lines(of_costs(sample_run, {"tso": [1.0], "csum": [2.0]}))
    assert found[0].startswith("ftp-get: An indication from one trial a side, no verdict")
    assert found[2] == "  to do: nothing follows from this run"
    assert _lines(msgspec.structs.replace(sample_run, trials=[])) == ["answer: none: no two cases can be compared"]


@pytest.mark.parametrize("name", ["x.json", "x.json.gz", "x.json.xz", "x"])
def test_the_page_lies_beside_the_run_file_and_overwrites_nothing(sample_run: Run, tmp_path: Path, name: str) -> None:
    output = tmp_path / name
    found = run_answer.material(sample_run, output)
    page = tmp_path / "x.html"
    assert run_answer.write_page(found, output, again=False) == f"report: {page}"
    assert "<html" in page.read_text()
    page.write_text("of somebody")
    assert "stays" in run_answer.write_page(found, output, again=False)
    assert page.read_text() == "of somebody"
    run_answer.write_page(found, output, again=True)
    assert "<html" in page.read_text()
    missing = run_answer.write_page(found, tmp_path / "absent" / name, again=False)
    assert "No such file or directory; write it elsewhere" in missing


def test_a_run_that_was_not_told_what_measures_enough_for_a_verdict(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sample_run: Run
) -> None:
    from offloadbench.engine.run import execute as engine

    asked: list[RunOptions] = []

    def execute(options: RunOptions, emit: Emit) -> Run:
        del emit
        asked.append(options)
        return sample_run

    monkeypatch.setattr(engine, "execute", execute)
    output = tmp_path / "x.json"
    told = command_line("run", "--nic", "lab", "--output", str(output))
    assert told.out.startswith("no --cases: every offload on (tso) against none, 5 repeats of 5 s; ")
    assert told.out.endswith(f"result: {output}\nreport: {tmp_path / 'x.html'}\n")
    typed = ("--duration", "60", "--repeats", "2", "--no-report", "--overwrite")
    told = command_line("run", "--nic", "lab", "--output", str(output), *typed)
    assert f"next: offloadbench report {output} --output report.html" in told.out
    found = [(one.cases, one.repeats, one.duration_s, one.warmup_s) for one in asked]
    assert found == [("tso,none", 5, 5, 2.0), ("tso,none", 2, 60, 2.0)]
