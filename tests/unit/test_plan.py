"""The order of work: repeatable blocks, merged cases, honest names."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.base.errors import FeatureError
from offloadbench.definitions import catalog, plan
from offloadbench.definitions.plan import make_plan, resolve_cases
from offloadbench.model import Plan, PlannedCase, Run
from tests.unit.builders import case, workload

TSO, CSUM = "tx-tcp-segmentation", "tx-checksum-ip-generic"
ON, OFF, FIXED_ON, FIXED_OFF = [True, True, False], [False, False, False], [True, True, True], [False, False, True]


def _plan(seed: int, repeats: int = 3) -> Plan:
    cases = [case("tso", {TSO: True}), case("gso", {TSO: False}), case("csum", {TSO: False}, gso_max_segs=1)]
    workloads = [workload("a"), workload("b")]
    return make_plan(
        cases, workloads, {TSO: ON}, repeats=repeats, duration_s=10, warmup_s=1.0, seed=seed, profile=False
    )


@given(st.integers(0, 2**31), st.integers(1, 4))
def test_every_block_holds_every_case_of_every_workload_once(seed: int, repeats: int) -> None:
    order = _plan(seed, repeats).order
    wanted = {(name, kind) for name in ("tso", "gso", "csum") for kind in ("a", "b")}
    for repeat in range(1, repeats + 1):
        block = order[(repeat - 1) * len(wanted) : repeat * len(wanted)]
        assert {trial.repeat for trial in block} == {repeat}
        assert Counter((trial.case, trial.workload) for trial in block) == Counter(wanted)
    assert len(order) == repeats * len(wanted)


def test_a_seed_repeats_its_order_and_others_differ() -> None:
    assert _plan(7).order == _plan(7).order
    assert len({tuple((t.case, t.workload) for t in _plan(seed).order) for seed in range(10)}) > 1


def test_blocks_are_not_all_in_the_same_order() -> None:
    order = [(trial.case, trial.workload) for trial in _plan(1, repeats=6).order]
    blocks = {tuple(order[start : start + 6]) for start in range(0, len(order), 6)}
    assert len(blocks) > 1


def test_cases_that_come_to_the_same_state_run_once_under_the_name_that_the_nic_can_hold() -> None:
    tso, gso = case("tso", {TSO: True}, defining=(TSO,)), case("gso", {TSO: False}, defining=(TSO,))
    planned = resolve_cases([tso, gso], {TSO: FIXED_OFF})
    assert [(p.definition.name, p.also_named, p.skip_reason) for p in planned] == [("gso", ["tso"], "")]
    planned = resolve_cases([tso, gso], {TSO: FIXED_ON})
    assert [(p.definition.name, p.also_named, p.skip_reason) for p in planned] == [("tso", ["gso"], "")]


def test_cases_with_different_segment_limits_are_never_merged() -> None:
    cases = [case("gso", {TSO: False}), case("csum", {TSO: False}, gso_max_segs=1)]
    assert [p.definition.name for p in resolve_cases(cases, {TSO: ON})] == ["gso", "csum"]


def test_a_feature_that_one_case_leaves_as_found_does_not_keep_equal_states_apart() -> None:
    narrow = case("narrow", {TSO: False})
    wide = case("wide", {TSO: False, CSUM: False})
    planned = resolve_cases([narrow, wide], {TSO: ON, CSUM: FIXED_OFF})
    assert [(p.definition.name, p.also_named) for p in planned] == [("narrow", ["wide"])]


def test_without_tso_the_shipped_tso_case_becomes_another_name_of_gso(sample_run: Run) -> None:
    features = sample_run.nic.features | {
        name: FIXED_OFF for name in sample_run.nic.features if name.startswith("tx-tcp")
    }
    planned = {p.definition.name: p for p in resolve_cases(catalog.select_cases("ladder"), features)}
    assert "tso" not in planned
    assert planned["gso"].also_named == ["tso"]
    assert planned["gso"].skip_reason == ""


def test_a_defining_feature_fixed_against_a_case_that_is_alone_skips_it_with_the_reason() -> None:
    planned = resolve_cases([case("tso", {TSO: True}, defining=(TSO,))], {TSO: FIXED_OFF})
    assert [p.definition.name for p in planned] == ["tso"]
    assert "tso" in planned[0].skip_reason
    assert f"{TSO} is fixed off" in planned[0].skip_reason


def test_a_defining_feature_that_this_kernel_lacks_matters_only_when_wanted_on() -> None:
    on, off = (case(name, {TSO: wanted}, defining=(TSO,)) for name, wanted in (("on", True), ("off", False)))
    assert f"{TSO} does not exist here" in resolve_cases([on], {})[0].skip_reason
    assert resolve_cases([off], {})[0].skip_reason == ""


@pytest.mark.parametrize("state", [ON, OFF, FIXED_ON])
def test_a_feature_that_can_be_or_is_as_wanted_skips_nothing(state: list[bool]) -> None:
    assert resolve_cases([case("tso", {TSO: True}, defining=(TSO,))], {TSO: state})[0].skip_reason == ""


def test_a_plan_without_a_case_that_can_run_is_refused() -> None:
    fits, never = (case(name, {"tx-tcp-segmentation": True}) for name in ("fits", "never"))
    skipped = PlannedCase(definition=never, also_named=[], skip_reason="case never: it cannot")
    plan.require_measurable([PlannedCase(definition=fits, also_named=[]), skipped], "eth1")
    with pytest.raises(FeatureError, match="eth1: none of the cases can be measured: case never: it cannot"):
        plan.require_measurable([skipped], "eth1")
