"""Every option of every command against every testbed, or every use of the command: done or refused, never dropped.

A new option needs a row here. `done` means that it reaches what measures; `refused` means exit code 2 and a line that
names it, before anything is touched; `-` means that the question does not arise (it is what makes the testbed).
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from offloadbench import cli, commands
from offloadbench.base.setting import RUN as RUN_COMMAND
from offloadbench.base.settings import of_command
from offloadbench.commands import run_elsewhere
from offloadbench.engine.options import RunOptions
from offloadbench.engine.run import execute as engine
from offloadbench.files import run_file
from offloadbench.model.batch_plan import PlanFile
from tests.conftest import CommandLine

DONE, REFUSED, NONE = "done", "refused", "-"

# ---------------------------------------------------------------- run: option x testbed

BEDS: dict[str, list[str]] = {
    "lab": ["--nic", "lab"],
    "lab-veth": ["--nic", "lab-veth"],
    "netem": ["--nic", "lab", "--wire", "netem"],
    "nic:": ["--nic", "eth1", "--peer", "nic:eth2"],
    "ssh:": ["--nic", "eth1", "--peer", "ssh://root@loader"],
    "wait": ["--nic", "eth1", "--peer", "wait"],
    "fleet": ["--nic", "eth1", "--fleet", "tcp://scheduler:8786"],
    "dut": ["--nic", "eth1", "--dut", "ssh://root@server"],
}
D, R, N = DONE, REFUSED, NONE
# as typed -> a verdict for each of BEDS, in their order
RUN: dict[str, list[str]] = {
    "--nic lab-veth": [N, N, N, N, N, N, N, N],
    "--peer wait:7879": [N, N, N, N, N, N, R, R],
    "--fleet tcp://other:1": [N, N, N, R, R, R, N, R],
    "--dut ssh://root@server": [N, N, N, R, R, R, R, N],
    "--on-lost-worker shrink": [R, R, R, R, R, R, D, R],
    "--cases csum": [D, D, D, D, D, D, D, D],
    "--workloads tcp-stream": [D, D, D, D, D, D, D, D],
    "--duration 7": [D, D, D, D, D, D, D, D],
    "--warmup 3": [D, D, D, D, D, D, D, D],
    "--repeats 3": [D, D, D, D, D, D, D, D],
    "--precision 2%": [D, D, D, D, D, D, D, D],
    "--max-repeats 9": [R, R, R, R, R, R, R, R],
    "--runs 3": [D, D, D, D, D, D, D, R],
    "--seed 4711": [D, D, D, D, D, D, D, D],
    "--output other.json": [D, D, D, D, D, D, D, N],
    "--resume absent.json": [N, N, N, N, N, N, N, R],
    "--dry-run": [N, N, N, N, N, N, N, R],
    "--set clients=4": [D, D, D, D, D, D, D, D],
    "--overwrite": [D, D, D, D, D, D, D, D],
    "--no-report": [N, N, N, N, N, N, N, N],
    "--force": [D, D, D, D, D, D, D, D],
    "--line-rate 100mbit": [D, R, D, R, R, R, R, R],
    "--rtt 20ms": [D, R, D, R, R, R, R, R],
    "--jitter 5ms": [D, R, D, R, R, R, R, R],
    "--loss 1": [D, R, D, R, R, R, R, R],
    "--queue 64KiB": [D, R, D, R, R, R, R, R],
    "--wire auto": [D, R, D, R, R, R, R, R],
    "--sysctl net.ipv4.tcp_sack=0": [D, D, D, D, D, D, R, D],
    "--mtu 4000": [D, D, D, D, D, D, R, D],
    "--rx-ring 512": [R, R, R, D, D, D, D, D],
    "--tx-ring 512": [R, R, R, D, D, D, D, D],
    "--no-profile": [D, D, D, D, D, D, D, D],
    "--call-graph": [D, D, D, D, D, D, D, D],
    "--waits": [D, D, D, D, D, D, D, D],
    "--capture": [D, D, D, D, D, D, D, D],
    "--tune sndbuf": [D, D, D, D, D, D, D, D],
    "--keep-perf": [D, D, D, D, D, D, D, R],
}
# beside an option that is refused by itself, or that another is part of
TOGETHER = {"--max-repeats": ["--precision", "2%"], "--keep-perf": ["--no-profile"]}


def _options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from ((f"{name} {option}", found) for option, found in _options(below))
        elif action.option_strings and "--help" not in action.option_strings:
            yield max(action.option_strings, key=len), action


def options_of(command: str) -> set[str]:
    """The options of a command, those of a command below it with its name before: `up --rtt`."""
    return {name for name, _ in _options(_parser_of(command))}


def _parser_of(command: str) -> argparse.ArgumentParser:
    whole = cli._parser(command)
    below = next(action for action in whole._actions if isinstance(action, argparse._SubParsersAction))
    parser: argparse.ArgumentParser = below.choices[command]
    return parser


def test_every_option_of_run_has_a_row() -> None:
    assert options_of("run") == {row.split()[0] for row in RUN}


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> Callable[[CommandLine, list[str]], tuple[int, str, Any]]:
    """Exit code, what was said, and what came to what would measure: its options, or the command line for --dut."""
    seen: list[Any] = []

    def preview(options: RunOptions) -> list[str]:
        seen.append(dataclasses.replace(options, command=[], seed=options.seed if options.seed == 4711 else 0))
        return []

    def follow(command: list[str]) -> int:
        seen.append([word for word in command[-1].split() if not word.startswith("--output")])
        return 1

    monkeypatch.setattr(engine, "preview", preview)
    monkeypatch.setattr(run_elsewhere, "_follow", follow)

    def call(command_line: CommandLine, words: list[str]) -> tuple[int, str, Any]:
        seen.clear()
        finished = command_line("run", *words, *(["--dry-run"] if "--dut" not in words else []))
        return finished.code, finished.err, seen[0] if seen else None

    return call


@pytest.mark.parametrize("bed", BEDS)
@pytest.mark.parametrize("row", RUN)
def test_an_option_of_run_is_done_or_refused(
    row: str, bed: str, command_line: CommandLine, reached: Callable[[CommandLine, list[str]], tuple[int, str, Any]]
) -> None:
    verdict = RUN[row][list(BEDS).index(bed)]
    if verdict == NONE:
        return
    option, *value = row.split()
    base = [*BEDS[bed], *([] if option == "--cases" else ["--cases", "tso"])]
    code, said, got = reached(command_line, [*base, option, *value])
    if verdict == REFUSED:
        assert (code, got) == (2, None), (code, said, got)
        assert option in said
        assert "\nhint: " in said
        return
    before = reached(command_line, [*BEDS[bed], "--cases", "tso"])[2]
    assert got is not None, said
    assert got != before


def test_each_row_says_something_of_each_testbed() -> None:
    assert {row: len(verdicts) for row, verdicts in RUN.items()} == dict.fromkeys(RUN, len(BEDS))


@pytest.mark.parametrize("option", TOGETHER)
def test_what_is_no_option_by_itself_is_done_or_refused_beside_the_other(
    option: str, command_line: CommandLine, reached: Callable[[CommandLine, list[str]], tuple[int, str, Any]]
) -> None:
    row = next(row for row in RUN if row.split()[0] == option)
    words = ["--nic", "lab", "--cases", "tso", *TOGETHER[option]]
    code, said, got = reached(command_line, [*words, *row.split()])
    assert (code == 2 and option in said) if option == "--keep-perf" else got != reached(command_line, words)[2]


# ---------------------------------------------------------------- run --resume

# an option with another value than the sample run has
OTHERWISE = {
    "peer": "--peer wait", "fleet": "--fleet tcp://a:1", "on_lost_worker": "--on-lost-worker shrink",
    "workloads": "--workloads tcp-stream", "duration": "--duration 9", "warmup": "--warmup 99",
    "repeats": "--repeats 9",
    "seed": "--seed 123456", "line_rate": "--line-rate 7gbit", "rtt": "--rtt 50ms", "jitter": "--jitter 3ms",
    "loss": "--loss 5",
    "queue": "--queue 1MiB", "wire": "--wire netem", "sysctl": "--sysctl net.ipv4.tcp_sack=0",
    "mtu": "--mtu 4000", "rx_ring": "--rx-ring 512", "tx_ring": "--tx-ring 512",
    "no_profile": "--no-profile", "call_graph": "--call-graph", "waits": "--waits", "capture": "--capture",
    "tune": "--tune sndbuf", "cases": "--cases tso", "output": "--output x.json", "set": "--set clients=9",
    "precision": "--precision 2%", "max_repeats": "--max-repeats 5",
}  # fmt: skip


def test_resume_has_a_rule_for_every_option_of_run() -> None:
    fields = {action.dest for _, action in _options(_parser_of("run"))}
    settings = of_command(RUN_COMMAND)
    assert {setting.name for setting in settings} == fields
    # a series goes on by the whole of its command line: see test_run_series
    assert OTHERWISE.keys() == {setting.name for setting in settings if setting.resume != "free"} - {"dut"}


@pytest.mark.parametrize("field", OTHERWISE)
def test_resume_refuses_what_contradicts_the_run(field: str, command_line: CommandLine, sample_path: Path) -> None:
    finished = command_line("run", "--resume", str(sample_path), *OTHERWISE[field].split(), "--dry-run")
    assert finished.code == 2
    assert OTHERWISE[field].split()[0] in finished.err
    assert "hint: leave " in finished.err


def test_resume_takes_what_the_run_was_measured_with(command_line: CommandLine, sample_path: Path) -> None:
    run = run_file.load(sample_path)
    words = ["--repeats", str(run.plan.repeats), "--duration", str(run.plan.duration_s), "--seed", str(run.plan.seed)]
    words += ["--warmup", f"{run.plan.warmup_s:g}", "--rtt", f"{run.bed.rtt_s}s", "--nic", run.nic.name, "--force"]
    assert command_line("run", "--resume", str(sample_path), *words, "--dry-run").err == ""


def test_a_default_that_is_typed_counts_as_typed(command_line: CommandLine, sample_path: Path) -> None:
    assert run_file.load(sample_path).plan.duration_s != 60
    finished = command_line("run", "--resume", str(sample_path), "--duration", "60", "--dry-run")
    assert (finished.code, "--duration 60: " in finished.err) == (2, True)


# ---------------------------------------------------------------- the other commands: option x use

SWEEP_USES = {
    "new": ["--workloads", "tcp-stream", "--dry-run"],
    "show": ["--show", "{sweep}"],
    "resume": ["--resume", "--output", "{sweep}"],
}
PROBE_USES = {
    "--nic": ["--nic", "lab"],
    "--server": ["--nic", "eth1", "--server", "http://192.0.2.1/"],
    "--pcap": ["--pcap", "absent.pcap"],
    "--vectors": ["--vectors", "absent.json"],
    "--model": ["--model", "2.6.18"],
    "--explain": ["--explain"],
}
TUNE_USES = {
    "page": ["--bandwidth", "1gbit", "--rtt", "20ms"],
    "--apply": ["--bandwidth", "1gbit", "--rtt", "20ms", "--apply"],
    "--undo": ["--undo"],
    "--prove": ["--bandwidth", "1gbit", "--rtt", "20ms", "--prove"],
}
# command -> its uses, and for each option the uses that refuse it
USES: dict[str, tuple[dict[str, list[str]], dict[str, str]]] = {
    "sweep": (
        SWEEP_USES,
        {
            "--nic lab": "show resume", "--workloads tcp-stream": "show", "--cases tso": "show resume",
            "--line-rate 1gbit": "show resume", "--rtt 0,20ms": "show resume",
            "--jitter 0,5ms": "show resume", "--loss 1": "show resume",
            "--queue 1MiB": "show resume", "--wire tap": "show resume", "--sysctl net.ipv4.tcp_sack=0": "show resume",
            "--set sndbuf=0": "show resume", "--duration 5": "show resume", "--warmup 1": "show resume",
            "--repeats 2": "show resume", "--seed 5": "show resume", "--no-profile": "show resume",
            "--mtu 1500,4000": "show resume", "--call-graph": "show resume", "--waits": "show resume",
            "--capture": "show resume",
            "--output x": "show", "--resume": "show", "--dry-run": "show", "--show x": "", "--plot x.svg": "new resume",
        },
    ),
    "probe": (
        PROBE_USES,
        {
            "initcwnd --nic lab": "", "initcwnd --pcap x": "", "initcwnd --vectors x": "",
            "initcwnd --model 2.6.18": "",
            "initcwnd --explain": "", "initcwnd --format text": "--vectors --explain",
            "initcwnd --initcwnd 10": "--vectors --explain",
            **{
                f"initcwnd {words}": "--nic --server --pcap --vectors --explain"
                for words in ("--tso on", "--mss 1448", "--timestamps on", "--cached-rtt 5", "--writes 500",
                              "--nodelay", "--cwnd-before 5", "--idle 3", "--fin", "--route-rtt 5", "--no-metrics-save",
                              "--tso-win-divisor 3")
            },
            "initcwnd --window 5840": "--pcap --vectors --explain",
            "initcwnd --sndbuf 9000": "--server --pcap --vectors --explain",
            "initcwnd --server http://a/": "--pcap --vectors --model --explain",
            **{
                f"initcwnd {words}": "--pcap --vectors --model --explain"
                for words in ("--repeats 5", "--output x.json", "--overwrite")
            },
            **{
                f"initcwnd {words}": "--server --pcap --vectors --model --explain"
                for words in ("--rtt 5ms", "--line-rate 1gbit", "--congestion-control cubic", "--cases tso",
                              "--patterns one", "--metrics cold", "--response 4000")
            },
        },
    ),
    "tune": (
        TUNE_USES,
        {
            "--bandwidth 1gbit": "--undo", "--rtt 20ms": "--undo", "--initcwnd 10": "--apply --undo --prove",
            "--mss 1448": "--undo", "--size 1MiB": "--apply --undo --prove", "--namespace absent": "--prove",
            "--streams 4": "--undo --prove",
            "--format text": "--undo", "--apply": "", "--undo": "", "--prove": "",
            "--sysctl net.ipv4.tcp_sack=1": "page --apply --undo",
        },
    ),
}  # fmt: skip
# commands whose options are of no testbed, and of one use: what tells that each does something
ELSEWHERE = {
    "batch": {"--output", "--resume", "--dry-run"},
    "watch": {
        "--namespace", "--local-port", "--remote", "--period", "--duration", "--line-rate", "--waits", "--output"
    },
    "modules": {"--kallsyms", "--profile", "--split"},
    "cases": {"--nic"},
    "doctor": {"--nic", "--bandwidth", "--rtt", "--format"},
    "restore": set[str](),
    "schema": {"--of"},
    "help": set[str](),
    "completion": set[str](),
    "lab": {
        "up --line-rate", "up --rtt", "up --jitter", "up --loss", "up --queue", "up --wire", "up --sysctl", "up --mtu",
        "up --seed",
        "up --name",
        "exec --name", "status --name", "down --name",
    },
    "profile": {
        "build --vmlinux", "build --modules", "build --merge", "build --output", "check --vmlinux", "check --profile",
        "check --module-names",
        "check --weights", "check --scope",
    },
    # what they do with run files is told by the tests of their own
    "compare": None,
    "report": None,
    "export": None,
}  # fmt: skip


def test_every_command_is_here() -> None:
    names = {module.__name__.rpartition(".")[2] for module in commands.subcommands()}
    assert names == {"run", *USES, *ELSEWHERE}


@pytest.mark.parametrize("command", [name for name, options in ELSEWHERE.items() if options is not None])
def test_every_option_of_a_command_with_one_use_is_known(command: str) -> None:
    assert options_of(command) == ELSEWHERE[command]


def _name(row: str) -> str:
    words = row.split()
    return " ".join(words[: next(n for n, word in enumerate(words, 1) if word.startswith("--"))])


@pytest.mark.parametrize("command", USES)
def test_every_option_of_a_command_with_several_uses_has_a_row(command: str) -> None:
    uses, rows = USES[command]
    assert options_of(command) == {_name(row) for row in rows}
    assert {use for refused in rows.values() for use in refused.split()} <= uses.keys()


@pytest.fixture
def sweep_folder(command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    from offloadbench.engine import sweep_run as sweeps

    monkeypatch.setattr(sweeps, "execute", lambda found, *_: found)
    folder = tmp_path / "sweep"
    command_line("sweep", "--workloads", "tcp-stream", "--seed", "1", "--output", str(folder))
    assert (folder / "sweep.json").exists()
    return str(folder)


REFUSALS = [
    (command, use, row)
    for command, (uses, rows) in USES.items()
    for row, refused in rows.items()
    for use in uses
    if use in refused.split()
]


@pytest.mark.parametrize(("command", "use", "row"), REFUSALS)
def test_what_a_use_of_a_command_has_no_use_for_is_refused(
    command: str, use: str, row: str, command_line: CommandLine, sweep_folder: str
) -> None:
    subject, words = ([], row.split()) if row.startswith("--") else (row.split()[:1], row.split()[1:])
    base = [word.format(sweep=sweep_folder) for word in USES[command][0][use]]
    finished = command_line(command, *subject, *base, *words)
    assert finished.code == 2, finished.out
    assert words[0] in finished.err


def test_every_key_of_a_plan_is_known() -> None:
    """What a batch may set: `cable` on NIC lab only; mtu and rings on both or the one NIC; sysctls on both ends."""
    cable = {"line_rate", "rtt", "jitter", "loss", "queue", "wire"}
    everywhere = {
        "nics", "workloads", "cases", "duration_s", "warmup_s", "repeats", "seed", "profile", "parameters", "sysctls",
        "mtu", "rx_ring", "tx_ring", "call_graph", "waits", "capture",
    }  # fmt: skip
    import msgspec

    assert {field.name for field in msgspec.structs.fields(PlanFile)} == cable | everywhere
