"""Effects of a factorial run: the contrasts hold what was put in, and what cannot be told is named."""

from __future__ import annotations

import dataclasses
import itertools
import re

import msgspec
import pytest

from offloadbench.analysis.comparison import effect_shares, factor_effects
from offloadbench.analysis.comparison.contrasts import NO_SEGMENTATION
from offloadbench.analysis.comparison.factor_effects import Effect
from offloadbench.analysis.comparison.judging import judged
from offloadbench.analysis.comparison.module_costs import module_costs, of_table
from offloadbench.analysis.comparison.usable_trials import observations
from offloadbench.analysis.profile import module_tables
from offloadbench.analysis.statistics.holm import CHANGED, INDICATION, TOO_FEW, UNDECIDED
from offloadbench.analysis.tables import effect_tables
from offloadbench.definitions import catalog
from offloadbench.model import Profile, Run
from tests.unit.repeats import ABLE, FIXED_OFF, measured, noise, repeated

# what each factor multiplies the cost by; segmentation in software and none, TX and RX checksum in software
GSO, NONE, TX, RX = 2.0, 5.0, 1.25, 1.02
CASES = {case.name: case for case in catalog.select_cases("factorial")}


def _cost(name: str) -> float:
    case = CASES[name]
    segmentation = NONE if case.gso_max_segs == 1 else 1.0 if case.features["tx-tcp-segmentation"] else GSO
    tx = 1.0 if case.features["tx-checksum-ip-generic"] else TX
    return 0.4 * segmentation * tx * (1.0 if case.features["rx-checksum"] else RX)


def _modules(name: str, factor: float) -> dict[str, float]:
    cost = _cost(name)
    gso = 0.6 * (cost - 0.4) if cost > 0.4 else 0.0
    return {"gso": gso * factor, "tcp": (cost - gso) * factor, "checksum": 0.01 * factor}


def _factorial(base: Run, repeats: int = 5, sigma: float = 0.01, names: tuple[str, ...] = tuple(CASES)) -> Run:
    blocks = noise(repeats, 0.2, 99)
    trials = [
        measured(
            CASES[name],
            repeat,
            _cost(name) * block * factor,
            rate_bits_per_s=1e9 * rate,
            modules_ns=_modules(name, factor * block),
        )
        for index, name in enumerate(names)
        for repeat, block, factor, rate in zip(
            range(1, repeats + 1),
            blocks,
            noise(repeats, sigma, index + 20),
            noise(repeats, 0.002, 50 + index),
            strict=True,
        )
    ]
    return repeated(base, trials)


def _found(run: Run, metric: str = "cpu_s_per_gb") -> dict[tuple[str, str, str], Effect]:
    return {(e.contrast.factor, e.contrast.on, e.contrast.off): e for e in _effects(run) if e.metric == metric}


def _effects(run: Run) -> list[Effect]:
    return factor_effects.effects(judged(observations(run)))


def test_every_contrast_holds_what_was_put_in(sample_run: Run) -> None:
    found = _found(_factorial(sample_run))
    truth = {
        ("segmentation", "tso", NO_SEGMENTATION): 1 / NONE,
        ("segmentation", "tso", "gso"): 1 / GSO,
        ("segmentation", "gso", NO_SEGMENTATION): GSO / NONE,
        ("tx-checksum", "on", "off"): 1 / TX,
        ("rx-checksum", "on", "off"): 1 / RX,
    }
    for key, ratio in truth.items():
        judgement = found[key].judgement
        assert judgement is not None
        point, low, high = judgement.ratios()
        assert low < ratio < high
        assert point == pytest.approx(ratio, rel=0.02)
        assert judgement.estimate.trials_a == 5
    for key in itertools.islice(truth, 4):
        judgement = found[key].judgement
        assert judgement is not None
        assert judgement.verdict == CHANGED


def test_averaging_over_states_finds_more_than_one_pair_would(sample_run: Run) -> None:
    whole = _found(_factorial(sample_run))["rx-checksum", "on", "off"]
    pair = _found(_factorial(sample_run, names=("tso", "tso-norx")))["rx-checksum", "on", "off"]
    assert whole.judgement is not None
    assert pair.judgement is not None
    assert len(whole.at.split("; ")) == 5
    assert whole.judgement.estimate.standard_error < pair.judgement.estimate.standard_error


def test_throughput_that_did_not_change_is_not_said_to(sample_run: Run) -> None:
    verdicts = {
        e.judgement.verdict for e in _found(_factorial(sample_run), "throughput_bits_per_s").values() if e.judgement
    }
    assert verdicts <= {UNDECIDED, TOO_FEW}


def test_the_state_that_the_kernel_cannot_hold_is_named(sample_run: Run) -> None:
    effect = _found(_factorial(sample_run))["tx-checksum", "on", "off (with TSO)"]
    assert effect.judgement is None
    assert "drops TSO" in effect.reason


def test_a_fixed_feature_is_named_as_the_reason(sample_run: Run) -> None:
    features = ABLE | {"rx-checksum": FIXED_OFF}
    trials = [
        measured(CASES[n], r, _cost(n) * f, rate_bits_per_s=1e9 * f, features=features)
        for i, n in enumerate(("tso", "gso", "csum", "none", "gso-notx"))
        for r, f in enumerate(noise(4, 0.01, i), 1)
    ]
    found = _found(repeated(sample_run, trials, features=features))
    assert found["rx-checksum", "on", "off"].reason == "rx-checksum is fixed off on this NIC"
    assert found["tx-checksum", "on", "off"].judgement is not None


