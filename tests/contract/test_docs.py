"""README and every page of the documentation: commands are taken, examples run, and the made parts are complete."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from offloadbench.analysis import table_columns, table_index
from offloadbench.analysis.initcwnd import evidence
from offloadbench.base import environment
from offloadbench.base.errors import EXIT_CODES
from offloadbench.cli import main
from offloadbench.commands import command_parser, plan_file
from offloadbench.commands.export import PROBE_TABLE_NAMES, TABLE_NAMES
from offloadbench.commands.options import run_defaults
from offloadbench.definitions import catalog
from offloadbench.model.batch_plan import PlanFile
from tests.conftest import DATA, CommandLine
from tools import readme, reference

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")])
# commands that need neither root nor a NIC, and leave nothing but what --output names
_HARMLESS = {"compare", "report", "export", "modules", "schema", "cases", "help", "completion"}
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _blocks(path: Path, *languages: str) -> list[str]:
    return [text for language, text in _FENCE.findall(path.read_text()) if language in languages]


def _commands() -> Iterator[tuple[str, str]]:
    for path in PAGES:
        for block in _blocks(path, "sh", "yaml"):
            for line in block.replace("\\\n", " ").splitlines():
                found = re.search(r'(?:^|\s|/)offloadbench"? (?!\[)(\S.*)$', line.partition(" #")[0])
                if found and "pip install" not in line:
                    yield _name(path), found[1].strip()


COMMANDS = list(_commands())


def _words(command: str) -> list[str]:
    """As a shell would split it; what it would put in for $MEASURE does not matter."""
    words = shlex.split(command.partition(" > ")[0])
    return [word for word in words if word != "$MEASURE"] + (
        ["--nic=lab", "--cases=tso"] if "$MEASURE" in words else []
    )


def test_there_are_commands_on_many_pages() -> None:
    assert len(COMMANDS) >= 50
    assert len({page for page, _ in COMMANDS}) >= 15


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_a_command_parses(page: str, command: str) -> None:
    chosen = command_parser.build().parse_args(_words(command))
    assert callable(chosen.main)


def test_every_command_of_the_program_is_shown_somewhere() -> None:
    shown = {_words(command)[0] for _, command in COMMANDS}
    assert set(command_parser.subparsers(command_parser.build())) - shown <= {"profile", "schema", "help", "completion"}


HARMLESS = sorted({command for _, command in COMMANDS if _words(command)[0] in _HARMLESS})


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, in which a run file appears under whatever name is asked for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.json").write_bytes((DATA / "run-v1.json").read_bytes())
    return tmp_path


def _provide(words: list[str], folder: Path) -> None:
    """The files that a command reads: three different runs for a side, a probe file for what is called a probe."""
    given = words[: words.index("--output")] if "--output" in words else words
    for word in given:
        if not word.endswith(".json") or (folder / word).exists():
            continue
        (folder / word).parent.mkdir(parents=True, exist_ok=True)
        if "probe" in word:
            import lzma

            (folder / word).write_bytes(lzma.decompress((DATA / "probe-lab.json.xz").read_bytes()))
            continue
        # every run has an id of its own, and a side is of one machine
        document = json.loads((DATA / "run-v1.json").read_text())
        (folder / word).write_text(json.dumps(document | {"run_id": f"{zlib.crc32(word.encode()):08x}"}))


@pytest.mark.parametrize("command", HARMLESS)
def test_a_command_that_changes_nothing_runs(command: str, measured: Path, command_line: CommandLine) -> None:
    words = _words(command)
    if "--nic" in words or "-" in words:
        pytest.skip("is about the machine, or reads standard input")
    _provide(words, measured)
    if "rtt" in words:
        pytest.skip("draws a folder of a sweep")
    finished = command_line(*words)
    # identical runs, or two trials: a gate may be refused or undecided; a page must not be wrong about the command
    assert finished.code in ((0, 1, 2, 4) if "--fail-on" in words else (0,)), finished.err
    assert "internal error" not in finished.err


def test_the_two_commands_of_readme_come_first() -> None:
    lines = [line for block in _blocks(ROOT / "README.md", "sh") for line in block.splitlines()]
    assert [line.split()[0] for line in lines[:2]] == ["./bootstrap", "./bootstrap"]


def test_readme_shows_what_compare_prints_of_a_real_run() -> None:
    assert readme.shown(README) == readme.output(), "run `python -m tools.readme`"


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150
    assert len(README.split()) <= 1600


def test_every_python_example_runs(
    sample_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "before.json").write_bytes(sample_path.read_bytes())
    monkeypatch.chdir(tmp_path)
    examples = [(path, text) for path in PAGES for text in _blocks(path, "python")]
    assert examples
    for path, text in examples:
        exec(compile(text, _name(path), "exec"), {})
        assert "cpu_s_per_gb" in capsys.readouterr().out


def test_the_table_of_the_old_kernels_is_the_one_that_explain_prints() -> None:
    page = ROOT / "docs" / "explanation" / "initcwnd.md"
    assert "\n".join(evidence.markdown()) in page.read_text()


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_pictures_and_links_lead_somewhere(path: Path) -> None:
    text = _FENCE.sub("", path.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target and not target.startswith("#"):
            assert (path.parent / target.partition("#")[0]).exists(), target


def test_the_plan_of_a_batch_is_one_that_it_reads_and_shows_every_key(tmp_path: Path) -> None:
    (example,) = (text for text in _blocks(ROOT / "docs" / "how-to" / "batch.md", "toml"))
    path = tmp_path / "plan.toml"
    path.write_text(example)
    sweep, _ = plan_file.read(path)
    # iscsi-write knows sndbuf too: no workload has nothing new at a point
    assert len(sweep.points) == math.prod(len(values) for values in sweep.axes.values())
    for field in msgspec.structs.fields(PlanFile):
        assert re.search(rf"\b{field.name}\b", example), field.name


@pytest.mark.parametrize("path", [path for path in PAGES if "offloadbench.toml" in path.read_text()], ids=_name)
def test_a_file_of_defaults_is_one_that_run_takes(path: Path, tmp_path: Path) -> None:
    for text in (text for text in _blocks(path, "toml") if text.startswith("# offloadbench.toml")):
        (tmp_path / run_defaults.FILE).write_text(text)
        words = run_defaults.expand(["run", "--cases", "tso"], {}, tmp_path)
        chosen = command_parser.build("run").parse_args(words)
        assert all(getattr(chosen, key) for key in tomllib.loads(text))


def test_the_workflows_are_yaml_that_calls_what_they_install() -> None:
    yaml = pytest.importorskip("yaml")
    github, gitlab = (yaml.safe_load(text) for text in _blocks(ROOT / "docs" / "how-to" / "ci-gate.md", "yaml"))
    steps = github["jobs"]["gate"]["steps"]
    assert any(step.get("uses", "").startswith("actions/cache@") for step in steps)
    assert gitlab["offloads"]["cache"]["paths"] == ["baseline"]
    measure = [github["jobs"]["gate"]["env"]["MEASURE"], gitlab["offloads"]["variables"]["MEASURE"]]
    for options in measure:
        command_parser.build("run").parse_args(["run", *shlex.split(options)])
    for text in (*(step.get("run", "") for step in steps), *gitlab["offloads"]["script"]):
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)


# ---------------------------------------------------------------- the made parts


@pytest.mark.parametrize("name", reference.PARTS)
def test_a_made_part_is_made_and_stands_on_a_page(name: str) -> None:
    assert len(reference.PARTS[name]().splitlines()) > 5
    assert [path for path in PAGES if f"<!-- made: {name} -->" in path.read_text()]


def test_every_command_and_option_is_in_the_reference() -> None:
    page = reference.commands()
    for parser in command_parser.with_all_below(command_parser.build()):
        assert parser.prog in page
        for action in parser._actions:
            if action.help != "==SUPPRESS==":
                assert all(option in page for option in action.option_strings if option not in ("-h", "--help"))


def test_every_variable_that_the_program_reads_is_listed() -> None:
    texts = [path.read_text() for path in (ROOT / "offloadbench").rglob("*.py")]
    read = {name for text in texts for name in re.findall(r"OFFLOADBENCH_[A-Z_]*[A-Z]", text)}
    options = {run_defaults.variable_of(name) for name in run_defaults.OPTIONS}
    assert read - environment.OTHERS - options == set(environment.VARIABLES)


def test_exit_codes_are_all_listed() -> None:
    from offloadbench.base import errors

    codes = {error.exit_code for error in errors.OffloadbenchError.__subclasses__()}
    assert codes | {errors.OK, errors.REGRESSION, errors.UNDECIDED, errors.INTERNAL, errors.INTERRUPTED} == set(
        EXIT_CODES
    )
    assert len({meaning.short for meaning in EXIT_CODES.values()}) == len(EXIT_CODES)


@pytest.mark.parametrize("name", table_columns.TABLE_NAMES)
def test_every_column_of_a_table_has_a_meaning(name: str, sample_path: Path) -> None:
    meanings = table_columns.meanings(name)
    assert all(meanings.values())
    if name in PROBE_TABLE_NAMES:
        from offloadbench.analysis.initcwnd import probe_tables
        from offloadbench.files import probe_file

        made = probe_tables.TABLES[name]([probe_file.load(DATA / "probe-lab.json.xz")])
    else:
        from offloadbench.files import run_file

        made = table_index.TABLES[name]([run_file.load(sample_path)], catalog.profile("linux"))
    assert list(made.columns) == list(meanings)


def test_exactly_the_tables_of_export_are_described() -> None:
    assert set(table_columns.TABLE_NAMES) == {*TABLE_NAMES, *PROBE_TABLE_NAMES}


# ---------------------------------------------------------------- as a site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("material") is None and "OFFLOADBENCH_REQUIRE_ALL" not in os.environ:
        pytest.skip("needs mkdocs-material (extra docs)")
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_builds_strictly_and_asks_no_other_server(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        text = page.read_text()
        assert "<!-- made:" not in text
        loaded = re.findall(r'<(?:script|img|iframe)[^>]* src="([^"]+)"|<link[^>]* href="([^"]+)"', text)
        outside = [url for pair in loaded for url in pair if re.match(r"(https?:)?//", url)]
        assert outside == [], page
    shutil.rmtree(site, ignore_errors=True)


def test_help_lists_what_the_parser_lists(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["help", "run"])
    assert leaving.value.code == 0
    assert capsys.readouterr().out == command_parser.subparsers(command_parser.build())["run"].format_help()
