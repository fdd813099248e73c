"""Advice: an order only with a verdict, one state for each NIC and workload, and the same answers on every surface."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec
import pytest

from offloadbench.analysis.comparison import changes, judging
from offloadbench.analysis.comparison.factor_effects import effects
from offloadbench.analysis.comparison.judging import COST, RATE
from offloadbench.analysis.comparison.usable_trials import observations, pooled
from offloadbench.analysis.findings import findings
from offloadbench.analysis.findings.advice import Kind
from offloadbench.analysis.findings.findings import Finding
from offloadbench.analysis.statistics.holm import CHANGED
from offloadbench.analysis.table_index import TABLES
from offloadbench.analysis.tables import results
from offloadbench.definitions import catalog
from offloadbench.model import Profile, Run
from offloadbench.report.contents import collect
from offloadbench.report.formats import markdown
from tests.benchmarks import advice as simulation
from tests.unit.repeats import RATE_BITS_PER_S, measured, noise, of_costs, repeated

replace = msgspec.structs.replace
ORDER = re.compile(r"\b(Keep|Switch)\b|ethtool -K|ip link set")


def scattered(levels: Mapping[str, float], repeats: int = 6, sigma: float = 0.01) -> dict[str, list[float]]:
    return {
        name: [level * factor for factor in noise(repeats, sigma, seed)]
        for seed, (name, level) in enumerate(levels.items(), 7)
    }


def found_in(*runs: Run) -> list[Finding]:
    return findings.find(results.gather(runs, catalog.profile("linux")))


def advised(*runs: Run) -> Finding:
    (headline,) = findings.headlines(found_in(*runs))
    return headline


def real(run: Run, ifname: str = "eth1") -> Run:
    """The run as if on a NIC of the machine's own."""
    return replace(run, bed=replace(run.bed, kind="wire"), nic=replace(run.nic, ifname=ifname))


def text_of(*runs: Run) -> str:
    return markdown.render(collect(runs, catalog.profile("linux"), [f"{run.run_id}.json" for run in runs]))


# costs of each repeat, as an audit met them: the ranges do not overlap, and yet nothing is shown
APART_BY_CHANCE: list[dict[str, Sequence[float]]] = [
    {"tso": [1.00, 1.05], "csum": [1.08, 1.12]},
    {"tso": [1.00, 1.06, 1.02], "csum": [1.10, 1.12, 1.20]},
    {"tso": [2.25], "csum": [2.25], "none": [2.59]},
]


@pytest.mark.parametrize("costs", APART_BY_CHANCE)
def test_nothing_is_ordered_without_a_verdict(sample_run: Run, costs: dict[str, Sequence[float]]) -> None:
    run = of_costs(sample_run, costs)
    assert not any(ORDER.search(finding.sentence + finding.command) for finding in found_in(run))
    assert not ORDER.search(text_of(run))


def test_ranges_that_overlap_do_not_silence_a_verdict(sample_run: Run) -> None:
    costs = {
        "tso": [1.00, 1.30, 1.02, 1.01, 1.02, 1.03, 1.01, 1.02],
        "csum": [1.25, 1.28, 1.26, 1.25, 1.27, 1.26, 1.28, 1.26],
    }
    headline = advised(of_costs(sample_run, costs))
    assert headline.cost.verdict == CHANGED
    assert headline.sentence.startswith(
        "Keep TSO and GSO on (case tso, the state as found): against case csum it saves "
    )
    # the NIC is in that state already
    assert (headline.command, headline.recipes) == ("", [])


def test_one_state_is_advised_and_no_pair_contradicts_it(sample_run: Run) -> None:
    # TX checksum costs when segmentation is off, and TSO is worth far more than that
    run = of_costs(sample_run, scattered({"tso": 1.0, "gso": 2.0, "csum": 3.0, "none": 2.5}))
    found = found_in(run)
    assert findings.headlines(found) == found[:1]
    assert found[0].sentence.startswith("Keep ")
    explained = next(finding for finding in found if finding.title.startswith("TX checksum"))
    assert explained.cost.verdict == CHANGED and " costs " in explained.sentence
    assert not any(ORDER.search(finding.sentence + finding.command) for finding in found[1:])
    assert not ORDER.search(text_of(run).replace(found[0].sentence, ""))


