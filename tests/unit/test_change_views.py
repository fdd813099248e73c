"""Effects and changes between runs in the report: what is drawn, what is said, and what is left out with a reason."""

from __future__ import annotations

import math
import re

import msgspec
import pytest

from offloadbench.analysis.statistics.estimates import Estimate
from offloadbench.analysis.statistics.holm import judge
from offloadbench.analysis.tables.results import gather
from offloadbench.definitions import catalog
from offloadbench.model import Profile, Run
from offloadbench.report import basis
from offloadbench.report.formats import html
from offloadbench.report.plots import style
from offloadbench.report.plots.effects_plot import effects
from offloadbench.report.plots.forest import forest
from offloadbench.report.plots.intervals import change_words
from offloadbench.report.sections.changes_section import run_changes
from offloadbench.report.sections.effects_section import run_effects
from tests.unit.repeats import noise, of_costs

replace = msgspec.structs.replace
TSO, NONE = 1.0, 4.0


def made(base: Run, *, run_id: str = "made", by: float = 1.0, repeats: int = 5) -> Run:
    """A ladder with noise of 1 %; `by` makes the case none dearer."""
    costs = {"tso": TSO, "gso": 2.0, "none": NONE * by}
    scattered = {
        name: [cost * factor for factor in noise(repeats, 0.01, seed)]
        for seed, (name, cost) in enumerate(costs.items(), len(run_id))
    }
    return of_costs(base, scattered, run_id=run_id)


def test_effects_are_drawn_with_what_cannot_be_told(sample_run: Run, linux_profile: Profile) -> None:
    results = gather([made(sample_run)], linux_profile)
    (found,), problems = run_effects(results), results.problems
    assert problems == []
    assert any("TX checksum (on against off (with TSO)): not estimable" in text for text in found.sentences)
    with style.drawing():
        cost, rate = effects(found.effects).axes
    assert cost.get_yticklabels()[0].get_text() == "TSO: tso vs gso"
    words = [text.get_text() for text in cost.texts]
    assert words[0] == "\N{MINUS SIGN}50 %"
    assert words.count("not estimable") == 5
    assert rate.get_title(loc="left") == "Throughput (more is better)"


def test_a_run_without_any_effect_has_no_effects_plot(sample_run: Run, linux_profile: Profile) -> None:
    alone = of_costs(sample_run, {"tso": [1.0, 1.1, 1.2]})
    results = gather([alone], linux_profile)
    assert (run_effects(results), results.problems) == ([], [])


def test_a_test_that_cannot_be_made_is_said_and_not_drawn(sample_run: Run, linux_profile: Profile) -> None:
    copies = of_costs(sample_run, {"tso": [1.0, 1.0, 1.0], "gso": [2.0, 2.0, 2.0]}, sigma=0.0)
    results = gather([copies], linux_profile)
    found, problems = run_effects(results), results.problems
    assert found == []
    assert "do not differ at all" in problems[0]
    assert "do not differ at all" in html.render([copies], linux_profile, ["copies.json"])


def test_a_change_between_two_runs_is_an_indication_with_its_interval(sample_run: Run, linux_profile: Profile) -> None:
    runs = [made(sample_run), made(sample_run, run_id="later", by=1.3)]
    (found,), remarks = run_changes(runs, ["before.json", "after.json"], linux_profile)
    assert found.where == "after.json against before.json, ftp-get"
    assert not [text for text in found.sentences if "changed" in text]
    (dearer,) = [text for text in found.sentences if text.startswith("none: CPU seconds per GB")]
    assert re.match(
        r"none: CPU seconds per GB \+\d\d % \(\+\d\d % to \+\d\d %, 95 % inside the runs\): "
        "indication, no verdict",
        dearer,
    )
    assert remarks[0] == basis.ONE_RUN_A_SIDE
    with style.drawing():
        (cost, _) = forest(found.rows).axes
    assert [label.get_text() for label in cost.get_yticklabels()] == ["tso", "gso", "none"]
    assert [line for line in cost.lines if line.get_marker() == "s"] == []
    page = html.render(runs, linux_profile, ["before.json", "after.json"])
    assert "What changed between the runs" in page
    assert "One run a side" in page
    assert "Open circles are indications" in page
    assert "Welch t on the trials of one run a side" in page


def test_runs_that_answer_other_questions_are_named_and_not_compared(sample_run: Run, linux_profile: Profile) -> None:
    other = made(sample_run, run_id="other")
    other = replace(other, nic=replace(other.nic, name="eth9"))
    found, remarks = run_changes([made(sample_run), other], ["a.json", "b.json"], linux_profile)
    assert found == []
    assert remarks[0].startswith("b.json is not compared with a.json: other NIC")


def test_one_run_alone_has_no_such_section(sample_run: Run, linux_profile: Profile) -> None:
    run = made(sample_run)
    assert run_changes([run], ["a.json"], linux_profile) == ([], [])
    assert "What changed between the runs" not in html.render([run, run], linux_profile, ["a.json", "a.json"])


@pytest.mark.parametrize(
    ("ratio", "words"),
    [(1.032, "+3.2 %"), (0.59, "\N{MINUS SIGN}41 %"), (4.1, "\N{MULTIPLICATION SIGN}4.1"), (1.0, "+0.0 %")],
)
def test_changes_are_rounded_for_people(ratio: float, words: str) -> None:
    (judgement,) = judge([Estimate(1.0, ratio, math.log(ratio), 0.1, 4, 5, 5, "made")])
    assert change_words(judgement) == words


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("after", [[1.0, 1.01], [1e-3, 30.0], [1.0]])
def test_intervals_of_any_reach_stay_readable(sample_run: Run, after: list[float], narrow: bool) -> None:
    runs = [
        of_costs(sample_run, {"tso": [1.0, 1.02, 0.99]}),
        of_costs(sample_run, {"tso": [min(cost, 7.0) for cost in after]}, run_id="b", seed=9),
    ]
    (found,), _ = run_changes(runs, ["a", "b"], catalog.profile("linux"))
    with style.drawing():
        axes = forest(found.rows, narrow=narrow).axes
    for panel in axes:
        low, high = panel.get_xlim()
        assert 0 < low < 1 < high
        assert 1 <= len([tick for tick in panel.get_xticks() if low <= tick <= high]) <= 9
