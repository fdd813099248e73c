"""Every figure in a sentence of a report is in the rows of the tables that its section names."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from offloadbench.analysis.comparison import effect_shares
from offloadbench.analysis.comparison.module_costs import module_costs
from offloadbench.analysis.comparison.usable_trials import observations
from offloadbench.analysis.sender.diagnosis import diagnose
from offloadbench.analysis.table_index import TABLES
from offloadbench.analysis.tables import effect_tables
from offloadbench.base.units import format_bytes, format_change, format_rate, format_ratio
from offloadbench.base.words import figure, percent
from offloadbench.files import run_file
from offloadbench.model import Profile, Run
from offloadbench.report.contents import ROWS, Contents, collect
from offloadbench.report.formats import markdown
from tests.unit.test_diagnosis import RECORDED, recorded

# a number that is no part of a word, such as x of `tx0` or the digits of a version
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w])")
# confidence of every interval, the unit of CPU s/GB
_CONSTANTS = {"95", "9", "10"}
# how a caveat about one trial begins
_ABOUT_A_TRIAL = re.compile(r"[^,;(]+, ([^,]+), case ([^,]+), repeat (\d+): ")
# columns that hold what the report says
_SENTENCES = ["sentence", "evidence", "what"]


def _renderings(value: float) -> Iterator[str]:
    """The value as the sentences of a report write it, whatever it is."""
    if math.isnan(value) or math.isinf(value):
        return
    for one in (abs(value), 1 - value):
        yield from (figure(one), percent(one), f"{100 * abs(one):.3g}", f"{100 * abs(one):.0f}", format_change(one))
    yield from (f"{value + 1:.2g}", f"{value:.0f}", format_ratio(value))
    if value > 0:
        yield from (format_rate(value), format_bytes(value), f"{value * 1e3:.1f}", f"{value:.1f}", f"{value:.2f}")


class Rows:
    """The tables that a section of the report names.

    Args:
        where: column -> value; rows of others are left out, of the tables that have such a column.
    """

    def __init__(self, run: Run, profile: Profile, section: str, **where: object) -> None:
        self._tables = [TABLES[name]([run], profile) for name in ROWS[section]]
        for column, value in where.items():
            self._tables = [table[table[column] == value] if column in table else table for table in self._tables]

    def numbers(self) -> set[str]:
        """Every number that their figures can become."""
        found = set(_CONSTANTS)
        for table in self._tables:
            values: Iterable[float] = table.select_dtypes("number").to_numpy().ravel().tolist()
            found |= {
                number for value in values for text in _renderings(float(value)) for number in _NUMBER.findall(text)
            }
        return found

    def words(self) -> set[str]:
        """Every number in their words (formulas, reasons, warnings), but for those that are the report's sentences."""
        found: set[str] = set()
        for table in self._tables:
            words = table.select_dtypes(exclude="number").drop(columns=_SENTENCES, errors="ignore").astype(str)
            found |= {number for column in words for text in words[column] for number in _NUMBER.findall(text)}
        return found


def _untraced(sentences: Iterable[str], known: set[str]) -> list[tuple[str, str]]:
    return [(number, text) for text in sentences for number in _NUMBER.findall(text) if number not in known]


@pytest.fixture(scope="module", params=["report-lab-paper.json", "report-lab-chains.json"])
def real(request: pytest.FixtureRequest, data: Path) -> Run:
    return run_file.load(data / request.param)


@pytest.fixture(scope="module")
def found(real: Run, linux_profile: Profile) -> Contents:
    return collect([real], linux_profile, ["real.json"]).contents


def test_figures_of_findings_are_in_their_rows(real: Run, found: Contents, linux_profile: Profile) -> None:
    sentences = [finding.sentence for finding in (*found.headlines, *found.others)]
    assert sentences and all(_NUMBER.search(text) for text in sentences)
    # beside the figures, the repeats that are advised
    assert _untraced(sentences, Rows(real, linux_profile, "findings").numbers() | {"5"}) == []


def test_figures_of_where_it_is_saved_are_in_their_rows(real: Run, found: Contents, linux_profile: Profile) -> None:
    labels = [plot.label.rpartition(": ")[2] for plot in found.plots.waterfalls]
    assert bool(labels) == any(finding.attributable for finding in found.headlines)
    rows = TABLES["waterfall"]([real], linux_profile)
    named = rows[~rows["module"].isin(["all modules"])]
    # the whole is the sum of its modules, in every way
    for _, way in rows.groupby(["nic", "workload", "dearer", "cheaper"]):
        whole = way["module"] == "all modules"
        assert way.loc[whole, "change_per_byte"].item() == pytest.approx(way.loc[~whole, "change_per_byte"].sum())
    known = Rows(real, linux_profile, "where").numbers() | {figure(abs(v)) for v in named["change_per_byte"]}
    rest = [text for text in ", ".join(labels).split(", ") if not text.startswith("other modules")]
    assert _untraced(rest, known) == []
    sources = [finding.sources for finding in found.headlines]
    assert _untraced(sources, known | Rows(real, linux_profile, "findings").numbers()) == []


