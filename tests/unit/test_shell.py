"""What shells read: completions that a real bash uses, and a man page that groff formats without a complaint."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from offloadbench.base.errors import EXIT_CODES
from offloadbench.commands import command_parser, completion
from tests.conftest import CommandLine

_ASK = """
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
function=$(complete -p offloadbench | sed 's/.*-F \\([^ ]*\\).*/\\1/')
"$function" offloadbench "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def _tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if not found:
        if os.environ.get("OFFLOADBENCH_REQUIRE_ALL"):
            pytest.fail(f"needs {package}")
        pytest.skip(f"needs {package}")
    return found


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "offloadbench"
    path.write_text(completion.script("bash"))
    return path


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["com"], {"compare", "completion"}),
        (["run", "--cases", "l"], {"ladder"}),
        (["run", "--workloads", ""], {"ftp-get", "iscsi-write", "tcp-stream"}),
        (["run", "--wire", "n"], {"netem"}),
        (["run", "--nic", "lab"], {"lab", "lab-veth"}),
        (["export", "x.json", "--table", "fl"], {"flights", "flight_frames"}),
        (["lab", ""], {"up", "exec", "status", "down"}),
        (["report", "x.json", "--profile", "m"], {"mlx5"}),
    ],
)
def test_bash_completes(bash_script: Path, words: list[str], offered: set[str]) -> None:
    told = subprocess.run(
        [_tool("bash", "bash"), "--norc", "-c", _ASK, "bash", bash_script, "offloadbench", *words],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert set(told.stdout.split()) >= offered
    assert told.stderr == ""


def test_the_scripts_are_printed_for_every_shell(command_line: CommandLine) -> None:
    for shell in completion.SHELLS:
        finished = command_line("completion", shell)
        assert (finished.code, finished.err) == (0, "")
        for command in command_parser.subparsers(command_parser.build()):
            assert command in finished.out
    finished = command_line("completion", "fish")
    assert finished.code == 2
    assert "bash, zsh, tcsh" in finished.err


def test_the_man_page_has_everything_and_groff_takes_it() -> None:
    if "OFFLOADBENCH_REQUIRE_ALL" not in os.environ:
        pytest.importorskip("argparse_manpage", reason="needs argparse-manpage (extra dev)")
    from tools import man_page

    page = man_page.text()
    plain = page.replace("\\-", "-")
    for command, parser in command_parser.subparsers(command_parser.build()).items():
        assert f"offloadbench {command}" in plain
        assert all(option in plain for option in parser._option_string_actions)
    assert all(meaning.sentence.replace("`", "") in plain for meaning in EXIT_CODES.values())
    formatted = subprocess.run(
        [_tool("groff", "groff-base"), "-man", "-Tutf8", "-ww", "-Wbreak"],
        input=page,
        capture_output=True,
        text=True,
        check=True,
    )
    assert formatted.stderr == ""
    # bold is printed twice
    assert "EXIT STATUS" in re.sub(".\x08", "", formatted.stdout)
