"""Findings and caveats: their figures are those of the tables, and nothing rests on what failed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest

from offloadbench import catalog, runfile
from offloadbench.analysis import caveats, findings, results
from offloadbench.model import PacketShapes, Run, Trial

DATA = Path(__file__).resolve().parents[1] / "data" / "report-lab-paper.json"
replace = msgspec.structs.replace


@pytest.fixture(scope="module")
def run() -> Run:
    return runfile.load(DATA)


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
    assert f"save {first.size:.2f} CPU seconds per GB" in first.sentence
    assert (
        f"({cost['none']:.2f} → {cost['tso']:.2f} CPU s/GB, {100 * first.size / cost['none']:.0f} % less)"
        in first.sentence
    )
    assert "at the same throughput (984 Mbit/s)" in first.sentence
    assert sorted(first.rows["case"]) == ["none", "tso"]
    assert first.basis == "an indication from one trial a side"


def test_ranked_by_size_and_one_headline_a_workload(run: Run) -> None:
    found = findings.find(gathered(run))
    assert [abs(f.size) for f in found] == sorted((abs(f.size) for f in found), reverse=True)
    assert [f.title for f in found] == [
        "TSO, GSO and checksum offload (case tso against none)",
        "TSO and GSO (case tso against csum)",
        "TX checksum offload (case csum against none)",
    ]
    assert len(findings.headlines(found)) == 1


def test_sources_come_from_the_modules(run: Run) -> None:
    gather = gathered(run)
    tcp = gather.modules[gather.modules["module"] == "tcp"].set_index("case")["value_per_byte"]
    assert f"TCP {tcp['none'] - tcp['tso']:.2f}" in findings.find(gather)[0].sources


def test_command_names_the_nic_but_not_the_labs_own(run: Run) -> None:
    assert findings.find(gathered(run))[0].command == "ethtool -K <ifname> tx on gso on tso on"
    real = replace(run, bed=replace(run.bed, kind="wire"), nic=replace(run.nic, ifname="en p;reboot"))
    assert findings.find(gathered(real))[0].command == "ethtool -K 'en p;reboot' tx on gso on tso on"


def test_recipes_are_for_the_switches_of_the_command(run: Run) -> None:
    real = replace(run, bed=replace(run.bed, kind="wire"), nic=replace(run.nic, ifname="enp1s0"))
    first = findings.find(gathered(real))[0]
    assert [recipe.title.split(":")[0] for recipe in first.recipes] == ["systemd", "NetworkManager", "ifupdown"]
    assert first.recipes[-1].text.strip() == f"post-up {first.command}"
    assert all(bool(finding.recipes) == bool(finding.command) for finding in findings.find(gathered(run)))


def test_negative_saving_is_a_cost(run: Run) -> None:
    found = findings.find(gathered(with_trials(run, {"tso": busier(case(run, "tso"), 0.5)})))
    costly = next(f for f in found if "case tso against csum" in f.title)
    assert costly.size < 0
    assert costly.sentence.startswith("Switch TSO and GSO off: together they cost ")
    assert "save" not in costly.sentence
    assert costly.command == "ethtool -K <ifname> gso off tso off"
    assert costly.sources == "" or costly.sources.startswith(("Spent", "Saved"))


def test_no_clear_difference_gives_no_command(run: Run) -> None:
    twin = replace(case(run, "none"), case="csum", features=case(run, "csum").features)
    twin = replace(twin, evidence=case(run, "csum").evidence)
    found = findings.find(gathered(with_trials(run, {"csum": twin})))
    same = next(f for f in found if "TX checksum" in f.title)
    assert same.sentence.startswith("TX checksum offload makes no clear difference in CPU here")
    assert same.command == ""


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


def test_repeats_tell_whether_ranges_overlap(run: Run) -> None:
    def repeated(spread_s: float) -> Run:
        more = [
            replace(busier(trial, offset), repeat=repeat)
            for trial in run.trials
            for repeat, offset in ((1, -spread_s), (2, 0.0), (3, spread_s))
        ]
        return replace(run, trials=more)

    steady = findings.find(gathered(repeated(0.001)))
    assert steady[0].basis == "medians of 3 trials a side, whose ranges do not overlap"
    assert steady[0].sentence.startswith("Keep ")
    noisy = next(f for f in findings.find(gathered(repeated(0.2))) if "TX checksum" in f.title)
    assert "overlap" in noisy.basis
    assert "no clear difference" in noisy.sentence
    assert "significant" not in noisy.sentence + noisy.basis


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
    assert set(gathered(run, other).trials["nic"]) == {f"lab ({run.run_id})", "lab (other)"}
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


def test_nothing_is_advised_where_processes_of_others_could_be_the_difference(run: Run) -> None:
    gather = gathered(run)
    quiet = findings.find(gather)[0]
    assert quiet.command
    # as much as was saved, on one side only
    taken = quiet.size / gather.trials["cpu_s_per_gb"] * gather.trials["cpu_busy_ratio"]
    spoilt = gather.trials.assign(foreign_cpu_ratio=taken.where(gather.trials["case"] == "none"))
    found = findings.find(dataclasses.replace(gather, trials=spoilt))
    doubtful = [finding for finding in found if "none" in finding.title]
    assert doubtful
    assert all(finding.sentence.startswith("Nothing can be said") for finding in doubtful)
    assert not any(finding.command for finding in doubtful)
    # what is sure comes first
    assert "none" not in found[0].title
