"""What a NIC can, with what lies below it and with the rules of its driver."""

from __future__ import annotations

import msgspec
import pytest

from offloadbench.definitions import catalog, nic_ability
from offloadbench.definitions.catalog import select_cases
from offloadbench.definitions.plan import dragged, resolve_cases
from offloadbench.model import LowerDevice, Nic, Run

TSO, RX, LRO, HW_GRO = "tx-tcp-segmentation", "rx-checksum", "rx-lro", "rx-gro-hw"
ON, OFF, FIXED_ON, FIXED_OFF = [True, True, False], [False, False, False], [True, True, True], [False, False, True]
ABLE = dict.fromkeys(
    [TSO, "tx-tcp6-segmentation", "tx-scatter-gather", "tx-generic-segmentation", "tx-checksum-ip-generic", RX], ON
)


def _lower(ifname: str, features: dict[str, list[bool]], driver: str = "e1000e", upper: str = "bond0") -> LowerDevice:
    return LowerDevice(
        ifname=ifname,
        upper=upper,
        kind="",
        driver=driver,
        driver_version="6.1",
        firmware="",
        bus="",
        speed_bits_per_s=0,
        duplex="",
        features=ABLE | features,
    )


@pytest.fixture
def bond(sample_run: Run) -> Nic:
    return msgspec.structs.replace(
        sample_run.nic, ifname="bond0", driver="bonding", features=ABLE | {RX: FIXED_ON}, lowers=[_lower("eth1", {})]
    )


def _with(nic: Nic, *lowers: LowerDevice) -> Nic:
    return msgspec.structs.replace(nic, lowers=list(lowers))


def test_receive_features_are_those_of_the_nics_below(bond: Nic) -> None:
    assert nic_ability.of_nic(bond).states[RX] == ON
    one_off = nic_ability.of_nic(_with(bond, _lower("eth1", {}), _lower("eth2", {RX: OFF})))
    assert one_off.states[RX] == OFF
    one_fixed = nic_ability.of_nic(_with(bond, _lower("eth1", {}), _lower("eth2", {RX: FIXED_ON})))
    assert one_fixed.states[RX] == [True, True, True]


def test_rx_checksum_of_a_bond_can_be_switched_off_though_the_bonds_own_bit_is_fixed(bond: Nic) -> None:
    able = nic_ability.of_nic(bond)
    planned = {p.definition.name: p for p in resolve_cases(select_cases("one-off"), able.states, able.couplings)}
    assert not planned["rx-off"].skip_reason


def test_tso_above_a_nic_without_it_is_not_called_tso(bond: Nic) -> None:
    able = nic_ability.of_nic(_with(bond, _lower("eth1", {TSO: OFF})))
    assert able.limits == ["eth1 below bond0 has tx-tcp-segmentation off: bond0 says on, and the kernel does it"]
    planned = resolve_cases(select_cases("tso"), able.states, able.couplings)
    assert "tx-tcp-segmentation is fixed off" in planned[0].skip_reason


def test_a_vlan_on_a_bond_asks_the_nics_at_the_bottom(bond: Nic) -> None:
    stacked = _with(bond, _lower("bond1", {RX: FIXED_OFF}, "bonding"), _lower("eth1", {}, upper="bond1"))
    assert [device.ifname for device in nic_ability.leaves(stacked.lowers)] == ["eth1"]
    assert "bond1 sends through eth1 (e1000e)" in nic_ability.of_nic(stacked).habits
    assert nic_ability.of_nic(stacked).states[RX] == ON


@pytest.mark.parametrize(
    ("driver", "lost"), [("ixgbe", {LRO}), ("vmxnet3", {LRO}), ("cxgb4", {"rx-gro"}), ("e1000e", set())]
)
def test_a_drivers_own_rules_are_foreseen(sample_run: Run, driver: str, lost: set[str]) -> None:
    features = ABLE | {LRO: ON, "rx-gro": ON}
    able = nic_ability.of_nic(msgspec.structs.replace(sample_run.nic, driver=driver, features=features))
    (off,) = select_cases("rx=off")
    found = dragged(off, able.states, able.couplings)
    assert set(found) == lost
    assert set(found.values()) <= {"needs rx-checksum in this driver"}


def test_gro_off_takes_hardware_gro_of_bnxt_with_it(sample_run: Run) -> None:
    nic = msgspec.structs.replace(sample_run.nic, driver="bnxt_en", features=ABLE | {HW_GRO: ON, "rx-gro": ON})
    able = nic_ability.of_nic(nic)
    assert set(dragged(select_cases("gro=off")[0], able.states, able.couplings)) == {HW_GRO}