def test_a_better_state_is_ordered_with_all_that_it_takes(sample_run: Run) -> None:
    run = of_costs(sample_run, scattered({"tso": 2.0, "csum": 1.0, "none": 3.0}))
    headline = advised(run)
    assert headline.sentence.startswith("Switch to case csum: against case tso, the state as found, it saves ")
    # gso off would change nothing for TCP
    assert headline.command.splitlines() == [
        "ethtool -K <ifname> tso off",
        "ip link set dev <ifname> gso_max_segs 1",
    ]
    assert "`gso off` alone changes nothing for TCP" in headline.sources
    quoted = advised(real(run, "en p;reboot")).command
    assert quoted.splitlines()[0] == "ethtool -K 'en p;reboot' tso off"


def test_a_line_that_takes_tso_along_says_so(sample_run: Run) -> None:
    headline = advised(real(of_costs(sample_run, scattered({"tso": 2.0, "csum": 2.4, "none": 1.0}))))
    assert headline.command.splitlines()[0] == "ethtool -K eth1 tx off rx off tso off"
    assert "Without TX checksum offload the kernel drops TSO" in headline.sources
    assert headline.recipes[-1].text.split() == " post-up ".join(["", *headline.command.splitlines()]).split()


def test_a_bit_that_changes_nothing_for_tcp_is_never_ordered(sample_run: Run) -> None:
    cases = {case.name: case for case in catalog.all_cases()}
    trials = [
        measured(cases[name], repeat, cost, rate_bits_per_s=RATE_BITS_PER_S * factor)
        for name, costs in scattered({"all-on": 2.0, "gso-off": 1.5}).items()
        for (repeat, cost), factor in zip(enumerate(costs, 1), noise(6, 0.003, 3), strict=True)
    ]
    headline = advised(real(repeated(sample_run, trials)))
    assert headline.cost.verdict == CHANGED
    assert headline.command == "" and not ORDER.search(headline.sentence)


def test_a_state_that_was_not_measured_is_not_told_to_be_kept(sample_run: Run) -> None:
    run = of_costs(sample_run, scattered({"tso": 1.0, "csum": 2.0}))
    features = run.nic.features | {"rx-checksum": [False, False, False]}
    headline = advised(real(replace(run, nic=replace(run.nic, features=features))))
    assert headline.advice and headline.advice.kind is Kind.BEST
    assert not ORDER.search(headline.sentence) and headline.command == ""
    assert "the state as found was not measured" in headline.sentence


def with_rates(base: Run, levels: Mapping[str, tuple[float, float]]) -> Run:
    """case -> its cost and its throughput in Gbit/s."""
    cases = {case.name: case for case in catalog.all_cases()}
    trials = [
        measured(cases[name], repeat, cost * factor, rate_bits_per_s=1e9 * rate * other)
        for seed, (name, (cost, rate)) in enumerate(levels.items(), 1)
        for repeat, (factor, other) in enumerate(zip(noise(6, 0.01, seed), noise(6, 0.003, seed + 9), strict=True), 1)
    ]
    return real(repeated(base, trials))


def test_a_gain_with_a_price_is_to_be_weighed(sample_run: Run) -> None:
    cheaper = advised(with_rates(sample_run, {"tso": (2.0, 1.0), "csum": (1.0, 0.9)}))
    assert cheaper.sentence.startswith("Weigh case csum: ")
    assert "throughput falls by 9.8 %" in cheaper.sentence
    faster = advised(with_rates(sample_run, {"tso": (1.0, 0.8), "csum": (2.0, 1.0)}))
    assert faster.sentence.startswith("Weigh case tso (the state as found): ")
    assert (cheaper.command, faster.command) == ("", "")


def test_a_state_that_loses_throughput_is_not_the_best(sample_run: Run) -> None:
    kept = advised(with_rates(sample_run, {"tso": (2.0, 1.0), "csum": (3.0, 1.0), "none": (1.0, 0.5)}))
    assert kept.sentence.startswith("Keep TSO and GSO on (case tso, the state as found): against case csum ")
    assert "less throughput too: case none." in kept.sources


