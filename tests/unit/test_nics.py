"""`run --nic eth1,eth2`: which load side and which file each NIC gets, and what one's failure does to the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from offloadbench.base.errors import FeatureError, UsageError
from offloadbench.commands.options import nic_options
from offloadbench.engine.options import RunOptions
from offloadbench.engine.progress_events import Emit
from offloadbench.engine.run import execute as engine
from offloadbench.model import Run
from tests.conftest import CommandLine


def _told(names: str, peers: str = "", output: str = "") -> list[tuple[str, str, str]]:
    found = nic_options.targets(names, peers, output, "now")
    return [(one.nic, one.peer, str(one.output.relative_to(Path.cwd()))) for one in found]


def test_files_are_named_after_their_nic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    assert _told("lab") == [("lab", "", "lab-now.json")]
    assert _told("lab", output="x.json") == [("lab", "", "x.json")]
    assert [row[2] for row in _told("lab,lab-veth", output="x.json")] == ["x-lab.json", "x-lab-veth.json"]
    assert [row[2] for row in _told("lab,lab-veth", output="x.json.gz")] == ["x-lab.json.gz", "x-lab-veth.json.gz"]
    assert [row[2] for row in _told("eth1,eth2", output="new/")] == ["new/eth1.json", "new/eth2.json"]
    assert [row[2] for row in _told("eth1", output="there")] == ["there/eth1.json"]


def test_one_load_side_for_all_or_one_for_each() -> None:
    assert [row[1] for row in _told("eth1,eth2", "nic:eth3")] == ["nic:eth3", "nic:eth3"]
    assert [row[1] for row in _told("eth1,eth2", "nic:eth3,nic:eth4")] == ["nic:eth3", "nic:eth4"]
    assert [row[1] for row in _told("lab,eth1", "nic:eth3")] == ["", "nic:eth3"]
    with pytest.raises(UsageError, match="2 load sides for 3 NICs"):
        _told("eth1,eth2,eth3", "nic:eth4,nic:eth5")


@pytest.mark.parametrize("names", ["eth1,", "eth1,eth1", ","])
def test_a_nic_missing_or_twice_is_a_usage_error(names: str) -> None:
    with pytest.raises(UsageError, match="missing or twice"):
        _told(names)


def test_what_fails_of_one_leaves_the_others_and_the_worst_code_is_told(
    command_line: CommandLine, sample_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = []

    def execute(options: RunOptions, emit: Emit) -> Run:
        del emit
        measured.append(options.nic)
        if options.nic == "eth1":
            raise FeatureError("eth1: cannot set tx", "see ethtool")
        options.output.write_text("x")
        return sample_run

    monkeypatch.setattr(engine, "execute", execute)
    finished = command_line(
        "run", "--nic", "eth1,eth2,eth3", "--peer", "nic:eth4", "--cases", "tso", "--output", f"{tmp_path}/new/"
    )
    assert measured == ["eth1", "eth2", "eth3"]
    assert finished.code == FeatureError.exit_code
    assert "error: eth1: cannot set tx\nhint: see ethtool\n" in finished.err
    new = tmp_path / "new"
    assert f"together: offloadbench report {new}/eth2.json {new}/eth3.json --output report.html" in finished.out


def test_a_file_that_is_there_stops_all_before_the_first(
    command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "execute", lambda options, emit: pytest.fail("nothing is measured"))
    (tmp_path / "x-lab-veth.json").write_text("x")
    finished = command_line("run", "--nic", "lab,lab-veth", "--cases", "tso", "--output", str(tmp_path / "x.json"))
    assert finished.code == 2
    assert "x-lab-veth.json exists" in finished.err


def test_resuming_is_for_one_file(command_line: CommandLine) -> None:
    finished = command_line("run", "--nic", "eth1,eth2", "--resume", "x.json")
    assert (finished.code, "one run file" in finished.err) == (2, True)
