"""Every figure in a report stands where it says it comes from, and every other number is a constant or a name."""

from __future__ import annotations

import ast
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import msgspec
import pandas as pd
import pytest

import offloadbench
from offloadbench.analysis.comparison.changes import between
from offloadbench.analysis.comparison.compatibility import obstacles
from offloadbench.analysis.table_index import TABLES
from offloadbench.base.sentence import CONSTANT, COUNTED, NamedFigure, Quoted, Sentence, Source
from offloadbench.files import run_file
from offloadbench.model import Profile, Run
from offloadbench.report import compare_text
from offloadbench.report.contents import collect, written
from offloadbench.report.formats import markdown
from offloadbench.report.plot import Plot
from offloadbench.report.section import (
    Block,
    Bullets,
    Findings,
    NoFinding,
    Paragraph,
    ReportAnswer,
    SenderLimits,
    WrittenSection,
)
from tests.unit.repeats import of_costs

PACKAGE = Path(offloadbench.__file__).parent
# a number that is no part of a word, such as x of `tx0` or the digits of a version
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w])")
# columns that hold what the report says
_SENTENCES = ["sentence", "evidence", "what", "basis", "sources"]
# figures that stand in no table because the report counts its own words, or because the code says them
_CONSTANTS = {"noted"}
RECORDED = [
    ("report-lab-paper.json",),
    ("report-lab-chains.json",),
    ("report-lab-watched.json",),
    ("run-v1.json",),
    ("ladder-lab.json.xz",),
    ("ladder-lab-veth.json.xz",),
    ("report-lab-paper.json", "report-lab-chains.json"),
]


class Rows:
    """What `offloadbench export` and `offloadbench compare --format csv` print of these runs."""

    def __init__(self, runs: Sequence[Run], profile: Profile, names: Sequence[str]) -> None:
        self._runs, self._profile, self._names = list(runs), profile, list(names)
        self._tables: dict[str, pd.DataFrame] = {}

    def table(self, name: str) -> pd.DataFrame:
        if name not in self._tables:
            self._tables[name] = self._compared() if name == "compare" else TABLES[name](self._runs, self._profile)
        return self._tables[name]

    def _compared(self) -> pd.DataFrame:
        comparison = between(self._runs, self._names, self._profile)
        text = compare_text.comma_separated(compare_text.Sheet(comparison))
        return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""], dtype={"module": str}).fillna(
            {"module": ""}
        )

    def value(self, source: Source) -> float:
        """What the cells of a source make."""
        rows = self.table(source.table)
        for column, wanted in source.where.items():
            rows = rows[rows[column].isin(wanted if isinstance(wanted, tuple) else (wanted,))]
        cells = rows[source.column].astype(float)
        cells = cells / rows[source.over] if source.over else cells
        cells = cells * rows[source.times] if source.times else cells
        value = source.derive(cells.tolist())
        value -= self.value(source.minus) if source.minus else 0
        value += self.value(source.plus) if source.plus else 0
        return value / self.value(source.whole) if source.whole else value

    @cached_property
    def words(self) -> str:
        """Every cell that is no number, but for the report's own sentences."""
        base, *others = self._runs
        hindrances = {text for run in others for text in obstacles(base, run)}
        cells: set[str] = {*self._names, *hindrances}
        for name in TABLES:
            words = self.table(name).select_dtypes(exclude="number").drop(columns=_SENTENCES, errors="ignore")
            cells |= {str(cell) for column in words for cell in words[column].unique()}
        return "\n".join(cells)


def _of_block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph():
            yield block.text
        case ReportAnswer() | Bullets():
            bullets = block.told if isinstance(block, ReportAnswer) else block.bullets
            yield from (text for bullet in bullets for text in (bullet.text, *bullet.more))
        case Findings():
            yield from (text for one in block.found for text in (one.sentence, one.sources, one.basis))
        case NoFinding():
            yield from (block.text, block.reason)
        case SenderLimits():
            every = [verdict for one in block.found for verdict in (one.first, *one.others)]
            yield from (text for one in every for text in (one.sentence, one.evidence))
        case Plot():
            yield from (block.label, block.caption)


def _sentences(sections: Sequence[WrittenSection]) -> list[tuple[str, str]]:
    """(section, sentence) of all that a report says, its captions and the words for its pictures included."""
    return [(one.section.key, text) for one in sections for block in one.blocks for text in _of_block(block)]


