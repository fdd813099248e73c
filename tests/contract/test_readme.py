"""Every command in the README is one that the command line takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from offloadbench.cli import _parser

README = (Path(__file__).parents[2] / "README.md").read_text()


def _commands() -> list[str]:
    lines = re.findall(r"^    (offloadbench .*)$", README, re.MULTILINE)
    return [line for line in lines if "..." not in line and "[" not in line and "|" not in line and "SPEC" not in line]


def test_there_are_commands_to_check() -> None:
    assert len(_commands()) >= 4


@pytest.mark.parametrize("command", _commands())
def test_readme_command_parses(command: str) -> None:
    chosen = _parser().parse_args(shlex.split(command)[1:])
    assert callable(chosen.main)


def test_the_two_set_up_commands_come_first() -> None:
    assert re.findall(r"^    (\S.*)$", README, re.MULTILINE)[:2] == ["./bootstrap run", "./bootstrap test"]
