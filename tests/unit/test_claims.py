"""Every figure in a sentence of a report is in the rows of the tables that its section names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from offloadbench import runfile
from offloadbench.analysis.exported import TABLES
from offloadbench.analysis.findings import figure, percent
from offloadbench.model import Profile, Run
from offloadbench.report import markdown
from offloadbench.report.contents import ROWS, Contents, contents
from offloadbench.units import format_change, format_rate, format_ratio

# a number that is no part of a word, such as x of `tx0` or the digits of a version
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w])")
# confidence of every interval, the unit of CPU s/GB
_CONSTANTS = {"95", "9", "10"}


def _renderings(value: float) -> Iterator[str]:
    """The value as the sentences of a report write it, whatever it is."""
    if math.isnan(value) or math.isinf(value):
        return
    for one in (abs(value), 1 - value):
        yield from (figure(one), percent(one), f"{100 * abs(one):.3g}", f"{100 * abs(one):.0f}", format_change(one))
    yield from (f"{value + 1:.2g}", f"{value:.0f}", format_ratio(value))
    if value > 0:
        yield format_rate(value)


def _known(run: Run, profile: Profile, section: str) -> set[str]:
    """Every number that the rows of a section's tables can become."""
    found = set(_CONSTANTS)
    for name in ROWS[section]:
        table = TABLES[name]([run], profile)
        numbers: Iterable[float] = table.select_dtypes("number").to_numpy().ravel().tolist()
        for value in numbers:
            found |= {number for text in _renderings(float(value)) for number in _NUMBER.findall(text)}
    return found


def _untraced(sentences: Iterable[str], known: set[str]) -> list[tuple[str, str]]:
    return [(number, text) for text in sentences for number in _NUMBER.findall(text) if number not in known]


@pytest.fixture(scope="module", params=["report-lab-paper.json", "report-lab-chains.json"])
def real(request: pytest.FixtureRequest, data: Path) -> Run:
    return runfile.load(data / request.param)


@pytest.fixture(scope="module")
def found(real: Run, linux_profile: Profile) -> Contents:
    return contents([real], linux_profile, ["real.json"])


def test_figures_of_findings_are_in_their_rows(real: Run, found: Contents, linux_profile: Profile) -> None:
    sentences = [finding.sentence for finding in (*found.headlines, *found.others)]
    assert sentences and all(_NUMBER.search(text) for text in sentences)
    assert _untraced(sentences, _known(real, linux_profile, "findings")) == []


def test_figures_of_where_it_is_saved_are_in_their_rows(real: Run, found: Contents, linux_profile: Profile) -> None:
    labels = [plot.label.rpartition(": ")[2] for plot in found.plots.waterfalls]
    assert labels
    rows = TABLES["waterfall"]([real], linux_profile)
    named = rows[~rows["module"].isin(["all modules"])]
    # the whole is the sum of its modules, in every way
    for _, way in rows.groupby(["nic", "workload", "dearer", "cheaper"]):
        whole = way["module"] == "all modules"
        assert way.loc[whole, "change_per_byte"].item() == pytest.approx(way.loc[~whole, "change_per_byte"].sum())
    known = _known(real, linux_profile, "where") | {figure(abs(v)) for v in named["change_per_byte"]}
    rest = [text for text in ", ".join(labels).split(", ") if not text.startswith("other modules")]
    assert _untraced(rest, known) == []
    sources = [finding.sources for finding in found.headlines]
    assert _untraced(sources, known) == []


def test_a_number_that_is_in_no_row_is_noticed(real: Run, linux_profile: Profile) -> None:
    assert _untraced(["it saves 123.45 CPU seconds"], _known(real, linux_profile, "findings")) != []


def test_every_section_names_tables_that_are_exported(found: Contents) -> None:
    text = markdown.render(found)
    named = set(re.findall(r"offloadbench export --table (\w+)", text))
    assert {name for names in ROWS.values() for name in names} <= set(TABLES)
    assert {"findings", "trials", "modules", "features", "methods"} <= named <= set(TABLES)