def test_cases_that_differ_in_two_factors_are_no_price_of_one(sample_run: Run) -> None:
    found = _found(_factorial(sample_run, names=("tso", "csum", "none")))
    assert found["segmentation", "tso", NO_SEGMENTATION].judgement is not None
    assert "differ in it alone" in found["tx-checksum", "on", "off"].reason


def test_cases_outside_the_factorial_are_left_out(sample_run: Run) -> None:
    cases = {case.name: case for case in catalog.all_cases()}
    trials = [measured(cases[n], r, 1.0 * r) for n in ("all-on", "gro-off") for r in (1, 2, 3)]
    assert _effects(repeated(sample_run, trials)) == []


def test_one_block_is_an_indication_and_few_are_too_few(sample_run: Run) -> None:
    for repeats, verdict in ((1, INDICATION), (2, TOO_FEW)):
        found = _found(_factorial(sample_run, repeats))
        assert {e.judgement.verdict for e in found.values() if e.judgement} == {verdict}


def _shares(run: Run, profile: Profile) -> list[effect_shares.EffectShare]:
    return effect_shares.shares(observations(run), module_costs([run], profile))


def test_costs_are_the_same_from_samples_and_from_the_table_of_modules(sample_run: Run, linux_profile: Profile) -> None:
    run = _factorial(sample_run)
    anew, known = module_costs([run], linux_profile), of_table([run], module_tables.modules([run], linux_profile))
    assert known.quantity == anew.quantity
    assert known.by_trial.keys() == anew.by_trial.keys() and len(known.by_trial) == len(run.trials)
    for trial, costs in anew.by_trial.items():
        assert known.by_trial[trial] == pytest.approx(costs)


def test_shares_of_the_saving_sum_to_one_and_have_intervals(sample_run: Run, linux_profile: Profile) -> None:
    parts = _shares(_factorial(sample_run), linux_profile)
    mine = [p for p in parts if (p.contrast.on, p.contrast.off) == ("tso", "gso")]
    assert sum(p.share for p in mine) == pytest.approx(1)
    gso = next(p for p in mine if p.module == "gso")
    assert gso.share == pytest.approx(0.6, abs=0.03)
    assert gso.share_low < gso.share < gso.share_high
    assert gso.saved_low < gso.saved_per_byte < gso.saved_high
    single = _shares(_factorial(sample_run, 1), linux_profile)
    assert all(p.saved_low != p.saved_low for p in single)


def test_a_sentence_names_the_saving_its_interval_and_its_modules(sample_run: Run, linux_profile: Profile) -> None:
    run = _factorial(sample_run)
    lines = effect_tables.sentences(_effects(run), _shares(run, linux_profile))
    first = next(line for line in lines if "(tso against gso)" in line)
    assert first.startswith("ftp-get: TSO (tso against gso): saves ")
    assert " % of CPU per GB (" in first
    assert re.search(r"; \d+ % of it in software segmentation \(gso\), \d+ % in TCP$", first)
    assert any(line.endswith(f"not estimable: {factor_effects._IMPOSSIBLE_REASON}") for line in lines)


def test_a_sentence_names_the_skid_in_words(sample_run: Run, linux_profile: Profile) -> None:
    run = _factorial(sample_run)
    parts = [dataclasses.replace(p, module="irq_shadow") for p in _shares(run, linux_profile) if p.module == "gso"]
    lines = effect_tables.sentences(_effects(run), parts)
    assert any("irq-off skid" in line for line in lines)
    assert not any("irq_shadow" in line for line in lines)


def test_modules_that_move_against_each_other_are_named_without_shares(sample_run: Run, linux_profile: Profile) -> None:
    run = _factorial(sample_run)
    parts = [p for p in _shares(run, linux_profile) if (p.contrast.on, p.contrast.off) == ("tso", "gso")]
    saved = {"gso": 2.0, "tcp": -1.0}
    opposed = [
        dataclasses.replace(p, share=saved[p.module], saved_per_byte=saved[p.module])
        for p in parts
        if p.module in saved
    ]
    line = next(line for line in effect_tables.sentences(_effects(run), opposed) if "(tso against gso)" in line)
    assert line.endswith("; less in software segmentation (gso); more in TCP")


def test_the_tables_hold_the_same_figures(sample_run: Run, linux_profile: Profile) -> None:
    run = _factorial(sample_run)
    table = effect_tables.effect_rows([run])
    row = table[(table["on"] == "tso") & (table["off"] == "gso") & (table["metric"] == "cpu_s_per_gb")].iloc[0]
    assert row["ratio"] == pytest.approx(row["value_on"] / row["value_off"])
    assert row["difference"] == pytest.approx(row["value_on"] - row["value_off"])
    assert row["ratio_low"] < row["ratio_low_95"] < row["ratio"] < row["ratio_high_95"] < row["ratio_high"]
    assert set(table.loc[table["verdict"] == "not estimable", "off"]) == {"off (with TSO)"}
    assert set(effect_tables.share_rows([run], linux_profile)["module"]) == {"gso", "tcp", "checksum"}


def test_a_bit_that_moved_without_effect_is_no_price(sample_run: Run) -> None:
    from tests.unit.builders import evidence

    seen = evidence(
        {
            "net:net_dev_queue": [[60000, 1448, 3, 100]],
            "net:net_dev_start_xmit": [[60000, 1448, 3, 100]],
            "net:netif_receive_skb": [[60000, 1448, 3, 100]],
        }
    )
    run = _factorial(sample_run, names=("tso", "tso-norx"))
    run = msgspec.structs.replace(run, trials=[msgspec.structs.replace(t, evidence=seen) for t in run.trials])
    assert "no measurable effect" in _found(run)["rx-checksum", "on", "off"].note