def test_figures_of_effects_are_in_their_rows(real: Run, found: Contents, linux_profile: Profile) -> None:
    told = 0
    for one in found.effects:
        for effect in (effect for effect in one.effects if effect.metric == "cpu_s_per_gb"):
            contrast = effect.contrast
            (sentence,) = effect_tables.sentences(
                [other for other in one.effects if other.contrast == contrast],
                effect_shares.shares(observations(real), module_costs([real], linux_profile)),
            )
            assert sentence in one.sentences
            names = {"workload": effect.workload, "factor": contrast.factor, "on": contrast.on, "off": contrast.off}
            assert _untraced([sentence], Rows(real, linux_profile, "effects", **names).numbers()) == []
            told += bool(_NUMBER.search(sentence))
    assert told


def test_figures_of_why_the_sender_waits_are_in_their_rows(data: Path, linux_profile: Profile) -> None:
    run = run_file.load(data / "report-lab-watched.json")
    rows = TABLES["limits"]([run], linux_profile)
    assert len(rows) == len(run.trials) == 2
    for told in rows.to_dict("records"):
        names = {name: told[name] for name in ("workload", "case", "repeat")}
        mine = Rows(run, linux_profile, "limits", **names)
        assert _NUMBER.search(str(told["evidence"]))
        assert _untraced([str(told["sentence"]), str(told["evidence"])], mine.numbers() | mine.words()) == []


@pytest.mark.parametrize("name", RECORDED)
def test_every_diagnosis_keeps_the_figures_that_it_tells(name: str) -> None:
    one = recorded(name)
    found = diagnose([one.trace], one.facts, cpu_busy_ratio=one.cpu_busy_ratio)
    values = [*found.figures.values(), *(bound.bits_per_s for bound in found.bounds)]
    known = {number for value in values for text in _renderings(value) for number in _NUMBER.findall(text)}
    known |= {number for bound in found.bounds for number in _NUMBER.findall(f"{bound.name} {bound.formula}")}
    known |= {number for bound in found.bounds for number in _NUMBER.findall(bound.source)}
    assert _untraced([found.sentence, *found.evidence], known) == []


def test_figures_of_how_sure_it_is_are_sums_of_their_rows(real: Run, found: Contents, linux_profile: Profile) -> None:
    told = [sentence for _, sentences in found.plots.confidence for _, sentence in sentences]
    assert told
    rows = TABLES["methods"]([real], linux_profile)
    shares = rows[rows["share_ratio"].notna()].groupby(["workload", "case", "repeat", "event", "method"])["share_ratio"]
    means = shares.sum().groupby(["workload", "case", "event", "method"]).mean()
    known = set(_CONSTANTS) | {"0.1"}
    for _, mine in means.groupby(["workload", "case", "event"]):
        by_method = dict(zip(mine.index.get_level_values("method"), mine.tolist(), strict=True))
        # two methods at most stand behind one phrase
        parts = [*by_method.values(), *(a + b for a, b in itertools.combinations(by_method.values(), 2))]
        known |= {number for part in parts for number in _NUMBER.findall(f"{100 * part:.1f}")}
    assert _untraced(told, known) == []
    gaps = TABLES["counts"]([real], linux_profile)["relative_gap"].abs()
    assert _untraced([found.counted], {n for gap in gaps for n in _NUMBER.findall(percent(gap))} | {"2"}) == []


def test_figures_of_caveats_are_in_their_rows(real: Run, found: Contents, linux_profile: Profile) -> None:
    assert found.caveats
    for text in (caveat.text for caveat in found.caveats):
        trial = _ABOUT_A_TRIAL.match(text)
        names = {"workload": trial[1], "case": trial[2], "repeat": int(trial[3])} if trial else {}
        rows = Rows(real, linux_profile, "caveats", **names)
        # the origin's window, and the repeats that are advised
        assert _untraced([text], rows.numbers() | rows.words() | {"60", "5"}) == []


def test_a_number_that_is_in_no_row_is_noticed(real: Run, linux_profile: Profile) -> None:
    assert _untraced(["it saves 123.45 CPU seconds"], Rows(real, linux_profile, "findings").numbers()) != []


def test_every_section_names_tables_that_are_exported(real: Run, linux_profile: Profile) -> None:
    text = markdown.render(collect([real], linux_profile, ["real.json"]))
    named = set(re.findall(r"offloadbench export --table (\w+)", text))
    assert {name for names in ROWS.values() for name in names} <= set(TABLES)
    assert {"findings", "trials", "modules", "features", "methods"} <= named <= set(TABLES)