def two_workloads(base: Run, ftp: Mapping[str, float], iscsi: Mapping[str, float]) -> Run:
    cases = {case.name: case for case in catalog.all_cases()}
    trials = [
        measured(cases[name], repeat, cost, rate_bits_per_s=RATE_BITS_PER_S * factor, workload_name=workload)
        for workload, levels in (("ftp-get", ftp), ("iscsi-write", iscsi))
        for name, costs in scattered(levels).items()
        for (repeat, cost), factor in zip(enumerate(costs, 1), noise(6, 0.003, 3), strict=True)
    ]
    return repeated(base, trials)


def test_workloads_that_want_other_states_are_not_ordered_against_each_other(sample_run: Run) -> None:
    run = real(two_workloads(sample_run, {"tso": 1.0, "csum": 2.0}, {"tso": 2.0, "csum": 1.0}))
    headlines = findings.headlines(found_in(run))
    assert len(headlines) == 2
    assert not any(ORDER.search(one.sentence + one.command) for one in headlines)
    # a state that is better for both, though the best for one of them only
    better = real(
        two_workloads(sample_run, {"tso": 2.0, "csum": 1.0, "none": 1.1}, {"tso": 2.0, "csum": 1.6, "none": 1.0})
    )
    headlines = findings.headlines(found_in(better))
    assert {one.on for one in headlines} == {"none"} and len({one.command for one in headlines} - {""}) == 1
    # none that is
    apart = real(
        two_workloads(sample_run, {"tso": 2.0, "csum": 1.0, "none": 2.5}, {"tso": 2.0, "csum": 2.5, "none": 1.0})
    )
    assert not any(ORDER.search(one.sentence + one.command) for one in found_in(apart))


def test_clock_and_profile_that_disagree_order_nothing(sample_run: Run) -> None:
    cases = {case.name: case for case in catalog.all_cases()}
    trials = [
        measured(cases[name], repeat, cost, modules_ns={"tcp": modules})
        for name, costs, modules in (("tso", noise(6, 0.01, 1), 2.0), ("csum", [2 * f for f in noise(6, 0.01, 2)], 1.5))
        for repeat, cost in enumerate(costs, 1)
    ]
    run = repeated(sample_run, trials)
    headline = advised(run)
    assert headline.cost.verdict == CHANGED
    assert headline.sentence.startswith("Nothing is advised: ")
    for finding in found_in(run):
        assert not ORDER.search(finding.sentence + finding.command)
        assert not re.search("(Saved|Spent) most in", finding.sources)
    assert "The profile shows the opposite" in text_of(run)


def test_one_total_stands_for_the_saving(sample_run: Run) -> None:
    cases = {case.name: case for case in catalog.all_cases()}

    def sources(by_profile: float) -> str:
        trials = [
            measured(cases[name], repeat, level * factor, modules_ns={"tcp": level * by_profile})
            for name, level in (("tso", 1.0), ("csum", 2.0))
            for repeat, factor in enumerate(noise(6, 0.001, int(level)), 1)
        ]
        return advised(repeated(sample_run, trials)).sources

    assert sources(1.0) == "Saved most in: TCP 100 % of what the profile saw."
    assert "That is 150 % of the difference that the idle clock saw" in sources(1.5)


def test_every_surface_gives_the_same_answer(sample_run: Run, linux_profile: Profile) -> None:
    run = of_costs(sample_run, scattered({"tso": 1.0, "gso": 1.03, "csum": 1.6, "none": 2.0}, sigma=0.02))
    row = next(
        row
        for row in changes.within(run, linux_profile).rows
        if (row.question.case, row.question.metric) == ("gso", COST)
    )
    inside = row.judgement.reversed()
    finding = next(one for one in found_in(run) if (one.on, one.off) == ("tso", "gso") and not one.advice)
    effect = next(
        one
        for one in effects(judging.judged(observations(run)))
        if one.pairs == (("gso", "tso"),) and one.metric == COST
    )
    table = TABLES["findings"]([run], linux_profile)
    written = table[(table["on"] == "tso") & (table["off"] == "gso") & (table["advice"] == "")].iloc[0]
    exported = TABLES["effects"]([run], linux_profile)
    shown = exported[(exported["cases"] == "tso/gso") & (exported["metric"] == COST)].iloc[0]
    assert finding.cost == inside == effect.judgement
    assert written["verdict"] == shown["verdict"] == inside.verdict
    assert (1 - written["saved_ratio_high"], 1 - written["saved_ratio_low"]) == pytest.approx(inside.ratios()[1:])
    assert (shown["ratio_low"], shown["ratio_high"]) == pytest.approx(inside.ratios()[1:])
    # another reference, or a metric besides, changes no answer
    other = changes.within(run, linux_profile, reference="gso", metrics=[RATE, COST, "cpu_busy_ratio"])
    assert next(r.judgement for r in other.rows if (r.question.case, r.question.metric) == ("tso", COST)) == inside