class Report:
    """The sections of a report of recorded runs, and the rows that they rest on."""

    def __init__(self, runs: Sequence[Run], profile: Profile, names: Sequence[str]) -> None:
        self.rows = Rows(runs, profile, names)
        material = collect(runs, profile, names)
        self.benches = sorted(material.results.benches.values(), key=len, reverse=True)
        self.sections = written(material)
        self.sentences = _sentences(self.sections)

    def untraced(self) -> list[str]:
        """What a reader could not check: figures that are not where they say, and numbers from nowhere."""
        return [problem for section, text in self.sentences for problem in self._problems(section, text)]

    def _problems(self, section: str, text: str) -> Iterator[str]:
        if not isinstance(text, Sentence):
            yield f"{section}: not a sentence that knows its figures: {text}"
            return
        for piece in text.pieces:
            if isinstance(piece, NamedFigure) and not self.holds(piece):
                yield f"{section}: {piece.name} {piece} is not {piece.quantity.source}: {text}"
            if isinstance(piece, Quoted) and _NUMBER.search(self._unnamed(piece.text)) and not self._known(piece.text):
                yield f"{section}: {piece.text!r} is no cell of a table: {text}"

    def _unnamed(self, text: str) -> str:
        """Without the names of benches, which are made of facts that tables hold one by one."""
        for bench in self.benches:
            text = text.replace(bench, "")
        return text

    def _known(self, text: str) -> bool:
        return text in self.rows.words or self._unnamed(text) in self.rows.words

    def holds(self, figure: NamedFigure) -> bool:
        source = figure.quantity.source
        if source is COUNTED:
            return True
        if source is CONSTANT:
            return figure.name in _CONSTANTS
        if source is None:
            return False
        try:
            value = self.rows.value(source)
        except (ValueError, KeyError):
            return False
        return math.isclose(value, figure.quantity.value, rel_tol=1e-9, abs_tol=1e-12)


@pytest.fixture(scope="module", params=RECORDED, ids=" ".join)
def report(request: pytest.FixtureRequest, data: Path, linux_profile: Profile) -> Report:
    return Report([run_file.load(data / name) for name in request.param], linux_profile, request.param)


def test_every_figure_stands_where_it_says(report: Report) -> None:
    assert report.sentences
    assert report.untraced() == []


def test_no_other_figure_would_pass(report: Report) -> None:
    figures = [
        piece
        for _, text in report.sentences
        if isinstance(text, Sentence)
        for piece in text.figures
        if piece.quantity.source not in (COUNTED, CONSTANT, None) and piece.quantity.value
    ]
    assert figures
    wrong = [replace(one, quantity=replace(one.quantity, value=one.quantity.value * 1.001)) for one in figures]
    assert [one for one in wrong if report.holds(one)] == []


def test_changes_between_runs_are_traced_too(sample_run: Run, linux_profile: Profile) -> None:
    runs = [
        of_costs(sample_run, {"tso": [1.0, 1.1, 1.05], "none": [2.0, 2.2, 2.1]}, run_id=run_id, seed=seed)
        for seed, run_id in enumerate(("a", "b", "c"))
    ]
    report = Report(runs, linux_profile, ["a.json", "b.json", "c.json"])
    assert report.untraced() == []


def test_a_sweep_says_what_it_found(data: Path, linux_profile: Profile) -> None:
    run = run_file.load(data / "report-lab-paper.json")
    slow = [
        msgspec.structs.replace(
            trial, load=trial.load and msgspec.structs.replace(trial.load, payload_bytes=trial.load.payload_bytes // 4)
        )
        for trial in run.trials
    ]
    far = msgspec.structs.replace(
        run, run_id="far", sweep={"rtt_s": 0.02}, trials=slow, bed=msgspec.structs.replace(run.bed, rtt_s=0.02)
    )
    report = Report([msgspec.structs.replace(run, sweep={"rtt_s": 0.0}), far], linux_profile, ["near", "far"])
    assert report.untraced() == []
    (found,) = [text for section, text in report.sentences if section == "answer" and "goodput from" in text]
    assert found.startswith("ftp-get: goodput from 235 Mbit/s at an RTT of 20 ms (case ")
    assert " to 941 Mbit/s at an RTT of 0 ms (case " in found


def test_warnings_alike_are_told_once_with_their_count(data: Path, linux_profile: Profile) -> None:
    run = run_file.load(data / "report-lab-paper.json")
    trials = [
        msgspec.structs.replace(trial, warnings=[f"the clock was {number} ms late"])
        for number, trial in enumerate(run.trials, 3)
    ]
    text = markdown.render(collect([msgspec.structs.replace(run, trials=trials)], linux_profile, ["real.json"]))
    told = [line for line in text.splitlines() if "the clock was" in line and line.startswith("- ")]
    assert told == ["- lab, ftp-get, case none, repeat 1: the clock was 3 ms late (2 more alike)"] * len(told)
    assert 1 <= len(told) <= 2  # among all caveats, and perhaps among those that matter most


def _templates() -> Iterator[tuple[str, ast.expr]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "from offloadbench.base.sentence import" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "say":
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node.args[0]


def test_every_template_is_a_literal() -> None:
    found = list(_templates())
    assert len(found) > 100
    for where, template in found:
        each = [template.body, template.orelse] if isinstance(template, ast.IfExp) else [template]
        assert all(isinstance(one, ast.Constant) and isinstance(one.value, str) for one in each), where


def test_every_section_names_tables_that_are_exported(data: Path, linux_profile: Profile) -> None:
    run = run_file.load(data / "report-lab-paper.json")
    text = markdown.render(collect([run], linux_profile, ["real.json"]))
    named = set(re.findall(r"offloadbench export --table (\w+)", text))
    assert {"findings", "trials", "modules", "features", "methods"} <= named <= set(TABLES)
