"""How sure the modules are, in words; sampled against counted; processes of others."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from offloadbench.analysis.findings import caveats, module_confidence
from offloadbench.analysis.profile import module_tables, plain_count
from offloadbench.analysis.profile.attribution import METHODS
from offloadbench.analysis.tables import results
from offloadbench.definitions import catalog
from offloadbench.files import run_file
from offloadbench.model import ProfileCounts, Run, Trial
from tests.unit.builders import CLOCK, INSTRUCTIONS, load, profile_counts, run, samples, trial

DATA = Path(__file__).resolve().parents[1] / "data" / "report-lab-chains.json"
KALLSYMS = "ffffffff81000000 T do_idle\nffffffff81000100 T tcp_sendmsg\n"
IDLE, SEND = 0xFFFFFFFF81000008, 0xFFFFFFFF81000108
replace = msgspec.structs.replace


def gathered(*runs: Run) -> results.Results:
    return results.gather(runs, catalog.profile("linux"))


def text_of(found: results.Results) -> str:
    return "\n".join(caveat.text for caveat in caveats.collect(found, caveats.foreign(found)))


def captured(counts: ProfileCounts, **changes: object) -> Trial:
    whole = samples(rows=1, cpu_idle_exact_s=0.5)
    return trial(profile=counts, samples=whole, window_s=1.0, load=load(1000, 1.0), **changes)


def test_all_shares_of_the_sentence_have_one_base() -> None:
    shares = {"table": 0.361, "user": 0.036, "helper": 0.023, "other": 0.009, "irq_shadow": 0.571}
    assert module_confidence.sentence(shares) == (
        "36.1 % by source file, 3.6 % in user space, 2.3 % by usual caller; 0.9 % by no rule; "
        "57.1 % cannot be attributed (irq-off skid). Shares are of all busy time."
    )


def test_debug_information_and_the_table_both_are_source_files() -> None:
    assert module_confidence.sentence({"debuginfo": 0.5, "table": 0.5}) == (
        "100.0 % by source file; nothing by no rule. Shares are of all busy time."
    )


@pytest.mark.parametrize("shares", [{}, {"irq_shadow": 1.0}])
def test_nothing_attributed_is_said(shares: dict[str, float]) -> None:
    assert module_confidence.sentence(shares) == "nothing could be attributed."


def test_every_method_has_words() -> None:
    assert {*METHODS, module_tables.CALLER} - {"idle", "wakeup_latency"} == set(module_confidence._METHODS)


def test_a_chain_that_resolves_a_shadow_is_a_method_of_its_own() -> None:
    table = gathered(run_file.load(DATA)).methods
    assert "caller" in set(table["method"])
    sums = table.groupby(["case", "event"])["share_ratio"].sum()
    assert sums.tolist() == pytest.approx([1.0] * len(sums))


def test_classes_of_a_case_sum_to_one() -> None:
    table = module_confidence.by_class(gathered(run_file.load(DATA)).methods)
    assert table.groupby("case")["share_ratio"].sum().tolist() == pytest.approx([1.0, 1.0])
    assert set(table["class"]) <= set(module_confidence.CLASSES)


@pytest.mark.parametrize(
    ("counted", "noted"), [(100_000.0, False), (101_500.0, False), (103_000.0, True), (97_000.0, True)]
)
def test_a_gap_above_two_percent_is_a_warning(sample_run: Run, counted: float, noted: bool) -> None:
    counts = profile_counts([(SEND, "K", 0, 0, 0, 40, 40_000), (IDLE, "K", 0, 0, 0, 60, 60_000)], [CLOCK])
    counts = replace(counts, counted={"cpu-clock": counted})
    gap = plain_count.gaps(counts)[0]
    assert gap.ratio == pytest.approx(100_000 / counted - 1)
    assert gap.noted == noted
    text = text_of(gathered(run(sample_run, [captured(counts)], kallsyms=KALLSYMS)))
    assert ("than a plain count of the same window" in text) == noted


def test_the_largest_gap_is_told_and_a_doubtful_count_is_a_caveat(sample_run: Run) -> None:
    counts = profile_counts([(SEND, "K", 0, 0, 0, 40, 99_000)], [CLOCK])
    counts = replace(counts, counted={"cpu-clock": 100_000.0}, counting="the counter was shared for 3 % of the time")
    made = run(sample_run, [captured(counts)], kallsyms=KALLSYMS)
    assert "at most this far apart: cpu-clock 1.0 %." in module_confidence.counted([made])
    assert "the counter was shared for 3 % of the time" in text_of(gathered(made))


def test_nothing_is_said_where_nothing_was_counted(sample_run: Run) -> None:
    assert module_confidence.counted([sample_run]) == ""
    assert plain_count.gaps(profile_counts([], [CLOCK, INSTRUCTIONS])) == []


@pytest.mark.parametrize(("foreign", "told"), [(14, False), (16, True)])
def test_work_of_others_is_a_caveat_from_fifteen_percent_of_busy_weight(
    sample_run: Run, foreign: int, told: bool
) -> None:
    rows = [(SEND, "K", 0, 0, 0, 100 - foreign, 100 - foreign), (SEND, "K", 1, 0, 0, foreign, foreign)]
    rows.append((IDLE, "K", 2, 0, 0, 900, 900))
    counts = profile_counts(rows, [CLOCK], ("ob-ftp-server", "cc1", "swapper"))
    text = text_of(gathered(run(sample_run, [captured(counts)], kallsyms=KALLSYMS)))
    assert (f"{foreign} % of the busy weight was the work of other processes (cc1 {foreign} %)" in text) == told


@pytest.mark.parametrize(("foreign", "doubted"), [(14, True), (16, False)])
def test_work_of_others_is_told_once_for_a_trial(sample_run: Run, foreign: int, doubted: bool) -> None:
    rows = [(SEND, "K", 0, 0, 0, 100 - foreign, 100 - foreign), (SEND, "K", 1, 0, 0, foreign, foreign)]
    counts = profile_counts(rows, [CLOCK], ("ob-ftp-server", "cc1"))
    text = text_of(gathered(run(sample_run, [captured(counts)], kallsyms=KALLSYMS)))
    assert ("Stop the other processes" in text) == doubted
    assert ("was the work of other processes" in text) != doubted


def test_a_server_without_a_name_of_its_own_is_not_called_foreign(sample_run: Run) -> None:
    # run-v1.json is of a version whose server was called python
    assert "work of other processes" not in text_of(gathered(sample_run))


def test_callers_own_what_they_never_did_themselves(sample_run: Run) -> None:
    kallsyms = KALLSYMS + "ffffffff81000200 T memcpy\n"
    counts = profile_counts([(0xFFFFFFFF81000208, "K", 0, 0, 0, 7, 7)], [CLOCK], chains=[[SEND - 8]])
    table = module_tables.modules([run(sample_run, [captured(counts)], kallsyms=kallsyms)], catalog.profile("linux"))
    columns = ["module", "value", "caller_value", "samples", "share_ratio"]
    assert table[columns].to_numpy().tolist() == [["copy", 7, 0, 7, 1.0], ["tcp", 0, 7, 0, 0.0]]


def test_a_lock_taken_from_the_idle_loop_stays_busy_in_both_views(sample_run: Run) -> None:
    kallsyms = KALLSYMS + "ffffffff81000200 T _raw_spin_lock\n"
    counts = profile_counts([(0xFFFFFFFF81000208, "K", 0, 0, 0, 7, 7)], [CLOCK], chains=[[IDLE - 8]])
    table = module_tables.modules([run(sample_run, [captured(counts)], kallsyms=kallsyms)], catalog.profile("linux"))
    assert table[["module", "value", "caller_value"]].to_numpy().tolist() == [["lock", 7, 7]]


def test_both_views_have_the_same_sum() -> None:
    table = gathered(run_file.load(DATA)).busy_modules
    sums = table.groupby("case")[["value_per_byte", "caller_value_per_byte"]].sum()
    assert sums["value_per_byte"].tolist() == pytest.approx(sums["caller_value_per_byte"].tolist())


def test_one_pass_gives_what_each_table_gives_alone(sample_run: Run) -> None:
    profile = catalog.profile("linux")
    together = module_tables.build([sample_run], profile, ["modules", "methods", "seconds", "processes", "cpus"])
    for name, table in together.items():
        alone = getattr(module_tables, name)([sample_run], profile)
        assert table.equals(alone), name
