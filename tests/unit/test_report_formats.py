"""The report as Markdown and as files of plots."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

import offloadbench
from offloadbench.base.errors import UsageError
from offloadbench.files import run_file
from offloadbench.model import Profile, Run
from offloadbench.report import contents
from offloadbench.report.contents import collect
from offloadbench.report.formats import markdown
from offloadbench.report.material import benches
from tests.conftest import CommandLine

replace = msgspec.structs.replace
PACKAGE = Path(offloadbench.__file__).parent
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def paper_path(data: Path) -> Path:
    return data / "report-lab-paper.json"


@pytest.fixture(scope="module")
def paper(paper_path: Path) -> Run:
    return run_file.load(paper_path)


def test_markdown_opens_with_the_finding_and_ends_with_the_caveats(paper: Run, linux_profile: Profile) -> None:
    text = markdown.render(collect([paper], linux_profile, ["paper.json"]))
    headings = re.findall(r"^## (.*)$", text, re.M)
    assert headings == [
        "In short",
        "Machine and NIC",
        "Offload by offload",
        "What each offload does by itself",
        "How sure is this picture",
        "What was proven, and what not",
        "Trials",
        "Modules",
        "Processes and CPUs",
        "All caveats",
        "Methods and machine",
    ]
    assert "An indication, no verdict: case tso (the state as found) against case none: CPU per GB" in text


def test_every_row_of_a_table_has_as_many_cells_as_its_head(paper: Run, linux_profile: Profile) -> None:
    text = markdown.render(collect([paper], linux_profile, ["paper.json"]))
    tables = [block.splitlines() for block in re.findall(r"(?:^\|.*\n)+", text, re.M)]
    assert len(tables) >= 3
    for lines in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_hostile_names_stay_text_in_markdown(paper: Run, linux_profile: Profile) -> None:
    words = "<script>alert(1)</script> | [x](http://x) \n# big `\x1b"
    hostile = replace(paper, nic=replace(paper.nic, name=words, ifname=words), warnings=[words])
    text = markdown.render(collect([hostile], linux_profile, [words]))
    outside = "\n".join(line for line in text.splitlines() if not line.startswith("    "))
    # a code span shows what is in it
    assert not re.search(r"(?<!\\)<script", re.sub(r"(?<!\\)`[^`\n]*`", "", outside))
    assert not re.search(r"^# big", text, re.M)
    assert "\x1b" not in text


def test_without_any_trial_markdown_still_stands(paper: Run, linux_profile: Profile) -> None:
    text = markdown.render(collect([replace(paper, trials=[])], linux_profile, ["paper.json"]))
    assert "No trial gave a result: there is nothing to compare." in text
    (alone,) = paper.trials[:1]
    one = markdown.render(collect([replace(paper, trials=[alone])], linux_profile, ["paper.json"]))
    assert "No two cases can be compared here." in one


def test_command_prints_markdown_or_writes_it(command_line: CommandLine, paper_path: Path, tmp_path: Path) -> None:
    printed = command_line("report", str(paper_path), "--format", "md")
    assert (printed.code, printed.err) == (0, "")
    output = tmp_path / "report.md"
    assert command_line("report", str(paper_path), "--format", "md", "--output", str(output)).out == f"{output}\n"
    assert output.read_text(encoding="utf-8") == printed.out


def test_plots_are_files_that_stand_alone(command_line: CommandLine, paper_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "plots"
    done = command_line("report", str(paper_path), "--plots", str(folder))
    assert (done.code, done.out) == (0, "")
    names = sorted(path.name for path in folder.iterdir())
    assert [name for name in names if name.endswith(".svg")][:3] == [
        "01-throughput-cpu.svg",
        "02-waterfall.svg",
        "03-effects.svg",
    ]
    assert done.err == f"{len(names)} files in {folder}\n"
    for path in folder.iterdir():
        if path.suffix == ".svg":
            assert ET.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
        else:
            assert path.read_bytes().startswith(PNG)
            assert path.with_suffix(".svg").exists()


def test_html_needs_a_place(command_line: CommandLine, paper_path: Path, tmp_path: Path) -> None:
    assert command_line("report", str(paper_path)).code == UsageError.exit_code
    (tmp_path / "file").write_text("")
    done = command_line("report", str(paper_path), "--plots", str(tmp_path / "file"))
    assert done.code == UsageError.exit_code
    assert "File exists" in done.err


def test_a_summary_is_the_first_layer_alone(command_line: CommandLine, paper_path: Path, tmp_path: Path) -> None:
    printed = command_line("report", str(paper_path), "--summary")
    assert (printed.code, printed.err) == (0, "")
    assert re.findall(r"^## (.*)$", printed.out, re.M) == ["In short", "Machine and NIC"]
    assert len(re.findall(r"^- ", printed.out, re.M)) == 3
    page = tmp_path / "summary.html"
    assert command_line("report", str(paper_path), "--summary", "--output", str(page)).code == 0
    text = page.read_text(encoding="utf-8")
    assert text.count("<h1>") == 1 and text.count("<figure>") == 1
    # what follows begins a page of its own when it is printed
    assert not any(tag in text for tag in ("<details", "<nav", "<main"))


def test_workloads_have_one_order(data: Path, linux_profile: Profile) -> None:
    run = run_file.load(data / "ladder-lab.json.xz")
    for trials in (run.trials, run.trials[::-1]):
        material = collect([replace(run, trials=trials)], linux_profile, ["ladder.json"])
        assert list(dict.fromkeys(material.usable["workload"])) == ["ftp-get", "iscsi-write"]
        assert [finding.workload for finding in material.headlines] == ["ftp-get", "iscsi-write"]
        assert [key for key, _ in benches(material.results.samples)] == [("lab", "ftp-get"), ("lab", "iscsi-write")]


def test_every_file_of_a_section_is_found() -> None:
    files = {path.stem for path in (PACKAGE / "report" / "sections").glob("*_section.py")}
    assert len(contents.listed()) == len(files)
    keys = [section.key for section in contents.listed()]
    assert len(keys) == len(set(keys))
    places = [section.place for section in contents.listed()]
    assert len(places) == len(set(places))
