"""Comparisons: the right trials on each side, honest verdicts, gates, and every format."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from offloadbench import catalog, runfile
from offloadbench.analysis import compare, gate
from offloadbench.analysis.compare import Comparison, Row
from offloadbench.analysis.family import CHANGED, INDICATION, TOO_FEW, UNDECIDED
from offloadbench.errors import OK, REGRESSION, RunFileError, StatisticError, UsageError
from offloadbench.errors import UNDECIDED as UNDECIDED_CODE
from offloadbench.model import Profile, Run
from offloadbench.report import comparison as formats
from tests.conftest import CommandLine
from tests.unit.repeats import measured, noise, of_costs, repeated

COST = "cpu_s_per_gb"


def _costs(level: float, seed: int, repeats: int = 5, sigma: float = 0.01) -> list[float]:
    return [level * factor for factor in noise(repeats, sigma, seed)]


def _run(
    base: Run, scale: float = 1.0, seed: int = 1, *, repeats: int = 5, sigma: float = 0.01, name: str = "a"
) -> Run:
    costs = {
        case: _costs(level * (scale if case == "csum" else 1), seed * 10 + i, repeats, sigma)
        for i, (case, level) in enumerate({"tso": 0.6, "csum": 2.0, "none": 3.0}.items())
    }
    return of_costs(base, costs, seed=seed * 100, run_id=name)


def _between(a: Run, b: Run, profile: Profile, **options: object) -> Comparison:
    return compare.between([a, b], ["a.json", "b.json"], profile, **options)  # type: ignore[arg-type]


def _row(comparison: Comparison, case: str, metric: str = COST) -> Row:
    return next(r for r in comparison.rows if (r.question.case, r.question.metric) == (case, metric))


def test_two_runs_that_differ_in_one_case_say_so_and_nothing_else(sample_run: Run, linux_profile: Profile) -> None:
    found = _between(_run(sample_run), _run(sample_run, 1.2, 2, name="b"), linux_profile)
    assert {str(r.question): r.judgement.verdict for r in found.rows} == {
        f"ftp-get {case} {metric}": CHANGED if (case, metric) == ("csum", COST) else UNDECIDED
        for case in ("tso", "csum", "none")
        for metric in ("throughput_bits_per_s", COST)
    }
    ratio, low, high = _row(found, "csum").judgement.ratios()
    assert low < 1.2 < high
    assert ratio == pytest.approx(1.2, rel=0.02)
    assert found.differences == []
    assert found.missing == []


def test_inside_a_run_cases_are_paired_within_blocks(sample_run: Run, linux_profile: Profile) -> None:
    # what drifts hits both cases of a block alike
    drift = [1.0, 1.3, 0.8, 1.1, 1.5]
    tso = [0.6 * d * n for d, n in zip(drift, noise(5, 0.01, 1), strict=True)]
    gso = [0.66 * d * n for d, n in zip(drift, noise(5, 0.01, 2), strict=True)]
    run = of_costs(sample_run, {"tso": tso, "gso": gso})
    row = _row(compare.within(run, linux_profile), "gso")
    assert (row.question.a, row.question.b) == ("tso", "gso")
    assert row.judgement.verdict == CHANGED
    assert row.judgement.estimate.method == "paired t within blocks"
    # unpaired, the same figures show nothing
    apart = _between(
        of_costs(sample_run, {"tso": tso}, run_id="a"),
        of_costs(sample_run, {"tso": gso}, seed=9, run_id="b"),
        linux_profile,
    )
    assert _row(apart, "tso").judgement.verdict == UNDECIDED


def test_a_block_without_both_cases_is_left_out(sample_run: Run, linux_profile: Profile) -> None:
    run = _run(sample_run)
    failed = [
        msgspec.structs.replace(t, outcome="failed") if (t.case, t.repeat) == ("csum", 2) else t for t in run.trials
    ]
    found = compare.within(msgspec.structs.replace(run, trials=failed), linux_profile)
    assert _row(found, "csum").judgement.estimate.trials_a == 4
    assert _row(found, "none").judgement.estimate.trials_a == 5


def test_another_reference_can_be_named(sample_run: Run, linux_profile: Profile) -> None:
    found = compare.within(_run(sample_run), linux_profile, reference="none")
    assert {r.question.case for r in found.rows} == {"tso", "csum"}
    with pytest.raises(UsageError, match="--reference gso"):
        compare.within(_run(sample_run), linux_profile, reference="gso")


def test_a_case_is_found_under_its_other_name(sample_run: Run, linux_profile: Profile) -> None:
    cases = {case.name: case for case in catalog.all_cases()}
    a = repeated(
        sample_run, [measured(cases["tso"], i, c, also_named=["all-on"]) for i, c in enumerate(_costs(1, 1), 1)]
    )
    b = repeated(sample_run, [measured(cases["all-on"], i, c) for i, c in enumerate(_costs(1, 2), 1)], run_id="b")
    found = _between(a, b, linux_profile)
    assert {r.question.case for r in found.rows} == {"all-on"}


def test_one_trial_a_side_is_an_indication(sample_run: Run, linux_profile: Profile) -> None:
    found = _between(_run(sample_run, repeats=1), _run(sample_run, 2, 2, repeats=1, name="b"), linux_profile)
    assert {r.judgement.verdict for r in found.rows} == {INDICATION}


def test_two_trials_a_side_are_too_few(sample_run: Run, linux_profile: Profile) -> None:
    found = _between(_run(sample_run, repeats=2), _run(sample_run, 2, 2, repeats=2, name="b"), linux_profile)
    assert {(r.judgement.verdict, r.judgement.trials_needed) for r in found.rows} == {(TOO_FEW, 3)}


def test_copies_of_a_trial_are_an_error_that_names_them(sample_run: Run, linux_profile: Profile) -> None:
    a = of_costs(sample_run, {"tso": [1.0] * 3}, sigma=0)
    b = of_costs(sample_run, {"tso": [1.5] * 3}, sigma=0, run_id="b")
    with pytest.raises(StatisticError, match=r"ftp-get tso cpu_s_per_gb: the trials of a side do not differ"):
        _between(a, b, linux_profile)


def test_over_all_cases_of_a_workload(sample_run: Run, linux_profile: Profile) -> None:
    a = of_costs(sample_run, {name: _costs(1, i) for i, name in enumerate(("tso", "csum", "none"), 1)})
    b = of_costs(
        sample_run, {n: _costs(1.05, i) for i, n in enumerate(("tso", "csum", "none"), 5)}, seed=50, run_id="b"
    )
    row = _row(_between(a, b, linux_profile, by="workload"), compare.ALL_CASES)
    assert row.judgement.verdict == CHANGED
    assert row.judgement.ratios()[0] == pytest.approx(1.05, rel=0.02)
    inside = _row(compare.within(_run(sample_run), linux_profile, by="workload"), compare.ALL_CASES)
    assert inside.judgement.ratios()[0] == pytest.approx((2 * 3) ** 0.5 / 0.6, rel=0.02)


def test_modules_have_intervals_and_the_largest_change_comes_first(sample_run: Run, linux_profile: Profile) -> None:
    cases = {case.name: case for case in catalog.all_cases()}

    def made(run_id: str, gso: float, seed: int) -> Run:
        factors = noise(5, 0.02, seed)
        trials = [
            measured(cases["gso"], i, 0.8 * f, modules_ns={"tcp": 0.4 * f, "gso": gso * g, "checksum": 0.01 * f})
            for i, (f, g) in enumerate(zip(factors, noise(5, 0.02, seed + 50), strict=True), 1)
        ]
        return repeated(sample_run, trials, run_id=run_id)

    found = _between(made("a", 0.2, 1), made("b", 0.3, 2), linux_profile, by="module")
    first = found.rows[0]
    assert (first.question.module, first.question.quantity) == ("gso", "kernel_cpu_time_ns")
    assert first.judgement.verdict == CHANGED
    change, low, high = first.judgement.differences()
    assert low < 0.1 < high
    assert change == pytest.approx(0.1, rel=0.1)
    assert {r.judgement.verdict for r in found.rows[1:]} == {UNDECIDED}


def test_several_runs_are_compared_with_the_first(sample_run: Run, linux_profile: Profile) -> None:
    runs = [_run(sample_run, 1 + i / 10, i + 1, name=f"r{i}") for i in range(3)]
    found = compare.between(runs, ["a", "b", "c"], linux_profile)
    assert {(r.question.a, r.question.b) for r in found.rows} == {("a", "b"), ("a", "c")}
    # one family: the runs share their baseline
    assert len(found.rows) == 12
    assert found.rows[0].judgement.trials_needed == 4


def test_runs_that_answer_other_questions_are_refused(sample_run: Run, linux_profile: Profile) -> None:
    a, b = _run(sample_run), _run(sample_run, name="b")
    other = msgspec.structs.replace(b, plan=msgspec.structs.replace(b.plan, duration_s=99))
    with pytest.raises(RunFileError, match="other window"):
        _between(a, other, linux_profile)
    assert any("other window" in text for text in _between(a, other, linux_profile, force=True).differences)
    cases = [
        msgspec.structs.replace(c, definition=msgspec.structs.replace(c.definition, gso_max_segs=7))
        for c in b.plan.cases
    ]
    changed = msgspec.structs.replace(b, plan=msgspec.structs.replace(b.plan, cases=cases))
    with pytest.raises(RunFileError, match="case tso sets other features"):
        _between(a, changed, linux_profile)


def test_what_else_differs_is_told_first(sample_run: Run, linux_profile: Profile) -> None:
    b = _run(sample_run, seed=2, name="b")
    host = msgspec.structs.replace(b.host, kernel="7.0", mitigations=b.host.mitigations | {"spectre_v9": "Vulnerable"})
    found = _between(_run(sample_run), msgspec.structs.replace(b, host=host), linux_profile)
    assert any(text.startswith("kernel: ") for text in found.differences)
    assert "mitigation spectre_v9: None -> Vulnerable" in found.differences
    lines = formats.table(formats.Sheet(found)).splitlines()
    assert lines[0].startswith("differs: kernel")


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
    found = _between(_run(sample_run), _run(sample_run, scale, 2, name="b"), linux_profile)
    assert gate.exit_code([gate.parse(bound)], found, strict=True) == code


def test_what_the_data_cannot_decide_fails_only_under_strict(sample_run: Run, linux_profile: Profile) -> None:
    noisy = {"sigma": 0.2}
    found = _between(_run(sample_run, **noisy), _run(sample_run, 1.1, 2, **noisy, name="b"), linux_profile)  # type: ignore[arg-type]
    bound = [gate.parse("cpu_s_per_gb>+5%")]
    assert gate.exit_code(bound, found, strict=False) == OK
    assert gate.exit_code(bound, found, strict=True) == UNDECIDED_CODE
    single = _between(_run(sample_run, repeats=1), _run(sample_run, 2, 2, repeats=1, name="b"), linux_profile)
    assert gate.exit_code(bound, single, strict=False) == OK
    assert gate.exit_code(bound, single, strict=True) == gate.exit_code([], single, strict=True) == UNDECIDED_CODE


def test_a_case_that_could_not_be_compared_is_undecided_under_strict(sample_run: Run, linux_profile: Profile) -> None:
    b = _run(sample_run, seed=2, name="b")
    b = msgspec.structs.replace(b, trials=[t for t in b.trials if t.case != "none"])
    found = _between(_run(sample_run), b, linux_profile)
    assert found.missing == ["ftp-get none: no usable trial in b.json"]
    assert gate.exit_code([], found, strict=False) == OK
    assert gate.exit_code([], found, strict=True) == UNDECIDED_CODE


@pytest.mark.parametrize(
    "bound",
    [
        "cpu_s_per_gb<-5%",
        "throughput_bits_per_s>+3%",
        "cpu_s_per_gb>-5%",
        "cpu_s_per_gb>5",
        "cpu>+5%",
        "",
        "steal_ratio>+1%",
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(bound: str) -> None:
    with pytest.raises(UsageError, match="--fail-on"):
        gate.parse(bound)


@pytest.fixture
def sheet(sample_run: Run, linux_profile: Profile) -> formats.Sheet:
    b = _run(sample_run, 1.2, 2, name="b")
    b = msgspec.structs.replace(b, host=msgspec.structs.replace(b.host, kernel="a|b<c>\n::error::x\x01"))
    found = _between(_run(sample_run), b, linux_profile)
    return formats.Sheet(found, gate.outcomes([gate.parse("cpu_s_per_gb>+5%")], found))


def test_the_table_has_a_line_a_metric_and_explains_its_intervals(sheet: formats.Sheet) -> None:
    text = formats.table(sheet)
    line = next(line for line in text.splitlines() if "regressed" in line)
    assert line.split()[:4] == ["CPU", "s", "per", "GB"]
    assert "changed, p " in line
    assert "~ no change shown; would have shown" in text
    assert "Holm over 6 tests a workload" in text


def test_json_and_csv_hold_the_same_rows(sheet: formats.Sheet) -> None:
    document = json.loads(formats.json(sheet))
    rows = list(csv.DictReader(io.StringIO(formats.comma_separated(sheet))))
    assert len(document["rows"]) == len(rows) == 6
    assert list(document["rows"][0]) == list(rows[0])
    assert document["differences"] == sheet.comparison.differences
    bad = next(row for row in document["rows"] if row["gate"].startswith("regressed"))
    assert bad["ratio_low"] < bad["ratio"] < bad["ratio_high"]
    assert bad["ratio_low"] <= bad["ratio_low_95"]
    assert bad["verdict"] == "changed"


def test_junit_fails_the_regression_alone_and_is_xml(sheet: formats.Sheet) -> None:
    suite = ET.fromstring(formats.junit(sheet))
    assert suite.attrib["tests"] == "6"
    assert suite.attrib["failures"] == "1"
    failed = [case for case in suite.iter("testcase") if case.find("failure") is not None]
    assert [(case.attrib["classname"], case.attrib["name"]) for case in failed] == [
        ("b.json.ftp-get.csum", "CPU s per GB")
    ]


def test_github_annotates_the_regression_and_nothing_can_break_out(sheet: formats.Sheet) -> None:
    lines = formats.github(sheet).splitlines()
    assert [line.partition(" ")[0] for line in lines].count("::error") == 1
    assert all(line.startswith(("::error title=", "::notice title=", "::warning title=")) for line in lines)
    assert any("%0A::error::x" in line for line in lines)


def test_markdown_cells_are_escaped(sheet: formats.Sheet) -> None:
    text = formats.markdown(sheet)
    assert "a\\|b\\<c\\>" in text
    assert text.count("\n| ") == 7


def test_the_command_line_gates_and_prints(command_line: CommandLine, sample_run: Run, tmp_path: Path) -> None:
    a, b = tmp_path / "a.json", tmp_path / "b.json.gz"
    runfile.save(_run(sample_run), a)
    runfile.save(_run(sample_run, 1.2, 2, name="b"), b)
    passed = command_line("compare", str(a), str(b))
    assert (passed.code, passed.err) == (0, "")
    assert command_line("compare", str(a), str(b), "--fail-on", "cpu_s_per_gb>+5%").code == 1
    assert command_line("compare", str(b), str(a), "--fail-on", "cpu_s_per_gb>+15%", "--strict").code == 0
    for name in formats.FORMATS:
        for by in ("case", "workload", "module"):
            finished = command_line("compare", str(a), str(b), "--format", name, "--by", by)
            assert (finished.code, finished.err) == (0, "")
    inside = command_line("compare", str(a))
    assert "ftp-get, csum against tso" in inside.out
    assert "TSO (case tso against csum): saves 70" in inside.out
    assert command_line("compare", str(a), str(b), "--within", "--reference", "none").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fail-on", "cpu_s_per_gb<-5%"], "fails improvements"),
        (["--metric", "steal"], "--metric steal"),
        (["--by", "module", "--fail-on", "cpu_s_per_gb>+5%"], "--fail-on bounds"),
        (["SECOND", "--within", "--format", "json"], "holds one comparison"),
        (["SECOND", "--reference", "tso"], "--reference is for the cases"),
    ],
)
def test_a_wrong_comparison_is_a_usage_error(
    command_line: CommandLine, sample_path: Path, arguments: list[str], said: str
) -> None:
    paths = [str(sample_path) if word == "SECOND" else word for word in arguments]
    finished = command_line("compare", str(sample_path), *paths)
    assert finished.code == 2
    assert said in finished.err


def test_the_formats_are_those_of_the_command() -> None:
    from offloadbench.commands.compare import FORMAT_NAMES

    assert tuple(formats.FORMATS) == FORMAT_NAMES
