"""Defaults of `run` from the environment and from offloadbench.toml, and who wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from offloadbench.base.errors import UsageError
from offloadbench.cli import _parser
from offloadbench.commands.options.run_defaults import FILE, expand
from tests.conftest import CommandLine


def _expand(tmp_path: Path, typed: str, toml: str = "", **environment: str) -> list[str]:
    if toml:
        (tmp_path / FILE).write_text(toml)
    return expand(["run", *typed.split()], environment, tmp_path)


def test_without_file_and_variables_a_command_line_stays_as_it_is(tmp_path: Path) -> None:
    assert _expand(tmp_path, "--nic lab", OFFLOADBENCH_STATE="/x", OFFLOADBENCH_SSH="ssh") == ["run", "--nic", "lab"]
    assert expand([], {}, tmp_path) == []
    (tmp_path / FILE).write_text('nic = "eth1"')
    assert expand(["restore"], {}, tmp_path) == ["restore"]


def test_the_file_is_under_the_environment_and_both_are_under_what_is_typed(tmp_path: Path) -> None:
    toml = 'nic = "eth1"\ncases = ["tso", "none"]\nduration = 10'
    toml += '\nset = ["clients=4", "files=2"]\nno-profile = true\nwaits = false'
    words = _expand(tmp_path, "--duration 20", toml, OFFLOADBENCH_CASES="paper", OFFLOADBENCH_PEER="wait")
    chosen = _parser().parse_args(words)
    assert (chosen.nic, chosen.cases, chosen.peer, chosen.duration) == ("eth1", "paper", "wait", 20)
    assert chosen.set == ["clients=4", "files=2"]
    assert chosen.no_profile
    assert not chosen.waits


@pytest.mark.parametrize("typed", ["--nic lab", "--fleet tcp://host:8786", "--nic=lab-veth"])
def test_a_load_side_goes_with_its_nic(tmp_path: Path, typed: str) -> None:
    words = _expand(tmp_path, typed, 'nic = "eth1"\npeer = "ssh://host"')
    chosen = _parser().parse_args(words)
    assert chosen.peer == ""
    assert chosen.nic == ("eth1" if chosen.fleet else typed[6:])


def test_a_load_side_named_alone_goes_with_any_nic(tmp_path: Path) -> None:
    words = _expand(tmp_path, "--nic eth2", 'nic = "eth1"\nfleet = "tcp://h:1"', OFFLOADBENCH_PEER="wait")
    chosen = _parser().parse_args(words)
    assert (chosen.nic, chosen.peer, chosen.fleet) == ("eth2", "wait", None)


def test_a_run_that_goes_on_has_its_own(tmp_path: Path) -> None:
    assert _expand(tmp_path, "--resume x.json", 'cases = "tso"') == ["run", "--resume", "x.json"]


@pytest.mark.parametrize(
    ("toml", "says"), [("colour = 1", "colour is no option"), ("nic = ", "Invalid value"), ("force = 3", "on or off")]
)
def test_a_wrong_file_is_told(tmp_path: Path, toml: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        _expand(tmp_path, "", toml)


def test_the_command_line_reads_the_file_of_the_current_folder(
    command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / FILE).write_text('colour = "red"')
    done = command_line("run")
    assert done.code == 2
    assert "colour is no option of run" in done.err
