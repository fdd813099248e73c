"""Findings and caveats: their figures are those of the tables, and nothing rests on what failed."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import msgspec
import pytest

from offloadbench.analysis.findings import caveats, findings
from offloadbench.analysis.tables import results
from offloadbench.definitions import catalog
from offloadbench.files import run_file
from offloadbench.model import PacketShapes, Run, Trial

DATA = Path(__file__).resolve().parents[1] / "data" / "report-lab-paper.json"
replace = msgspec.structs.replace


@pytest.fixture(scope="module")
def run() -> Run:
    return run_file.load(DATA)


def gathered(*runs: Run) -> results.Results:
    return results.gather(runs, catalog.profile("linux"))


def busier(trial: Trial, by_s: float) -> Trial:
    """The trial with `by_s` CPU seconds less idle in every second."""
    assert trial.samples is not None
    counters = dict(trial.samples.counters)
    counters["cpu_idle_exact_s"] = [idle - by_s for idle in counters["cpu_idle_exact_s"]]
    return replace(trial, samples=replace(trial.samples, counters=counters))


def with_trials(run: Run, change: dict[str, Trial]) -> Run:
    return replace(run, trials=[change.get(trial.case, trial) for trial in run.trials])


def case(run: Run, name: str) -> Trial:
    return next(trial for trial in run.trials if trial.case == name)


def text_of(found: results.Results) -> str:
    return "\n".join(caveat.text for caveat in caveats.collect(found, caveats.foreign(found)))


def test_sentence_holds_the_figures_of_the_table(run: Run) -> None:
    gather = gathered(run)
    first = findings.find(gather)[0]
    cost = gather.trials.set_index("case")["cpu_s_per_gb"]
    assert first.size == pytest.approx(cost["none"] - cost["tso"])
    assert f"CPU per GB \N{MINUS SIGN}{100 * first.size / cost['none']:.0f} % " in first.sentence
    assert f"{cost['none']:.2f} → {cost['tso']:.2f} CPU s/GB" in first.sentence
    assert (first.on, first.off) == ("tso", "none")


def test_one_trial_a_side_is_an_indication_and_orders_nothing(run: Run) -> None:
    found = findings.find(gathered(run))
    assert found[0].sentence.startswith("An indication, no verdict: case tso (the state as found) against case none: ")
    assert "use `--repeats 5`" in found[0].sentence
    for finding in found:
        assert finding.basis.startswith("an indication from one trial a side")
        assert "indication" in finding.sentence
        assert not re.search(r"\b(Keep|Switch|Weigh)\b|saves|costs", finding.sentence)
        assert (finding.command, finding.recipes) == ("", [])


def test_advice_comes_first_then_what_explains_it_the_biggest_first(run: Run) -> None:
    found = findings.find(gathered(run))
    assert [f.title for f in found] == [
        "TSO, GSO and checksum offload (case tso against none)",
        "TSO and GSO (case tso against csum)",
        "TX checksum offload (case csum against none)",
    ]
    assert [abs(f.size) for f in found[1:]] == sorted((abs(f.size) for f in found[1:]), reverse=True)
    assert findings.headlines(found) == found[:1]


def test_sources_come_from_the_modules(run: Run) -> None:
    gather = gathered(run)
    tcp = gather.modules[gather.modules["module"] == "tcp"].set_index("case")["value_per_byte"]
    totals = gather.busy_modules.groupby("case")["value_per_byte"].sum()
    share = (tcp["none"] - tcp["tso"]) / (totals["none"] - totals["tso"])
    assert f"TCP {share * 100:.0f} %" in findings.find(gather)[0].sources


@pytest.mark.parametrize("outcome", ["failed", "skipped"])
def test_nothing_rests_on_a_trial_that_did_not_end_well(run: Run, outcome: str) -> None:
    bad = msgspec.convert(
        {**msgspec.to_builtins(case(run, "none")), "outcome": outcome, "reason": "the server died"}, type=Trial
    )
    gather = gathered(with_trials(run, {"none": bad}))
    found = findings.find(gather)
    assert [f.title for f in found] == ["TSO and GSO (case tso against csum)"]
    assert f"case none, repeat 1 {outcome}: the server died. No finding rests on it." in text_of(gather)


def test_contradicted_trial_is_left_out(run: Run) -> None:
    tso = case(run, "tso")
    evidence = case(run, "csum").evidence
    assert evidence is not None
    gather = gathered(with_trials(run, {"tso": replace(tso, evidence=evidence)}))
    assert all("tso" not in f.title for f in findings.find(gather))
    assert "tso was contradicted" in text_of(gather)


def test_collapsed_cases_are_not_compared_with_themselves(run: Run) -> None:
    none = replace(case(run, "none"), also_named=["csum"])
    collapsed = replace(run, trials=[case(run, "tso"), none])
    titles = [f.title for f in findings.find(gathered(collapsed))]
    assert titles == ["TSO and GSO (case tso against none)"]


def test_a_nic_without_tso_is_not_told_to_keep_it(run: Run) -> None:
    tso = replace(case(run, "tso"), also_named=["gso"])
    titles = [f.title for f in findings.find(gathered(with_trials(run, {"tso": tso})))]
    assert titles == [
        "GSO and checksum offload (case tso against none)",
        "GSO (case tso against csum)",
        "TX checksum offload (case csum against none)",
    ]


def test_the_same_run_twice_counts_once(run: Run) -> None:
    shorter = replace(run, trials=run.trials[:1])
    assert len(gathered(shorter, run, run).trials) == len(run.trials)


def test_runs_that_differ_are_not_pooled(run: Run) -> None:
    other = replace(run, run_id="other", host=replace(run.host, kernel="7.0"))
    assert set(gathered(run, other).trials["nic"]) == {f"lab (kernel {run.host.kernel})", "lab (kernel 7.0)"}
    several = replace(other, nic=replace(run.nic, mtu_bytes=9000))
    assert set(gathered(run, several).trials["nic"]) == {"lab (MTU 1500)", "lab (MTU 9000)"}
    alike = replace(run, run_id="other")
    assert set(gathered(run, alike).trials["nic"]) == {"lab"}


def test_caveats_are_written_from_the_data(run: Run) -> None:
    tso = case(run, "tso")
    assert tso.samples and tso.profile and tso.wire
    counters = dict(tso.samples.counters)
    length = len(tso.samples.t_s)
    counters |= {"tcp_retrans_segments": [900.0] * length, "tcp_in_csum_errors": [1.0] * length}
    counters |= {"cpu_steal_s": [0.05] * length, "tx_dropped": [50.0] * length}
    odd = replace(
        tso,
        samples=replace(tso.samples, counters=counters),
        profile=replace(tso.profile, lost_samples=7),
        wire=replace(tso.wire, asleep_ratio=0.02, behind_s=1.0),
        warnings=["the governor changed"],
    )
    text = text_of(gathered(with_trials(run, {"tso": odd})))
    for words in (
        "of the segments were sent again",
        "wrong checksum",
        "dropped",
        "hypervisor took",
        "lost 7 of",
        "idle only 2.0 % of the time",
        "fell 1.00 s behind",
        "the governor changed",
        "rx-checksum is fixed off",
        "counts time, not instructions",
        "wake-up latency",
        "no switch for the IP header checksum",
        "Windows of 5 s are short",
        "One trial a case",
        "share CPU 1",
    ):
        assert words in text, words


def test_evidence_that_does_not_decide_is_told(run: Run) -> None:
    tso = case(run, "tso")
    assert tso.evidence is not None
    blind = replace(
        tso.evidence, packets=[PacketShapes(tracepoint="net:net_dev_queue", shapes=[])], problem="no tracefs"
    )
    text = text_of(gathered(with_trials(run, {"tso": replace(tso, evidence=blind)})))
    assert "tso was not shown to act (lab, case tso): no tracefs." in text


def test_findings_are_frozen(run: Run) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        findings.find(gathered(run))[0].size = 1.0  # type: ignore[misc]


def test_a_run_without_trials_has_no_findings_and_says_what_is_missing(run: Run) -> None:
    gather = gathered(replace(run, trials=[]))
    assert findings.find(gather) == []
    assert "3 of 3 planned trials are missing" in text_of(gather)