def test_one_name_means_one_thing(sample_run: Run) -> None:
    text = text_of(of_costs(sample_run, scattered({"tso": 1.0, "csum": 2.0, "none": 3.0})))
    assert "TSO (case tso against csum)" in text
    assert "tso against none)" not in text.replace("(case tso against none)", "")
    assert "no segmentation offload" in text


def test_runs_measured_alike_are_one_with_a_block_a_repeat(sample_run: Run) -> None:
    halves = [
        of_costs(
            sample_run,
            {name: costs[first : first + 3] for name, costs in scattered({"tso": 1.0, "csum": 2.0}).items()},
            run_id=name,
            seed=first + 5,
        )
        for first, name in ((0, "one"), (3, "two"))
    ]
    headline = advised(*halves)
    assert headline.cost.estimate.trials_a == 6
    merged = pooled(halves)
    assert merged.run_ids == "one+two"
    assert len(merged.case("ftp-get", "tso")) == 6
    # nothing is paired across runs: blocks keep their order
    assert [seen.run.run_id for seen in merged.case("ftp-get", "tso").values()] == ["one"] * 3 + ["two"] * 3


CHANGES = {
    "qdisc": lambda run: replace(run, nic=replace(run.nic, qdisc="tbf")),
    "driver version": lambda run: replace(run, nic=replace(run.nic, driver_version="other")),
    "sysctl": lambda run: replace(run, host=replace(run.host, sysctls={"net.core.wmem_max": "1"})),
    "coalescing": lambda run: replace(run, nic=replace(run.nic, settings={"coalesce_rx_coalesce_usecs": 50})),
    "mitigations": lambda run: replace(run, host=replace(run.host, mitigations={"retbleed": "off"})),
    "profile": lambda run: replace(run, plan=replace(run.plan, profile=not run.plan.profile)),
    "MTU": lambda run: replace(run, nic=replace(run.nic, mtu_bytes=9000)),
}


@pytest.mark.parametrize("what", CHANGES)
def test_runs_that_differ_in_anything_are_never_pooled(sample_run: Run, what: str) -> None:
    before = of_costs(sample_run, scattered({"tso": 1.0, "csum": 2.0}))
    after = CHANGES[what](of_costs(sample_run, scattered({"tso": 3.0, "csum": 1.0}), run_id="after"))
    headlines = findings.headlines(found_in(before, after))
    assert len({one.nic for one in headlines}) == 2
    assert {one.cost.estimate.trials_a for one in headlines} == {6}


def test_simulated_files_keep_the_promises() -> None:
    """A few of the files of `python -m tests.benchmarks.advice`, whose seeds are fixed; far from any bound."""
    for repeats in (1, 2):
        # without a third block there is no verdict, whatever the noise
        few = simulation.count("no difference", repeats, 10, through_report=2)
        assert (few.ordering, few.disagree) == (0, [])
    # 1.4 % of files in the long run
    assert simulation.count("no difference", 10, 40).ordering <= 2
    # two states that are as good: each workload may show another of them
    tied = simulation.count("tso 10 % dearer", 5, 40, through_report=2)
    assert (tied.right, tied.wrong, tied.disagree) == (tied.shown, 0, [])
    for truth in ("tso 20 % cheaper", "none 20 % cheaper"):
        found = simulation.count(truth, 10, 10, through_report=1)
        assert (found.right, found.shown, found.wrong, found.disagree) == (20, 20, 0, [])
