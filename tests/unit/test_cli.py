"""The command line: exit codes, `error:` and `hint:`, and what --help must not load."""

from __future__ import annotations

import csv
import functools
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from offloadbench import __version__, commands
from offloadbench.base.errors import Interrupted
from offloadbench.commands.export import TABLE_NAMES
from offloadbench.engine.options import RunOptions
from offloadbench.engine.progress_events import Emit
from offloadbench.kernel.system import capabilities
from offloadbench.model import Run
from tests.conftest import CommandLine

SLOW_TO_IMPORT = {"pandas", "scipy", "seaborn", "matplotlib"}


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No capabilities, so that a `run` that passes its checks by mistake stops before it touches the machine."""
    monkeypatch.setattr(capabilities, "effective", frozenset)
    monkeypatch.chdir(tmp_path)


def _run(command_line: CommandLine, *arguments: str) -> tuple[int, str]:
    finished = command_line("run", "--nic", "lab", "--cases", "paper", "--output", "new.json", *arguments)
    assert finished.out == ""
    return finished.code, finished.err


def test_an_unknown_command_is_a_usage_error(command_line: CommandLine) -> None:
    finished = command_line("benchmark")
    assert finished.code == 2
    assert "invalid choice: 'benchmark'" in finished.err
    assert command_line().code == 2


def test_the_version_is_told(command_line: CommandLine) -> None:
    assert command_line("--version").out == f"offloadbench {__version__}\n"


def test_every_command_has_help_that_names_it(command_line: CommandLine) -> None:
    overview = command_line("--help")
    assert overview.code == 0
    for module in commands.subcommands():
        name = module.__name__.rpartition(".")[2]
        assert re.search(rf"^\s+{name}\s+\S", overview.out, re.MULTILINE)
        assert f"offloadbench {name}" in command_line(name, "--help").out


def test_the_help_names_every_exit_code(command_line: CommandLine) -> None:
    from offloadbench.base import errors

    codes = {error.exit_code for error in errors.OffloadbenchError.__subclasses__()} | {errors.INTERRUPTED}
    text = " ".join(command_line("--help").out.split())
    for code in codes:
        assert re.search(rf"\b{code} [a-z]", text.partition("exit codes:")[2])


def test_run_needs_capabilities(command_line: CommandLine) -> None:
    code, told = _run(command_line)
    assert code == 3
    assert told.startswith("error: run needs CAP_NET_ADMIN ")
    assert "\nhint: " in told
    assert not Path("new.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cases", "tcp"], "no case or group named 'tcp'"),
        (["--workloads", "ftp-put"], "no workload named 'ftp-put'"),
        (["--set", "cleints=4"], "no chosen workload has this key"),
        (["--set", "clients=0"], "clients = 0"),
        (["--set", "discard=keep"], "discard = 'keep'"),
        (["--duration", "1"], "--duration 1 is too small"),
        (["--duration", "1.5"], "not a whole number of seconds"),
        (["--warmup", "-1"], "'-1' is not a duration"),
        (["--warmup", "nan"], "'nan' is not a duration"),
        (["--repeats", "0"], "--repeats 0 is too small"),
        (["--line-rate", "fast"], "'fast' is not a rate"),
        (["--rtt", "20"], "'20' is not a time"),
        (["--loss", "-1"], "--loss -1: not a percentage"),
        (["--loss", "51"], "TCP stands still"),
        (["--queue", "1KiB"], "less than two full frames"),
        (["--sysctl", "vm.swappiness=1"], "--sysctl"),
        (["--precision", "much"], "'much' is not a percentage"),
        (["--precision", "0%"], "'0%' is out of range"),
        (["--precision", "2%", "--max-repeats", "4"], "--max-repeats 4 is too small"),
        (["--precision", "2%", "--repeats", "30"], "--max-repeats 20 is too small"),
        (["--max-repeats", "9"], "--max-repeats is where --precision gives up"),
        (["--workloads", ","], "--workloads"),
        (["--output", "absent/new.json"], "absent: no such folder"),
        (["--output", "new.yaml"], "nothing that ends in .yaml is written"),
        (["--loss", "150"], "TCP stands still"),
        (["--loss", "much"], "--loss much: not a percentage"),
        (["--precision", "101%"], "'101%' is out of range"),
        (["--cases", "gso_max_segs=0"], "the kernel takes 1 to 65535"),
        (["--cases", "gso_max_segs=65536"], "the kernel takes 1 to 65535"),
        (["--cases", "gso_max_segs=1,gso_max_segs=2"], "gso_max_segs is set twice"),
        (["--repeat", "2"], "unrecognized arguments: --repeat 2"),
        (["--dur", "5"], "unrecognized arguments: --dur 5"),
    ],
)
def test_a_wrong_option_of_run_is_a_usage_error_before_root_is_asked_for(
    command_line: CommandLine, arguments: list[str], said: str
) -> None:
    code, told = _run(command_line, *arguments)
    assert code == 2
    assert said in told


def test_run_without_a_nic_shows_an_example(command_line: CommandLine) -> None:
    finished = command_line("run", "--cases", "tso")
    assert finished.code == 2
    assert "offloadbench run --nic" in finished.err


def test_an_existing_output_is_not_overwritten(command_line: CommandLine) -> None:
    Path("new.json").write_text("precious")
    code, told = _run(command_line)
    assert code == 2
    assert "new.json exists" in told
    assert "--overwrite" in told
    assert Path("new.json").read_text() == "precious"


def test_resuming_a_file_that_is_not_there_is_a_run_file_error(command_line: CommandLine) -> None:
    assert command_line("run", "--resume", "absent.json").code == 8


@pytest.mark.parametrize("table", TABLE_NAMES)
def test_export_prints_every_table_of_the_sample_run(command_line: CommandLine, sample_path: Path, table: str) -> None:
    finished = command_line("export", "--table", table, str(sample_path))
    assert (finished.code, finished.err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(finished.out)))
    if table in ("findings", "waterfall"):
        sides = ("on", "off") if table == "findings" else ("cheaper", "dearer")
        assert {tuple(row[side] for side in sides) for row in rows} == {("tso", "none")}
        return
    if table.startswith("effect"):
        # its two cases differ in more than one factor: everything is named, nothing is told
        assert {row["verdict"] for row in rows} == ({"not estimable"} if table == "effects" else set())
        return
    if table == "doubts":
        # its server is called python like others: whose time it was is not known, and nothing else is doubtful
        assert rows == []
        return
    if table == "benches":
        assert rows and len({row["run"] for row in rows}) == 1
        return
    # recorded without call chains, a driver's statistics and a plain count, and nobody watched its senders
    empty = table in ("statistics", "counts", "stacks", "limits", "bounds", "evidence", "gaps", "write_commands")
    assert {row["case"] for row in rows} == (set() if empty else {"tso", "none"})


def test_export_writes_the_same_to_a_file_and_joins_several_runs(command_line: CommandLine, sample_path: Path) -> None:
    name = str(sample_path)
    printed = command_line("export", "--table", "trials", name, name).out
    assert command_line("export", "--table", "trials", name, name, "--output", "table.csv").out == ""
    assert Path("table.csv").read_text() == printed
    assert len(printed.splitlines()) == 1 + 2 * 2


def test_export_as_json_holds_the_same_rows(command_line: CommandLine, sample_path: Path) -> None:
    rows = json.loads(command_line("export", "--table", "trials", "--format", "json", str(sample_path)).out)
    printed = list(csv.DictReader(io.StringIO(command_line("export", "--table", "trials", str(sample_path)).out)))
    assert [row["case"] for row in rows] == [row["case"] for row in printed]
    assert rows[0]["cpu_s_per_gb"] == pytest.approx(float(printed[0]["cpu_s_per_gb"]), rel=1e-12)


def test_export_writes_what_the_name_of_the_file_says(
    command_line: CommandLine, sample_path: Path, tmp_path: Path
) -> None:
    rows = {}
    for name, more in (("t.json", []), ("t.csv", []), ("t.txt", []), ("t", []), ("f", ["--format", "csv"])):
        path = tmp_path / name
        assert command_line("export", "--table", "trials", str(sample_path), "--output", str(path), *more).code == 0
        rows[name] = path.read_text()
    assert json.loads(rows["t.json"])[0]["case"]
    assert rows["t.csv"] == rows["t.txt"] == rows["t"] == rows["f"]
    assert rows["t.csv"].startswith("run,")
    for name, more, said in (
        ("t.xlsx", [], "nothing that ends in .xlsx is written"),
        ("t.tsv", [], "nothing that ends in .tsv is written"),
        ("t.json", ["--format", "csv"], "ends in .json, and --format csv is not that"),
    ):
        path = tmp_path / "refused" / name
        finished = command_line("export", "--table", "trials", str(sample_path), "--output", str(path), *more)
        assert (finished.code, said in finished.err) == (2, True), finished.err
    finished = command_line("export", "--table", "trials", str(sample_path), "--output", str(tmp_path / "t.folded"))
    assert (finished.code, "folded lines are of call stacks, not of trials" in finished.err) == (2, True)


@pytest.mark.parametrize("table", TABLE_NAMES)
def test_export_to_parquet_can_be_read_back(command_line: CommandLine, sample_path: Path, table: str) -> None:
    if "OFFLOADBENCH_REQUIRE_ALL" not in os.environ:
        pytest.importorskip("pyarrow", reason="needs pyarrow")
    import pandas as pd

    name = f"{table}.parquet"
    finished = command_line("export", "--table", table, str(sample_path), "--output", name)
    assert (finished.code, finished.err) == (0, "")
    lines = command_line("export", "--table", table, str(sample_path)).out.splitlines()
    read = pd.read_parquet(name)
    assert ",".join(read.columns) == lines[0]
    assert len(read) == len(lines) - 1


def test_parquet_without_pyarrow_names_the_extra(
    command_line: CommandLine, sample_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    arguments = ["export", "--table", "trials", "--format", "parquet", str(sample_path)]
    finished = command_line(*arguments, "--output", "t.parquet")
    assert finished.code == 3
    assert "offloadbench[parquet]" in finished.err
    assert command_line(*arguments).code == 2


def test_the_schema_is_printed_as_json(command_line: CommandLine) -> None:
    document = json.loads(command_line("schema").out)
    assert document["title"] == "offloadbench-run 1"
    assert set(document["$defs"]["Run"]["required"]) >= {"format", "format_version", "plan", "trials"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--table", "trials", "absent.json"], 8, "absent.json: No such file"),
        (["--table", "trials", "foreign.json"], 8, "not an offloadbench run file"),
        (["--table", "seconds", "foreign.json"], 2, "invalid choice: 'seconds'"),
        (["foreign.json"], 2, "--table"),
        (["--table", "modules", "--profile", "windows", "foreign.json"], 2, "no profile named 'windows'"),
    ],
)
def test_a_wrong_export_is_told(command_line: CommandLine, arguments: list[str], code: int, said: str) -> None:
    Path("foreign.json").write_text("{}")
    finished = command_line("export", *arguments)
    assert finished.code == code
    assert said in finished.err
    assert finished.out == ""


def test_an_output_that_cannot_be_written_is_an_error_and_no_traceback(
    command_line: CommandLine, sample_path: Path
) -> None:
    finished = command_line("export", "--table", "trials", str(sample_path), "--output", "absent/table.csv")
    assert finished.code == 2
    assert finished.err.startswith("error: absent/table.csv")


def test_an_interrupt_exits_with_130(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    from offloadbench.files import run_file

    monkeypatch.setattr(run_file, "load", lambda path: signal.raise_signal(signal.SIGTERM))
    finished = command_line("export", "--table", "trials", "any.json")
    assert finished.code == 130
    assert "interrupted by SIGTERM" in finished.err


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False, env=environment
    )


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["report", "--help"], ["compare", "--help"]])
def test_help_loads_none_of_the_slow_libraries(arguments: list[str]) -> None:
    finished = _python("-X", "importtime", "-m", "offloadbench", *arguments)
    assert finished.returncode == 0
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in finished.stderr.splitlines()}
    assert "argparse" in loaded
    assert not loaded & SLOW_TO_IMPORT


@pytest.mark.parametrize("copies", [1, 8])
def test_a_reader_that_goes_away_leaves_no_traceback(sample_path: Path, copies: int) -> None:
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-m", "offloadbench", "export", "--table", "samples", *[str(sample_path)] * copies],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    told = process.stderr.read().decode()
    process.stderr.close()
    process.wait(60)
    assert told == ""


def test_a_run_that_measured_nothing_does_not_end_well(
    command_line: CommandLine, sample_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offloadbench.engine.run import execute as engine

    skipped = [
        msgspec.structs.replace(
            trial, outcome="skipped", reason="eth1 refused tx", samples=None, load=None, profile=None
        )
        for trial in sample_run.trials
    ]
    for trials, code in ((skipped, 5), (sample_run.trials, 0), ([], 5)):
        run = msgspec.structs.replace(sample_run, trials=trials)
        monkeypatch.setattr(engine, "execute", lambda options, emit, run=run: run)
        finished = command_line("run", "--nic", "lab", "--cases", "tso", "--output", "new.json")
        assert finished.code == code, finished.err
        assert ("no trial could be measured" in finished.err) == (code == 5)


def test_what_is_missing_is_named_and_nothing_else(command_line: CommandLine) -> None:
    assert command_line("run", "--cases", "tso").err.startswith("error: --nic is missing\n")
    assert command_line("run").err.startswith("error: --nic is missing\n")
    finished = command_line("report", "absent.json")
    assert (finished.code, "absent.json: No such file" in finished.err) == (8, True)


@pytest.mark.parametrize(
    ("name", "more", "written"),
    [
        ("x.html", [], "<!doctype html>"),
        ("x", [], "<!doctype html>"),
        ("x.md", [], "# "),
        ("x.markdown", ["--format", "md"], "# "),
        ("x.pdf", [], ""),
        ("x.md", ["--format", "html"], ""),
        ("x.html", ["--format", "md"], ""),
    ],
)
def test_a_report_is_what_its_name_says(
    command_line: CommandLine, sample_path: Path, name: str, more: list[str], written: str
) -> None:
    finished = command_line("report", str(sample_path), "--output", name, *more)
    assert (finished.code == 0) == bool(written), finished.err
    assert Path(name).exists() == bool(written)
    if written:
        assert Path(name).read_text().startswith(written)
    else:
        assert (finished.code, "hint: let it end in" in finished.err) == (2, True)


def test_ctrl_c_says_what_was_put_back_and_how_to_go_on(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from offloadbench.engine.run import execute as engine

    def interrupted(options: RunOptions, emit: Emit, *, begun: bool) -> Run:
        del emit
        if begun:
            options.output.write_text("begun")
        raise Interrupted("interrupted by SIGINT")

    for begun, goes_on in ((False, ""), (True, "; go on: offloadbench run --resume {}")):
        output = tmp_path / f"{begun}.json"
        monkeypatch.setattr(engine, "execute", functools.partial(interrupted, begun=begun))
        told = command_line("run", "--nic", "lab", "--cases", "tso", "--output", str(output))
        assert told.code == 130
        assert told.err.endswith(f"hint: everything that was changed was put back{goes_on.format(output)}\n")
    series = tmp_path / "s.json"
    told = command_line("run", "--nic", "lab", "--cases", "tso", "--runs", "2", "--output", str(series))
    assert told.err.endswith(f"go on: the same command with --resume {series} instead of --output\n")