def test_an_unknown_driver_is_a_limit_and_a_known_one_has_its_habits_told(sample_run: Run) -> None:
    unknown = nic_ability.of_nic(msgspec.structs.replace(sample_run.nic, driver="acme9000"))
    assert any("acme9000 is not known here" in text for text in unknown.limits)
    known = nic_ability.of_nic(msgspec.structs.replace(sample_run.nic, driver="e1000"))
    assert known.limits == []
    assert "e1000: RX checksum is off by default" in known.habits


@pytest.mark.parametrize(("driver", "counts"), [("veth", True), ("e1000e", False), ("acme9000", False), ("ena", True)])
def test_whether_a_super_packet_counts_once_is_the_drivers_habit(sample_run: Run, driver: str, counts: bool) -> None:
    assert nic_ability.counts_super_packets(msgspec.structs.replace(sample_run.nic, driver=driver)) is counts


def test_a_bond_counts_as_its_members_do(bond: Nic) -> None:
    assert not nic_ability.counts_super_packets(bond)
    assert nic_ability.counts_super_packets(_with(bond, _lower("eth1", {}, "virtio_net")))
    assert not nic_ability.counts_super_packets(_with(bond, _lower("eth1", {}, "virtio_net"), _lower("eth2", {})))
    assert not nic_ability.counts_super_packets(_with(bond))


@pytest.mark.parametrize(
    ("kernel", "told"),
    [
        ("6.12.117-1-amd64", ["scatter-gather and TSO are off by default"]),
        ("6.13.0", ["scatter-gather and TSO are on by default from RTL8168H on, except RTL8125A; off on older chips"]),
        ("6.17.4", ["scatter-gather and TSO are on by default from RTL8168H on, except RTL8125A; off on older chips"]),
        (
            "",
            [
                "scatter-gather and TSO are off by default (before Linux 6.13)",
                "scatter-gather and TSO are on by default from RTL8168H on, except RTL8125A; off on older chips "
                "(since Linux 6.13)",
            ],
        ),
    ],
)
def test_a_quirk_is_told_of_the_kernels_that_have_it(kernel: str, told: list[str]) -> None:
    r8169 = catalog.driver("r8169")
    assert r8169 is not None
    found = nic_ability.habits(r8169, kernel)
    assert [text for text in found if text.startswith("scatter-gather")] == told
    read_elsewhere = [text for text in found if "whose source was read" in text]
    assert bool(read_elsewhere) == (kernel not in ("", "6.12.117-1-amd64"))


TUNNEL_BITS = "tx-udp_tnl-segmentation"


def _tunnel(sample_run: Run, driver: str, *lowers: LowerDevice) -> Nic:
    return msgspec.structs.replace(sample_run.nic, ifname="tun9", driver=driver, features=ABLE, lowers=list(lowers))


@pytest.mark.parametrize(
    ("driver", "bits", "runs", "told"),
    [
        ("vxlan", {TUNNEL_BITS: ON}, True, "eth1 below it segments, by tx-udp_tnl-segmentation"),
        ("vxlan", {TUNNEL_BITS: OFF}, False, "eth1 below it has tx-udp_tnl-segmentation and"),
        ("vxlan", {}, False, "tun9 says TSO on, the kernel segments"),
        ("gretap", {TUNNEL_BITS: ON}, False, "eth1 below it has tx-gre-segmentation and"),
        ("gretap", {"tx-gre-segmentation": ON}, True, "eth1 below it segments, by tx-gre-segmentation"),
        ("wireguard", {TUNNEL_BITS: ON}, False, "the kernel segments in it, whatever its bits say"),
    ],
)
def test_a_tunnel_has_no_hardware_and_who_segments_is_told(
    sample_run: Run, driver: str, bits: dict[str, list[bool]], runs: bool, told: str
) -> None:
    able = nic_ability.of_nic(_tunnel(sample_run, driver, _lower("eth1", bits, upper="tun9")))
    assert [text for text in able.limits if told in text] != []
    assert "tun9 sends through eth1 (e1000e)" in able.habits
    (tso,) = resolve_cases(select_cases("tso"), able.states, able.couplings)
    assert bool(tso.skip_reason) is not runs


def test_a_tunnel_whose_way_is_not_known_is_taken_for_the_kernels_work(sample_run: Run) -> None:
    able = nic_ability.of_nic(_tunnel(sample_run, "vxlan"))
    assert any("what it sends through is not known" in text for text in able.limits)
    assert able.states[TSO] == FIXED_OFF
