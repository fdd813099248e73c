"""What the kernel drops by itself, and what cases come to because of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from offloadbench.base.errors import UsageError
from offloadbench.definitions import catalog, feature_dependencies
from offloadbench.definitions.plan import describe, dragged, effective_state, held_against, make_plan, resolve_cases
from offloadbench.model import PlannedCase, Run
from tests.unit.builders import case, workload

SG, TSO, GSO, CSUM = "tx-scatter-gather", "tx-tcp-segmentation", "tx-generic-segmentation", "tx-checksum-ip-generic"
ON, OFF, FIXED_OFF = [True, True, False], [False, False, False], [False, False, True]
# a NIC that can do everything
ABLE = dict.fromkeys(
    [*catalog.ALIASES["tso"], *catalog.ALIASES["sg"], GSO, CSUM, "rx-checksum", "rx-gro", "rx-gro-hw"], ON
) | dict.fromkeys(["tx-checksum-ipv4", "tx-checksum-ipv6", "rx-lro"], FIXED_OFF)


def _resolved(spec: str, features: dict[str, list[bool]] = ABLE) -> dict[str, PlannedCase]:
    return {planned.definition.name: planned for planned in resolve_cases(catalog.select_cases(spec), features)}


@pytest.mark.parametrize(
    ("off", "lost"),
    [
        (SG, {TSO, "tx-tcp6-segmentation", GSO}),
        (CSUM, {TSO, "tx-tcp6-segmentation", "tx-udp-segmentation"}),
        ("rx-checksum", {"rx-gro-hw"}),
    ],
)
def test_the_core_drops_what_depends_on_a_bit(off: str, lost: set[str]) -> None:
    state = dict.fromkeys([SG, TSO, "tx-tcp6-segmentation", GSO, CSUM, "tx-udp-segmentation"], True)
    state |= {"rx-checksum": True, "rx-gro-hw": True, off: False}
    held, reasons = feature_dependencies.hold(state)
    assert {name for name in state if state[name] and not held[name]} == lost == set(reasons)
    assert all(off in reason for reason in reasons.values())


def test_either_checksum_of_ipv4_carries_tso() -> None:
    held, _ = feature_dependencies.hold({SG: True, TSO: True, CSUM: False, "tx-checksum-ipv4": True})
    assert held[TSO]


def test_both_kinds_of_checksum_leave_the_generic_one() -> None:
    held, _ = feature_dependencies.hold({SG: True, TSO: True, CSUM: True, "tx-checksum-ipv4": True})
    assert (held[CSUM], held["tx-checksum-ipv4"], held[TSO]) == (True, False, True)


def test_the_factorial_has_ten_states_and_none_of_them_is_refused() -> None:
    planned = _resolved("factorial")
    assert len(planned) == 10
    assert all(not p.skip_reason and not p.also_named for p in planned.values())
    states = {
        (p.definition.gso_max_segs, *(effective_state(p.definition, ABLE)[n] for n in (TSO, CSUM, "rx-checksum")))
        for p in planned.values()
    }
    assert len(states) == 10
    assert (0, True, False, True) not in states


def test_the_factorial_has_five_states_where_rx_checksum_is_fixed() -> None:
    planned = _resolved("factorial", ABLE | {"rx-checksum": FIXED_OFF})
    assert sorted(planned) == ["csum", "gso", "gso-notx", "none", "tso"]
    assert planned["none"].also_named == ["rx-only"]


def test_one_off_switches_each_offload_off_alone_and_knows_what_goes_with_it() -> None:
    planned = _resolved("one-off")
    assert list(planned) == ["all-on", "tso-off", "gso-off", "tx-off", "rx-off", "gro-off", "sg-off"]
    assert set(dragged(planned["sg-off"].definition, ABLE)) >= {TSO, GSO}
    assert set(dragged(planned["tx-off"].definition, ABLE)) >= {TSO}
    assert dragged(planned["gso-off"].definition, ABLE) == {}
    assert dragged(planned["gro-off"].definition, ABLE) == {}


def test_all_runs_each_effective_state_once() -> None:
    planned = _resolved("all")
    assert planned["tso"].also_named == ["all-on"]
    assert planned["gso"].also_named == ["tso-off"]
    # without TX checksum the kernel drops TSO: nothing but software segmentation is left
    assert planned["gso-notx"].also_named == ["tx-off"]
    names = [name for p in planned.values() for name in (p.definition.name, *p.also_named)]
    assert sorted(names) == sorted(case.name for case in catalog.all_cases())


def test_where_gro_was_found_off_the_cases_that_switch_it_on_are_states_of_their_own() -> None:
    assert _resolved("all", ABLE | {"rx-gro": OFF})["tso"].also_named == ["gro-off"]


def test_a_bit_that_a_dependency_masks_comes_back_with_what_it_depends_on() -> None:
    masked = ABLE | {SG: OFF, TSO: [False, True, False], GSO: [False, True, False]}
    state = effective_state(case("sg", {SG: True}), masked)
    assert (state[TSO], state[GSO]) == (True, True)
    assert not effective_state(case("same", {}), masked)[TSO]


def test_a_case_that_the_kernel_cannot_hold_says_why() -> None:
    impossible = catalog.own_case(["tso=on", "tx=off"])
    assert held_against(impossible, ABLE) == [f"{TSO} needs tx-checksum-ip-generic or tx-checksum-ipv4"]
    assert "needs tx-scatter-gather" in _resolved("sg=off,tso=on")["sg=off+tso=on"].skip_reason


def test_one_of_the_two_transmit_checksums_is_enough() -> None:
    assert held_against(catalog.own_case(["tx=on"]), ABLE) == []
    none = dict.fromkeys([CSUM, "tx-checksum-ipv4"], FIXED_OFF)
    assert len(held_against(catalog.own_case(["tx=on"]), ABLE | none)) == 2


def test_own_cases_stand_beside_named_ones() -> None:
    cases = catalog.select_cases("tso=off,tx=on,paper; gro=off,gso_max_segs=1")
    assert [chosen.name for chosen in cases] == ["tso", "csum", "none", "tso=off+tx=on", "gro=off+gso_max_segs=1"]
    assert cases[3].features[TSO] is False
    assert cases[3].features["tx-checksum-ipv4"] is True
    assert cases[4].gso_max_segs == 1


def test_a_kernel_name_is_taken_as_it_is() -> None:
    own = catalog.own_case(["tx-udp-segmentation=on"])
    assert own.features == {"tx-udp-segmentation": True}
    assert own.defining == ["tx-udp-segmentation"]


def test_switching_tso_on_leaves_mangleid_as_found() -> None:
    assert "tx-tcp-mangleid-segmentation" not in catalog.own_case(["tso=on"]).features
    assert catalog.own_case(["tso=off"]).features["tx-tcp-mangleid-segmentation"] is False


@pytest.mark.parametrize("spec", ["tso=maybe", "=on", "tso=on,tx-tcp-segmentation=off", "gso_max_segs=few", "paper;"])
def test_a_wrong_setting_is_a_usage_error(spec: str) -> None:
    with pytest.raises(UsageError, match="--cases"):
        catalog.select_cases(spec)


def test_a_misspelt_feature_is_refused_with_what_was_meant() -> None:
    cases = catalog.select_cases("tx-tcp-segmentaton=off")
    with pytest.raises(UsageError, match="knows no feature") as caught:
        make_plan(cases, [workload()], ABLE, repeats=1, duration_s=2, warmup_s=0, seed=1)
    assert TSO in caught.value.hint


def test_a_case_in_a_file_is_found_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\norder = 5\ntitle = "t"\ngroups = []\ndefining = ["rx-gro"]\n[features]\nrx-gro = false\n'
    )
    assert [chosen.name for chosen in catalog.select_cases(f"{path},tso")] == ["tso", "mine"]


def test_the_plan_tells_what_the_kernel_will_drag_along(sample_run: Run) -> None:
    features = sample_run.nic.features
    plan = make_plan(
        catalog.select_cases("sg-off"), [workload()], features, repeats=1, duration_s=60, warmup_s=5, seed=1
    )
    lines = describe(plan, "lab", features, set())
    assert f"  lab {TSO}: on -> off by the kernel (needs {SG})" in lines
