"""Gates: a supported regression fails, what cannot fail is refused, and what is open is said with what would decide."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from offloadbench.analysis.comparison import changes, deciding, gate
from offloadbench.analysis.comparison.groups import RunGroup
from offloadbench.analysis.comparison.metric_names import METRICS
from offloadbench.analysis.comparison.usable_trials import LATENCIES, LESS_IS_BETTER, MORE_IS_BETTER
from offloadbench.analysis.statistics.holm import CHANGED, TOO_FEW
from offloadbench.base.errors import OK, REGRESSION, UNDECIDED, UsageError
from offloadbench.files import run_file
from offloadbench.model import Profile, Run
from tests.conftest import CommandLine
from tests.unit.repeats import noise
from tests.unit.sides import between, group, ladder, sides

COST = "cpu_s_per_gb"
BOUND = "cpu_s_per_gb>+5%"


def save(folder: Path, side: RunGroup) -> list[str]:
    """The runs of a side as files."""
    paths = [folder / name for name in side.names]
    for run, path in zip(side.runs, paths, strict=True):
        run_file.save(run, path)
    return [str(path) for path in paths]


@pytest.mark.parametrize(
    ("scale", "bound", "code"),
    [
        (1.2, "cpu_s_per_gb>+5%", REGRESSION),
        (1.2, "cpu_s_per_gb>+0%", REGRESSION),
        (1.2, "cpu_s_per_gb>+30%", OK),
        (0.5, "cpu_s_per_gb>+5%", OK),
        (1.2, "throughput_bits_per_s<-3%", OK),
    ],
)
def test_a_gate_fails_a_supported_regression_and_never_an_improvement(
    sample_run: Run, linux_profile: Profile, scale: float, bound: str, code: int
) -> None:
    found = sides(sample_run, linux_profile, scale)
    assert gate.exit_code([gate.parse(bound)], found, strict=True) == code


def test_a_gate_at_too_few_runs_is_not_passed(sample_run: Run, linux_profile: Profile) -> None:
    # three runs against one have two degrees of freedom: testable, and hopeless
    found = changes.between_groups([group(sample_run), group(sample_run, seed=2, runs=1, name="b")], linux_profile)
    bounds = [gate.parse("cpu>+0.01%")]
    assert {row.judgement.verdict for row in found.rows} == {TOO_FEW}
    assert gate.exit_code(bounds, found, strict=False) == UNDECIDED


def test_a_row_without_the_verdict_changed_never_fails(sample_run: Run, linux_profile: Profile) -> None:
    found = sides(sample_run, linux_profile, 1.2)
    rows = [_with_verdict(row, "contaminated") if row.judgement.verdict == CHANGED else row for row in found.rows]
    spoiled = changes.Comparison(found.title, [], [], rows)
    # nor does it pass: what other processes spoiled was not put to the gate
    assert gate.exit_code([gate.parse(BOUND)], spoiled, strict=False) == UNDECIDED
    assert gate.exit_code([gate.parse(BOUND)], spoiled, strict=True) == UNDECIDED


def _with_verdict(row: changes.Row, verdict: str) -> changes.Row:
    """The row with another verdict."""
    return replace(row, judgement=replace(row.judgement, verdict=verdict))


def test_what_the_data_cannot_decide_fails_only_under_strict(sample_run: Run, linux_profile: Profile) -> None:
    found = sides(sample_run, linux_profile, 1.06, sigma=0.1)
    bound = [gate.parse(BOUND)]
    assert gate.exit_code(bound, found, strict=False) == OK
    assert gate.exit_code(bound, found, strict=True) == UNDECIDED
    single = between(ladder(sample_run), ladder(sample_run, 2, 2, name="b"), linux_profile)
    assert gate.exit_code([], single, strict=False) == OK
    assert gate.exit_code([], single, strict=True) == UNDECIDED


def test_a_case_that_could_not_be_compared_is_undecided(sample_run: Run, linux_profile: Profile) -> None:
    a, b = group(sample_run), group(sample_run, seed=2, name="b")
    lacking = [msgspec.structs.replace(r, trials=[t for t in r.trials if t.case != "none"]) for r in b.runs[:1]]
    found = changes.between_groups([a, RunGroup(b.name, [*lacking, *b.runs[1:]], b.names)], linux_profile)
    assert found.missing == ["ftp-get none: no usable trial in b1.json"]
    assert gate.exit_code([], found, strict=False) == OK
    assert gate.exit_code([], found, strict=True) == UNDECIDED
    # a gate that was not put to a case did not pass it
    assert gate.exit_code([gate.parse(BOUND)], found, strict=False) == UNDECIDED


@pytest.mark.parametrize(
    "bound",
    [
        "cpu_s_per_gb<-5%",
        "throughput_bits_per_s>+3%",
        "cpu_s_per_gb>-5%",
        "cpu_s_per_gb>5",
        "",
        "steal_ratio>+1%",
        "latency_p99_us<-5%",
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(bound: str) -> None:
    with pytest.raises(UsageError, match="--fail-on"):
        gate.parse(bound)


@pytest.mark.parametrize(
    ("bound", "metric"),
    [
        ("cpu>+5%", COST),
        ("throughput<-3%", "throughput_bits_per_s"),
        ("goodput<-3%", "goodput_bits_per_s"),
        ("latency_p99>+10%", "latency_p99_us"),
        ("cpu_busy>+1%", "cpu_busy_ratio"),
    ],
)
def test_a_metric_may_be_bounded_by_its_short_name(bound: str, metric: str) -> None:
    assert gate.parse(bound).metric == metric


def test_short_names_of_metrics_are_unique() -> None:
    assert sorted(METRICS.values()) == sorted(LESS_IS_BETTER | MORE_IS_BETTER)


def test_a_gate_that_one_run_a_side_can_never_fail_is_refused_with_the_command_that_decides(
    command_line: CommandLine, sample_run: Run, tmp_path: Path
) -> None:
    # throughput 41 -> 1 Gbit/s once passed with exit 0
    a, b = save(tmp_path, group(sample_run, runs=1)) + save(tmp_path, group(sample_run, 3.0, 2, runs=1, name="b"))
    refused = command_line("compare", a, b, "--fail-on", BOUND)
    assert refused.code == 2
    assert "can never fail on these data: one run a side" in refused.err
    assert "--runs 3" in refused.err
    strict = command_line("compare", a, b, "--fail-on", BOUND, "--strict")
    assert strict.code == UNDECIDED
    lines = [line.strip() for line in strict.out.partition("To decide:\n")[2].splitlines()]
    assert lines[0].startswith("open: ftp-get tso throughput")
    assert lines[1].startswith("with the baseline in place: offloadbench run --nic lab --cases")
    assert "--runs 3 --output a1-runs/" in lines[1]
    words = shlex.split(lines[3].removeprefix("then: "))
    assert words[:3] == ["offloadbench", "compare", "--baseline"]
    assert words[-3:] == ["--fail-on", BOUND, "--strict"]


def test_a_gate_inside_a_run_that_can_never_fail_is_refused(
    command_line: CommandLine, sample_run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "one.json"
    run_file.save(ladder(sample_run, repeats=1), path)
    refused = command_line("compare", str(path), "--fail-on", BOUND)
    assert refused.code == 2
    assert "can never fail" in refused.err
    assert "--repeats 5" in refused.err


def test_nothing_to_compare_is_refused_under_a_gate(command_line: CommandLine, sample_run: Run, tmp_path: Path) -> None:
    path = tmp_path / "alone.json"
    run = ladder(sample_run)
    plan = msgspec.structs.replace(run.plan, order=[t for t in run.plan.order if t.case == "tso"])
    alone = msgspec.structs.replace(run, plan=plan, trials=[t for t in run.trials if t.case == "tso"])
    run_file.save(alone, path)
    refused = command_line("compare", str(path), "--fail-on", BOUND)
    assert (refused.code, "can never fail" in refused.err) == (2, True)
    assert command_line("compare", str(path), "--fail-on", BOUND, "--strict").code == UNDECIDED


def test_several_runs_a_side_are_gated_from_the_command_line(
    command_line: CommandLine, sample_run: Run, tmp_path: Path
) -> None:
    a, b = save(tmp_path, group(sample_run)), save(tmp_path, group(sample_run, 1.2, 2, name="b"))
    options = ["--baseline", *a, "--candidate", *b]
    found = command_line("compare", *options, "--fail-on", BOUND)
    assert found.code == REGRESSION
    assert "The run is the unit: 3 against 3, 4 degrees of freedom." in found.out
    assert command_line("compare", "--baseline", *b, "--candidate", *a, "--fail-on", BOUND, "--strict").code == OK
    twice = command_line("compare", "--baseline", a[0], a[0], "--candidate", *b)
    assert twice.code == 8
    assert "are the same run" in twice.err
    lacking = command_line("compare", "--baseline", *a, "--candidate", *b, "--metric", LATENCIES[0])
    assert lacking.code == OK


def test_one_run_a_side_decides_where_the_scatter_is_known(
    command_line: CommandLine, sample_run: Run, tmp_path: Path
) -> None:
    a, b = save(tmp_path, group(sample_run, runs=1)) + save(tmp_path, group(sample_run, 1.5, 2, runs=1, name="b"))
    others = save(tmp_path, group(sample_run, seed=5, runs=5, name="other"))
    learnt = command_line("compare", a, b, "--scatter-from", *others, "--fail-on", BOUND)
    assert learnt.code == REGRESSION
    assert "The run is the unit: 1 against 1, 4 degrees of freedom." in learnt.out
    # a run that lacks a case tells of the others
    lacking = run_file.load(Path(others[0]))
    trials = [trial for trial in lacking.trials if trial.case != "none"]
    run_file.save(msgspec.structs.replace(lacking, trials=trials), Path(others[0]))
    for by in ("case", "workload"):
        assert command_line("compare", a, b, "--scatter-from", *others, "--by", by).code == OK
    for scatter, code in (("2%", REGRESSION), ("cpu_s_per_gb=2%:8", REGRESSION), ("60%", OK)):
        assert command_line("compare", a, b, "--run-scatter", scatter, "--fail-on", BOUND).code == code
    given = command_line("compare", a, b, "--run-scatter", "2%", "--format", "json")
    document = json.loads(given.out)
    assert any("taken as exact" in text for text in document["basis"])
    assert {row["verdict"] for row in document["rows"] if (row["case"], row["metric"]) == ("csum", COST)} == {CHANGED}


def _with_latencies(side: RunGroup, scale: float, seed: int) -> RunGroup:
    runs = []
    for index, run in enumerate(side.runs):
        factors = noise(len(run.trials), 0.02, seed + index)
        trials = [
            msgspec.structs.replace(
                trial, load=msgspec.structs.replace(trial.load, latency_us={"p99": 800.0 * scale * factor})
            )
            for trial, factor in zip(run.trials, factors, strict=True)
            if trial.load
        ]
        runs.append(msgspec.structs.replace(run, trials=trials))
    return RunGroup(side.name, runs, side.names)


@pytest.mark.parametrize(("scale", "code"), [(1.5, REGRESSION), (1.0, OK), (0.5, OK)])
def test_latencies_can_be_gated(
    command_line: CommandLine, sample_run: Run, tmp_path: Path, scale: float, code: int
) -> None:
    assert set(LATENCIES) <= LESS_IS_BETTER
    a = save(tmp_path, _with_latencies(group(sample_run), 1.0, 1))
    b = save(tmp_path, _with_latencies(group(sample_run, seed=2, name="b"), scale, 11))
    found = command_line("compare", "--baseline", *a, "--candidate", *b, "--fail-on", "latency_p99_us>+20%")
    assert found.code == code
    # figures that no trial has are no reason to fall over, and no gate
    none = command_line("compare", "--baseline", *a, "--candidate", *b, "--fail-on", "latency_p50_us>+20%")
    assert none.code == 2
    assert "nothing to compare that has latency_p50_us" in none.err


def test_how_many_runs_would_decide_follows_from_the_interval(sample_run: Run, linux_profile: Profile) -> None:
    found = sides(sample_run, linux_profile, 1.12, sigma=0.2)
    bound = gate.parse("cpu_s_per_gb>+5%")
    outcomes = [o for o in gate.outcomes([bound], found) if o.row.question.case == "csum"]
    assert [o.state for o in outcomes] == [gate.OPEN]
    needed = deciding.units_needed(found, outcomes)
    assert 3 < needed <= 30
    near = gate.outcomes([gate.parse("cpu_s_per_gb>+12%")], found)
    at_bound = [o for o in near if o.row.question.case == "csum"]
    assert deciding.units_needed(found, at_bound) == 0 or deciding.units_needed(found, at_bound) > needed
