"""What is typed wrong: one line, what was meant, and the exit code of a usage error; what is a bug is no regression."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from offloadbench import cli
from offloadbench.base import environment, similar
from offloadbench.base.errors import INTERNAL
from offloadbench.base.units import (
    parse_duration_s,
    parse_percent,
    parse_rate_bits_per_s,
    parse_size_bytes,
    parse_whole_seconds,
)
from offloadbench.commands import command_parser
from offloadbench.commands.options import option_groups
from tests.conftest import CommandLine

RUN = ["run", "--nic", "lab", "--output", "new.json"]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["comapre", "a.json"], "compare"),
        (["Report", "a.json"], "report"),
        (["help", "swep"], "sweep"),
        (["lab", "stauts"], "status"),
        (["probe", "initcwdn"], "initcwnd"),
        (["export", "a.json", "--table", "trial"], "trials"),
        (["report", "a.json", "--formt", "md"], "--format"),
        ([*RUN, "--cases", "tso", "--repeat", "2"], "--repeats"),
        ([*RUN, "--cases", "TSO"], "tso"),
        ([*RUN, "--cases", "laddder"], "ladder"),
        ([*RUN, "--cases", "tso", "--workloads", "ftpget"], "ftp-get"),
        ([*RUN, "--cases", "tso", "--set", "sndbuff=1"], "sndbuf"),
        (["run", "--nic", "lo", "--cases", "tso", "--peer", "root@loader"], "ssh://root@loader"),
        (["compare", "{sample}", "--fail-on", "cpu_per_gb>+5%"], "cpu_s_per_gb"),
        (["compare", "{sample}", "--metric", "cpu_buzy_ratio"], "cpu_busy_ratio"),
        (["export", "{sample}", "--table", "modules", "--profile", "linx"], "linux"),
        (["export", "{sample}", "--table", "modules", "--split", "drivers"], "driver"),
    ],
)
def test_a_misspelt_word_is_answered_with_what_was_meant(
    command_line: CommandLine, sample_path: Path, words: list[str], meant: str
) -> None:
    finished = command_line(*(word.format(sample=sample_path) for word in words))
    assert (finished.code, finished.out) == (2, "")
    assert re.fullmatch(rf"error: .+\nhint: did you mean {re.escape(meant)}\?.*\n", finished.err), finished.err


def test_a_misspelt_key_of_the_file_and_of_the_environment_is_answered(
    command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "offloadbench.toml").write_text("workload = 'ftp-get'\n")
    assert "did you mean workloads?" in command_line(*RUN).err
    (tmp_path / "offloadbench.toml").unlink()
    monkeypatch.setenv("OFFLOADBENCH_PEAR", "ssh://root@loader")
    finished = command_line("cases")
    assert finished.code == 2
    assert "OFFLOADBENCH_PEAR" in finished.err
    assert "did you mean OFFLOADBENCH_PEER?" in finished.err


def test_variables_of_others_and_our_own_are_left_alone(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*environment.VARIABLES, *environment.OTHERS, "OFFLOADBENCH_REQUIRE_ALL", "OFFLOADBENCH_VENV"):
        monkeypatch.setenv(name, "somewhere")
    assert command_line("cases").code == 0


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["run", "--nic"],
        ["run", "--repeats", "many"],
        ["run", "--wire", "string"],
        ["run", "--duration", "long"],
        ["run", "--whatever"],
        ["cases", "eth1"],
        ["export"],
        ["lab"],
        ["probe"],
        ["probe", "initcwnd"],
        ["tune", "--apply", "--undo"],
        ["help", "no-such-command-at-all"],
    ],
)
def test_a_usage_error_is_one_line_with_a_hint(command_line: CommandLine, words: list[str]) -> None:
    finished = command_line(*words)
    assert (finished.code, finished.out) == (2, "")
    assert re.fullmatch(r"error: .+\nhint: .+\n", finished.err), finished.err


def test_nothing_is_like_a_word_that_is_far_from_all() -> None:
    assert similar.nearest("xyzzy", ["tso", "gso"]) == ""
    assert similar.hint("xyzzy", ["tso", "gso"], "known: tso, gso") == "known: tso, gso"
    assert similar.nearest("", ["tso"]) == ""


# ---------------------------------------------------------------- a bug


def _broken(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr("offloadbench.commands.cases.main", fail)


def test_what_nobody_foresaw_is_no_regression(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    _broken(monkeypatch, KeyError("a\nname"))
    finished = command_line("cases")
    assert finished.code == INTERNAL == 70
    assert re.fullmatch(
        r"error: internal error, KeyError: 'a\\nname' \(test_command_line_errors\.py:\d+\)\n"
        r"hint: this is a bug in offloadbench: run it again with --debug, and report the traceback.*\n",
        finished.err,
    ), finished.err


@pytest.mark.parametrize("words", [["--debug", "cases"], ["cases", "--debug"]])
def test_debug_prints_the_traceback(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    _broken(monkeypatch, ZeroDivisionError())
    finished = command_line(*words)
    assert finished.code == INTERNAL
    assert finished.err.startswith("Traceback (most recent call last):")
    assert "error: internal error, ZeroDivisionError (" in finished.err
    assert "Traceback" in command_line("--debug", "report", "absent.json").err


def test_debug_of_another_program_is_its_own() -> None:
    assert cli._without_debug(["lab", "exec", "dut", "tool", "--debug"]) == (
        False, ["lab", "exec", "dut", "tool", "--debug"],
    )  # fmt: skip
    assert cli._without_debug(["--debug", "lab", "exec", "dut", "--", "tool", "--debug"]) == (
        True, ["lab", "exec", "dut", "--", "tool", "--debug"],
    )  # fmt: skip


def test_what_this_machine_lacks_is_no_bug(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    _broken(monkeypatch, ModuleNotFoundError("No module named 'pandas'", name="pandas"))
    finished = command_line("cases")
    assert (finished.code, "pandas" in finished.err) == (3, True)
    _broken(monkeypatch, MemoryError())
    finished = command_line("cases")
    assert (finished.code, "memory" in finished.err) == (3, True)
    # one of our own is a bug
    _broken(monkeypatch, ModuleNotFoundError("No module named 'offloadbench.x'", name="offloadbench.x"))
    assert command_line("cases").code == INTERNAL


@pytest.mark.parametrize("copies", [1, 60])
def test_a_full_disk_below_standard_output_is_no_bug(sample_path: Path, copies: int) -> None:
    with Path("/dev/full").open("w") as full:
        finished = subprocess.run(
            [sys.executable, "-m", "offloadbench", "export", "--table", "samples", *[str(sample_path)] * copies],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
    assert (finished.returncode, finished.stderr) == (
        3, "error: the output: No space left on device\nhint: free some space\n",
    )  # fmt: skip


# ---------------------------------------------------------------- help, units


def test_help_prints_what_the_option_prints(command_line: CommandLine) -> None:
    for words in ([], ["run"], ["lab", "up"], ["probe", "initcwnd"], ["help"]):
        by_option = command_line(*words, "--help")
        by_command = command_line("help", *words)
        assert (by_command.code, by_command.out) == (0, by_option.out)


@pytest.mark.parametrize("command", option_groups.COMMANDS)
def test_every_option_of_a_long_help_is_in_a_group(command: str) -> None:
    parser = command_parser.subparsers(command_parser.build(command))[command]
    assert [action.dest for action in parser._optionals._group_actions] == ["help"]
    titles = [group.title for group in parser._action_groups if group._group_actions]
    assert len(titles) >= 5
    assert "what is measured:" in parser.format_help()


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 30), ("30s", 30), ("1m", 60), ("2 min", 120), ("1h", 3600), ("0.5m", 30)]
)
def test_a_duration_is_read_as_people_type_it(text: str, seconds: int) -> None:
    assert parse_whole_seconds(text) == parse_duration_s(text) == seconds


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10G", 10**10),
        ("10g", 10**10),
        ("100M", 10**8),
        ("10 Gbit/s", 10**10),
        ("1gbit", 10**9),
        ("2.5G", 2_500_000_000),
    ],
)
def test_a_rate_is_read_as_people_type_it(text: str, rate: int) -> None:
    assert parse_rate_bits_per_s(text) == rate


def test_a_percentage_needs_no_sign_and_a_size_needs_its_base(command_line: CommandLine) -> None:
    assert parse_percent("2") == parse_percent("2%") == 0.02
    finished = command_line(*RUN, "--cases", "tso", "--queue", "16M")
    assert finished.code == 2
    assert "hint: write 16MB or 16MiB" in finished.err
    assert parse_size_bytes("16MB") == 16_000_000


def test_options_take_units(command_line: CommandLine) -> None:
    chosen = command_parser.build("run").parse_args(["run", "--duration", "1m", "--warmup", "2s"])
    assert (chosen.duration, chosen.warmup) == (60, 2.0)
    assert command_line("run", "--duration", "90x").err.startswith("error: '90x' is not a duration\n")
