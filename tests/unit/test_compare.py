"""Comparisons: the right trials on each side, honest verdicts, gates, and every format."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from offloadbench.analysis.comparison import changes, gate
from offloadbench.analysis.comparison.changes import Comparison, Row
from offloadbench.analysis.comparison.groups import RunGroup
from offloadbench.analysis.comparison.pairs import ALL_CASES
from offloadbench.analysis.statistics.holm import CHANGED, INDICATION, TOO_FEW, UNDECIDED
from offloadbench.base.errors import RunFileError, StatisticError, UsageError
from offloadbench.commands import coloured
from offloadbench.definitions import catalog
from offloadbench.files import run_file
from offloadbench.model import Profile, Run
from offloadbench.report import compare_ci
from offloadbench.report import compare_text as formats
from offloadbench.report.compare_formats import FORMATS
from tests.conftest import CommandLine
from tests.unit.repeats import measured, noise, of_costs, repeated
from tests.unit.sides import between, costs, group, ladder, sides

COST = "cpu_s_per_gb"


def _row(comparison: Comparison, case: str, metric: str = COST) -> Row:
    return next(r for r in comparison.rows if (r.question.case, r.question.metric) == (case, metric))


def test_runs_that_differ_in_one_case_say_so_and_nothing_else(sample_run: Run, linux_profile: Profile) -> None:
    found = sides(sample_run, linux_profile, 1.2)
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


def test_one_run_a_side_is_an_indication_however_many_repeats_it_has(sample_run: Run, linux_profile: Profile) -> None:
    found = between(ladder(sample_run, repeats=20), ladder(sample_run, 2, 2, repeats=20, name="b"), linux_profile)
    assert {r.judgement.verdict for r in found.rows} == {INDICATION}
    _, low, high = _row(found, "csum").judgement.ratios()
    assert 1.9 < low < high < 2.1
    text = formats.table(formats.Sheet(found))
    assert "One run a side: how far identical runs lie apart is not known" in text
    assert "changed, " not in text


def test_inside_a_run_cases_are_paired_within_blocks(sample_run: Run, linux_profile: Profile) -> None:
    # what drifts hits both cases of a block alike
    drift = [1.0, 1.3, 0.8, 1.1, 1.5]
    tso = [0.6 * d * n for d, n in zip(drift, noise(5, 0.01, 1), strict=True)]
    gso = [0.66 * d * n for d, n in zip(drift, noise(5, 0.01, 2), strict=True)]
    run = of_costs(sample_run, {"tso": tso, "gso": gso})
    row = _row(changes.within(run, linux_profile), "gso")
    assert (row.question.a, row.question.b) == ("tso", "gso")
    assert row.judgement.verdict == CHANGED
    assert row.judgement.estimate.method == "paired t within blocks"
    # unpaired, the same figures show nothing
    apart = between(
        of_costs(sample_run, {"tso": tso}, run_id="a"),
        of_costs(sample_run, {"tso": gso}, seed=9, run_id="b"),
        linux_profile,
    )
    _, low, high = _row(apart, "tso").judgement.ratios()
    assert low < 1 < high


def test_a_block_without_both_cases_is_left_out(sample_run: Run, linux_profile: Profile) -> None:
    run = ladder(sample_run)
    failed = [
        msgspec.structs.replace(t, outcome="failed") if (t.case, t.repeat) == ("csum", 2) else t for t in run.trials
    ]
    found = changes.within(msgspec.structs.replace(run, trials=failed), linux_profile)
    assert _row(found, "csum").judgement.estimate.trials_a == 4
    assert _row(found, "none").judgement.estimate.trials_a == 5


def test_another_reference_can_be_named(sample_run: Run, linux_profile: Profile) -> None:
    found = changes.within(ladder(sample_run), linux_profile, reference="none")
    assert {r.question.case for r in found.rows} == {"tso", "csum"}
    with pytest.raises(UsageError, match="--reference gso"):
        changes.within(ladder(sample_run), linux_profile, reference="gso")


def test_a_case_is_found_under_its_other_name(sample_run: Run, linux_profile: Profile) -> None:
    cases = {case.name: case for case in catalog.all_cases()}
    a = repeated(
        sample_run, [measured(cases["tso"], i, c, also_named=["all-on"]) for i, c in enumerate(costs(1, 1), 1)]
    )
    b = repeated(sample_run, [measured(cases["all-on"], i, c) for i, c in enumerate(costs(1, 2), 1)], run_id="b")
    found = between(a, b, linux_profile)
    assert {r.question.case for r in found.rows} == {"all-on"}


def test_one_trial_a_side_is_an_indication(sample_run: Run, linux_profile: Profile) -> None:
    found = between(ladder(sample_run, repeats=1), ladder(sample_run, 2, 2, repeats=1, name="b"), linux_profile)
    assert {r.judgement.verdict for r in found.rows} == {INDICATION}


def test_two_blocks_are_too_few(sample_run: Run, linux_profile: Profile) -> None:
    found = changes.within(ladder(sample_run, repeats=2), linux_profile, by="workload")
    assert {(r.judgement.verdict, r.judgement.trials_needed) for r in found.rows} == {(TOO_FEW, 3)}


def test_copies_of_a_trial_are_an_error_that_names_them(sample_run: Run, linux_profile: Profile) -> None:
    a = of_costs(sample_run, {"tso": [1.0] * 3}, sigma=0)
    b = of_costs(sample_run, {"tso": [1.5] * 3}, sigma=0, run_id="b")
    with pytest.raises(StatisticError, match=r"ftp-get tso cpu_s_per_gb: the trials of a side do not differ"):
        between(a, b, linux_profile)


def test_over_all_cases_of_a_workload(sample_run: Run, linux_profile: Profile) -> None:
    names = ("tso", "csum", "none")

    def side(level: float, seed: int, name: str) -> RunGroup:
        runs = [
            of_costs(sample_run, {case: costs(level, seed + 9 * r + i) for i, case in enumerate(names)}, seed=seed + r,
                     run_id=f"{name}{r}")
            for r in range(3)
        ]  # fmt: skip
        return RunGroup(name, runs, [run.run_id for run in runs])

    found = changes.between_groups([side(1, 1, "a"), side(1.05, 50, "b")], linux_profile, by="workload")
    row = _row(found, ALL_CASES)
    assert row.judgement.verdict == CHANGED
    assert row.judgement.ratios()[0] == pytest.approx(1.05, rel=0.02)
    inside = _row(changes.within(ladder(sample_run), linux_profile, by="workload"), ALL_CASES)
    assert inside.judgement.ratios()[0] == pytest.approx((2 * 3) ** 0.5 / 0.6, rel=0.02)


def test_over_all_cases_the_moment_that_a_block_shares_counts_once(sample_run: Run, linux_profile: Profile) -> None:
    """By the variances of the cases, as if they were independent, the mean of four would look twice as sure."""
    names = ("tso", "gso", "csum", "none")
    widths = []
    for seed in range(40):
        moments = [noise(5, 0.05, seed * 2 + side) for side in (0, 1)]
        a, b = (
            of_costs(
                sample_run,
                {
                    c: [m * n for m, n in zip(moment, noise(5, 0.005, 100 * seed + 10 * i + side), strict=True)]
                    for i, c in enumerate(names)
                },
                run_id=f"{side}",
            )
            for side, moment in enumerate(moments)
        )
        row = _row(between(a, b, linux_profile, by="workload"), ALL_CASES)
        widths.append(row.judgement.estimate.standard_error)
    assert sum(widths) / len(widths) == pytest.approx(0.05 * (2 / 5) ** 0.5, rel=0.1)


def test_modules_have_intervals_and_the_largest_change_comes_first(sample_run: Run, linux_profile: Profile) -> None:
    cases = {case.name: case for case in catalog.all_cases()}

    def made(run_id: str, gso: float, seed: int) -> Run:
        factors = noise(5, 0.02, seed)
        trials = [
            measured(cases["gso"], i, 0.8 * f, modules_ns={"tcp": 0.4 * f, "gso": gso * g, "checksum": 0.01 * f})
            for i, (f, g) in enumerate(zip(factors, noise(5, 0.02, seed + 50), strict=True), 1)
        ]
        return repeated(sample_run, trials, run_id=run_id)

    sides = [
        RunGroup(name, [made(f"{name}{r}", gso, seed + r) for r in range(3)], [f"{name}{r}" for r in range(3)])
        for name, gso, seed in (("a", 0.2, 1), ("b", 0.3, 11))
    ]
    found = changes.between_groups(sides, linux_profile, by="module")
    first = found.rows[0]
    assert (first.question.module, first.question.quantity) == ("gso", "kernel_cpu_time_ns")
    assert first.judgement.verdict == CHANGED
    change, low, high = first.judgement.differences()
    assert low < 0.1 < high
    assert change == pytest.approx(0.1, rel=0.1)
    assert {r.judgement.verdict for r in found.rows[1:]} == {UNDECIDED}


def test_several_runs_are_compared_with_the_first(sample_run: Run, linux_profile: Profile) -> None:
    runs = [ladder(sample_run, 1 + i / 10, i + 1, name=f"r{i}") for i in range(3)]
    found = changes.between(runs, ["a", "b", "c"], linux_profile)
    assert {(r.question.a, r.question.b) for r in found.rows} == {("a", "b"), ("a", "c")}
    # one family: the runs share their baseline
    assert len(found.rows) == 12


def test_runs_that_answer_other_questions_are_refused(sample_run: Run, linux_profile: Profile) -> None:
    a, b = ladder(sample_run), ladder(sample_run, name="b")
    other = msgspec.structs.replace(b, plan=msgspec.structs.replace(b.plan, duration_s=99))
    with pytest.raises(RunFileError, match="other window"):
        between(a, other, linux_profile)
    assert any("other window" in text for text in between(a, other, linux_profile, force=True).differences)
    cases = [
        msgspec.structs.replace(c, definition=msgspec.structs.replace(c.definition, gso_max_segs=7))
        for c in b.plan.cases
    ]
    changed = msgspec.structs.replace(b, plan=msgspec.structs.replace(b.plan, cases=cases))
    with pytest.raises(RunFileError, match="case tso sets other features"):
        between(a, changed, linux_profile)


def test_what_else_differs_is_told_first(sample_run: Run, linux_profile: Profile) -> None:
    b = ladder(sample_run, seed=2, name="b")
    host = msgspec.structs.replace(b.host, kernel="7.0", mitigations=b.host.mitigations | {"spectre_v9": "Vulnerable"})
    found = between(ladder(sample_run), msgspec.structs.replace(b, host=host), linux_profile)
    assert any(text.startswith("kernel: ") for text in found.differences)
    assert "mitigation spectre_v9: None -> Vulnerable" in found.differences
    lines = formats.table(formats.Sheet(found)).splitlines()
    assert lines[0].startswith("differs: kernel")


@pytest.fixture
def sheet(sample_run: Run, linux_profile: Profile) -> formats.Sheet:
    a, b = group(sample_run), group(sample_run, 1.2, 2, name="b")
    host = msgspec.structs.replace(sample_run.host, kernel="a|b<c>\n::error::x\x01")
    b = RunGroup(b.name, [msgspec.structs.replace(run, host=host) for run in b.runs], b.names)
    found = changes.between_groups([a, b], linux_profile)
    return formats.Sheet(found, gate.outcomes([gate.parse("cpu_s_per_gb>+5%")], found))


def test_the_table_has_a_line_a_metric_and_explains_its_intervals(sheet: formats.Sheet) -> None:
    text = formats.table(sheet)
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if "regressed" in line)
    assert lines[at].strip().startswith("changed, adjusted p ")
    assert re.match(r"  CPU s per GB +\S+ -> \S+ +\+\d+ %  \(\+\d+ % to \+\d+ %, 99\.\d % interval\)$", lines[at - 1])
    assert max(map(len, lines)) <= 100
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
    suite = ET.fromstring(compare_ci.junit(sheet))
    assert suite.attrib["tests"] == "6"
    assert suite.attrib["failures"] == "1"
    failed = [case for case in suite.iter("testcase") if case.find("failure") is not None]
    assert [(case.attrib["classname"], case.attrib["name"]) for case in failed] == [("ftp-get.csum", "CPU s per GB")]


def test_junit_names_hold_no_file_and_what_is_missing_is_a_skipped_test(
    sample_run: Run, linux_profile: Profile
) -> None:
    names = []
    for name in ("4f2a", "9c01"):
        a, b = group(sample_run, name=f"a{name}"), group(sample_run, seed=2, name=f"b{name}")
        lacking = [msgspec.structs.replace(r, trials=[t for t in r.trials if t.case != "none"]) for r in b.runs]
        found = changes.between_groups([a, RunGroup(b.name, lacking, b.names)], linux_profile)
        suite = ET.fromstring(compare_ci.junit(formats.Sheet(found)))
        cases = list(suite.iter("testcase"))
        names.append([(case.attrib["classname"], case.attrib["name"]) for case in cases])
        skipped = [case for case in cases if case.find("skipped") is not None]
        assert [(case.attrib["classname"], case.attrib["name"]) for case in skipped] == [("missing", "ftp-get none")]
        assert suite.attrib["tests"] == str(len(cases))
    assert names[0] == names[1]
    assert all(name not in str(names) for name in ("4f2a", "9c01"))


def test_github_annotates_the_regression_and_nothing_can_break_out(sheet: formats.Sheet) -> None:
    lines = compare_ci.github(sheet).splitlines()
    assert lines[0].startswith("::error title=offloadbench%3A ftp-get csum CPU s per GB::")
    assert re.search(r"::\d\.\d+ -> \d\.\d+, \+\d+ %25 \(.*; b\.json against a\.json", lines[0])
    assert [line.partition(" ")[0] for line in lines].count("::error") == 1
    assert all(line.startswith(("::error title=", "::notice title=", "::warning title=")) for line in lines)
    assert any("%0A::error::x" in line for line in lines)


def test_github_shows_ten_annotations_the_worst_first(sheet: formats.Sheet) -> None:
    many = changes.Comparison("", [f"differs {n}" for n in range(20)], ["ftp-get none: gone"], sheet.comparison.rows)
    lines = compare_ci.github(formats.Sheet(many, sheet.outcomes)).splitlines()
    assert len(lines) == 10
    assert [line.partition(" ")[0] for line in lines[:2]] == ["::error", "::warning"]
    assert re.search(r"::\d+ more", lines[-1])


def test_the_answer_comes_last_and_names_what_got_worse(sheet: formats.Sheet) -> None:
    lines = formats.table_lines(sheet)
    answer = formats.answer(sheet)
    assert lines[-len(answer) :] == answer
    (worse,) = [line for tone, line in answer if line.startswith("Worse: ")]
    assert worse.startswith("Worse: ftp-get csum CPU s per GB: ")
    assert "beyond cpu_s_per_gb>+5%" in " ".join(line.strip() for _, line in answer)
    assert answer[0][0] is formats.Tone.WORSE
    assert answer[-1] == (formats.Tone.PLAIN, "No change shown in 5 of 6 rows.")


def test_colour_is_for_terminals_and_never_against_no_color(
    sheet: formats.Sheet, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    for stream, no_color, has in ((Terminal(), "", True), (Terminal(), "1", False), (io.StringIO(), "", False)):
        monkeypatch.setenv("NO_COLOR", no_color)
        coloured.write(formats.table_lines(sheet), stream)
        assert ("\x1b[1;31m" in stream.getvalue()) == has
        assert re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()) == formats.table(sheet)


def test_a_comparison_is_written_as_its_name_ends_and_answered_all_the_same(
    command_line: CommandLine, sample_run: Run, tmp_path: Path
) -> None:
    paths = []
    for side in (group(sample_run), group(sample_run, 1.2, 2, name="b")):
        files = [tmp_path / name for name in side.names]
        for run, path in zip(side.runs, files, strict=True):
            run_file.save(run, path)
        paths.append([str(path) for path in files])
    sides = ["--baseline", *paths[0], "--candidate", *paths[1]]
    for ending, start in (("md", "## "), ("json", "{"), ("csv", "a,b,"), ("xml", "<?xml"), ("txt", paths[0][0])):
        output = tmp_path / f"compared.{ending}"
        told = command_line("compare", *sides, "--output", str(output))
        assert (told.code, told.err) == (0, "")
        assert output.read_text().startswith(start)
        assert "Worse: ftp-get csum CPU s per GB: " in told.out
        assert told.out.endswith(f"{output}\n")
    refused = command_line("compare", *sides, "--output", str(tmp_path / "x.pdf"))
    assert (refused.code, "nothing that ends in .pdf" in refused.err) == (2, True)
    refused = command_line("compare", *sides, "--output", str(tmp_path / "x.md"), "--format", "junit")
    assert (refused.code, "--format junit is not that" in refused.err) == (2, True)
    refused = command_line("compare", *sides, "--output", paths[0][0])
    assert refused.code == 2
    assert run_file.load(Path(paths[0][0])).trials


def test_markdown_cells_are_escaped(sheet: formats.Sheet) -> None:
    text = formats.markdown(sheet)
    assert "a\\|b\\<c\\>" in text
    assert text.count("\n| ") == 7


def test_the_command_line_compares_and_prints(command_line: CommandLine, sample_run: Run, tmp_path: Path) -> None:
    a, b = tmp_path / "a.json", tmp_path / "b.json.gz"
    run_file.save(ladder(sample_run), a)
    run_file.save(ladder(sample_run, 1.2, 2, name="b"), b)
    passed = command_line("compare", str(a), str(b))
    assert (passed.code, passed.err) == (0, "")
    for name in FORMATS:
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
        (["--baseline", "SECOND"], "go together"),
        (["--baseline", "SECOND", "--candidate", "SECOND"], "is on neither side"),
        (["SECOND", "--run-scatter", "much"], "is not a percentage"),
        (["SECOND", "--run-scatter", "steal_ratio=8%"], "no metric 'steal_ratio'"),
        (["SECOND", "--run-scatter", "8%:1"], "not a scatter"),
        (["SECOND", "--run-scatter", "8%", "--by", "module"], "of metrics, not of modules"),
        (["--scatter-from", "SECOND"], "leave out what is of several runs"),
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
    from offloadbench.commands.compare import ENDINGS

    assert tuple(FORMATS) == tuple(ENDINGS)
