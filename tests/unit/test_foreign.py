"""Other processes' work on the measured CPUs: no surface takes it for a difference."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from offloadbench.analysis.comparison import changes, gate
from offloadbench.analysis.findings import findings
from offloadbench.analysis.statistics.holm import CHANGED, CONTAMINATED, UNDECIDED
from offloadbench.analysis.table_index import TABLES
from offloadbench.analysis.tables import results
from offloadbench.base.errors import REGRESSION
from offloadbench.base.errors import UNDECIDED as UNDECIDED_CODE
from offloadbench.files import run_file
from offloadbench.model import Profile, Run, Trial
from offloadbench.report import compare_ci, compare_text
from offloadbench.report.contents import collect
from offloadbench.report.formats import markdown
from tests.conftest import CommandLine
from tests.unit.builders import CLOCK, profile_counts
from tests.unit.repeats import ADDRESSES, SECONDS, noise, of_costs

COST = "cpu_s_per_gb"
_BYTES = 1e9 / 8 * SECONDS


def with_others(trial: Trial, cost_s_per_gb: float, others_s_per_gb: float) -> Trial:
    """The trial with a profile in which other processes took so much of its cost, in user space."""
    ms_per_gb = _BYTES / 1e9 * 1e3
    own, other = (round(cost * ms_per_gb) for cost in (cost_s_per_gb - others_s_per_gb, others_s_per_gb))
    idle = SECONDS * 1000 - own - other
    rows = [
        (ADDRESSES["tcp"], "K", 0, 0, 0, own, own * 1_000_000),
        (0x7F00, "U", 1, 0, 0, other, other * 1_000_000),
        (0x4000, "K", 2, 0, 0, idle, idle * 1_000_000),
    ]
    counts = profile_counts(rows, [CLOCK], ("ob-ftp-server", "tshark", "swapper/0"))
    return msgspec.structs.replace(trial, profile=counts)


def spoilt(
    base: Run, costs: Mapping[str, Sequence[float]], others: Mapping[str, float], *, run_id: str = "made", seed: int = 1
) -> Run:
    """case -> cost of each repeat, and of each case what other processes took of it, in CPU s/GB."""
    run = of_costs(base, costs, run_id=run_id, seed=seed)
    trials = [with_others(t, costs[t.case][t.repeat - 1], others[t.case]) for t in run.trials]
    return msgspec.structs.replace(run, trials=trials)


def _costs(tso: float, csum: float, repeats: int = 5) -> dict[str, list[float]]:
    return {
        "tso": [tso * factor for factor in noise(repeats, 0.01, 1)],
        "csum": [csum * factor for factor in noise(repeats, 0.01, 2)],
    }


@pytest.fixture
def inside(sample_run: Run) -> Run:
    """A run whose cases differ by no more than what others took on one side."""
    return spoilt(sample_run, _costs(1.0, 3.0), {"tso": 0.0, "csum": 2.0})


def test_no_finding_effect_or_table_names_it_a_saving(inside: Run, linux_profile: Profile) -> None:
    found = findings.find(results.gather([inside], linux_profile))
    assert {finding.cost.verdict for finding in found} == {CONTAMINATED}
    assert found[0].sentence.startswith("No result: other processes used up to 69 % of the busy time ")
    assert all(finding.sources == "" and finding.command == "" for finding in found)
    text = markdown.render(collect([inside], linux_profile, ["a.json"]))
    assert not re.search(r"\bKeep\b|\bSwitch\b|saves|of it in user|most in: user", text)


def test_compare_inside_a_run_its_gates_and_junit_agree(
    inside: Run, linux_profile: Profile, tmp_path: Path, command_line: CommandLine
) -> None:
    found = changes.within(inside, linux_profile)
    (row,) = [row for row in found.rows if row.question.metric == COST]
    assert row.judgement.verdict == CONTAMINATED
    bounds = [gate.parse("cpu_s_per_gb>+5%")]
    (outcome,) = gate.outcomes(bounds, found)
    assert outcome.state == gate.OPEN
    # spoiled data pass no gate
    assert gate.exit_code(bounds, found, strict=False) == UNDECIDED_CODE
    assert gate.exit_code(bounds, found, strict=True) == UNDECIDED_CODE
    suite = ET.fromstring(compare_ci.junit(compare_text.Sheet(found, [outcome])))
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "1")
    message = suite.find(".//skipped")
    assert message is not None and "other processes" in (message.get("message") or "")
    path = tmp_path / "a.json"
    run_file.save(inside, path)
    told = command_line("compare", str(path), "--fail-on", "cpu_s_per_gb>+5%")
    assert told.code == UNDECIDED_CODE
    assert "other processes used up to 69 %" in told.err
    assert "contaminated, no verdict: other processes used up to 69 %" in told.out


def test_compare_between_runs_calls_it_no_regression(sample_run: Run, linux_profile: Profile) -> None:
    quiet = spoilt(sample_run, _costs(1.0, 2.0), {"tso": 0.0, "csum": 0.0}, run_id="a")
    busy = spoilt(sample_run, _costs(3.0, 2.02), {"tso": 2.0, "csum": 0.0}, run_id="b", seed=9)
    found = changes.between([quiet, busy], ["a.json", "b.json"], linux_profile)
    verdicts = {row.question.case: row.judgement.verdict for row in found.rows if row.question.metric == COST}
    assert verdicts["tso"] == CONTAMINATED
    assert verdicts["csum"] != CONTAMINATED
    bounds = [gate.parse("cpu_s_per_gb>+5%")]
    states = {outcome.row.question.case: outcome.state for outcome in gate.outcomes(bounds, found)}
    assert states["tso"] == gate.OPEN
    assert gate.exit_code(bounds, found, strict=False) != REGRESSION
    assert gate.exit_code(bounds, found, strict=True) == UNDECIDED_CODE


def test_work_that_is_not_the_difference_does_not_silence_it(sample_run: Run, linux_profile: Profile) -> None:
    # a tenth of the busy time on both sides, and a difference of a third
    run = spoilt(sample_run, _costs(2.0, 3.0), {"tso": 0.2, "csum": 0.3})
    assert findings.find(results.gather([run], linux_profile))[0].cost.verdict == CHANGED
    assert (
        gate.exit_code([gate.parse("cpu_s_per_gb>+5%")], changes.within(run, linux_profile), strict=False) == REGRESSION
    )


def test_work_that_could_hide_a_difference_is_said(sample_run: Run, linux_profile: Profile) -> None:
    hidden = spoilt(sample_run, _costs(3.0, 3.0), {"tso": 0.0, "csum": 2.0})
    assert findings.find(results.gather([hidden], linux_profile))[0].cost.verdict == CONTAMINATED
    little = spoilt(sample_run, _costs(3.0, 3.0), {"tso": 0.01, "csum": 0.01})
    assert findings.find(results.gather([little], linux_profile))[0].cost.verdict == UNDECIDED


def test_one_disturbed_trial_is_the_reason_where_it_hides_a_difference(sample_run: Run, linux_profile: Profile) -> None:
    # one trial of twelve, as in a run beside which somebody's program ran for a moment
    costs = _costs(0.5, 1.5, 6)
    costs["tso"][1] *= 8
    run = spoilt(sample_run, costs, {"tso": 0.0, "csum": 0.0})
    trials = [with_others(t, costs["tso"][1], 3.5) if (t.case, t.repeat) == ("tso", 2) else t for t in run.trials]
    (first,) = findings.find(results.gather([msgspec.structs.replace(run, trials=trials)], linux_profile))
    assert first.sentence.startswith("No result: other processes used up to 87 % of the busy time")


def test_modules_are_not_named_where_others_moved_with_them(sample_run: Run, linux_profile: Profile) -> None:
    # what others took grew with the cost: too little to be the difference, too much to name its modules
    run = spoilt(sample_run, _costs(1.0, 3.0), {"tso": 0.0, "csum": 0.4})
    first = findings.find(results.gather([run], linux_profile))[0]
    assert first.cost.verdict == CHANGED
    assert first.sources.startswith("Other processes' work is part of it")
    assert TABLES["waterfall"]([run], linux_profile).empty
    assert "of it in" not in markdown.render(collect([run], linux_profile, ["a.json"]))
