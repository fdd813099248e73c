"""What a driver counted beside what the tracepoints saw: it may prove, contradict, or say nothing."""

from __future__ import annotations

import pytest

from offloadbench.analysis.trial import driver_counters
from offloadbench.analysis.trial.toggle_proof import judge, toggle_proven
from offloadbench.model import DriverStatistics, Trial, folded
from tests.unit.builders import evidence, feature, samples, trial

QUEUE, TRANSMIT, RECEIVE = "net:net_dev_queue", "net:net_dev_start_xmit", "net:napi_gro_receive_entry"
PLAIN, SUPER, ACK = 1514, 57978, 66
NONE, UNNECESSARY, PARTIAL = 0, 1, 3
_RX = {True: UNNECESSARY, False: NONE}


def statistics(
    driver: str, growth: dict[str, int], unmoved: tuple[str, ...] = (), ifname: str = "eth9"
) -> DriverStatistics:
    return DriverStatistics(
        ifname=ifname, driver=driver, interval_s=2.0, growth=growth, unmoved=[folded(name) for name in unmoved]
    )


def _trial(
    counted: DriverStatistics | None, *, tso: bool = True, rx: bool = True, blind: bool = False, **more: bool
) -> Trial:
    """A trial whose packets show what its features say."""
    sent = [[SUPER, 1448, PARTIAL, 50]] if tso else [[PLAIN, 0, PARTIAL, 2000]]
    packets = {QUEUE: [[SUPER, -1, -1, 50]], TRANSMIT: sent, RECEIVE: [[ACK, 0, _RX[rx], 100]]}
    states = {"tx-tcp-segmentation": tso, "tx-checksum-ip-generic": True, "rx-checksum": rx} | {
        name.replace("_", "-"): state for name, state in more.items()
    }
    return trial(
        features=[feature(name, active=state) for name, state in states.items()],
        evidence=evidence({} if blind else packets, problem="no tracefs" if blind else ""),
        samples=samples(tx_packets=1000.0, tx_bytes=1_000_000.0, rx_packets=1000.0),
        statistics=[counted] if counted else [],
    )


def _found(subject: Trial) -> dict[str, tuple[str, str]]:
    return {item.subject: (item.verdict, item.detail) for item in judge(subject, counts_super_packets=False)}


E1000E = {"tx_tcp_seg_good": 640, "rx_csum_offload_good": 250}


def test_a_counter_that_grows_confirms_what_the_packets_show() -> None:
    found = _found(_trial(statistics("e1000e", E1000E)))
    assert found["tso"] == (
        "proven",
        "100.0% of data bytes reached the driver as super-packets; tx_tcp_seg_good grew by 640",
    )
    assert found["rx-checksum"][0] == "proven"
    assert "rx_csum_offload_good grew by 250" in found["rx-checksum"][1]


def test_a_counter_that_stands_still_confirms_that_the_offload_is_off() -> None:
    found = _found(_trial(statistics("e1000e", {}, ("tx_tcp_seg_good", "rx_csum_offload_good")), tso=False, rx=False))
    assert (found["tso"][0], found["rx-checksum"][0]) == ("proven", "proven")
    assert "tx_tcp_seg_good did not grow" in found["tso"][1]


@pytest.mark.parametrize(
    ("subject", "tso", "rx", "growth", "unmoved"),
    [
        ("tso", True, True, {"rx_csum_offload_good": 250}, ("tx_tcp_seg_good",)),
        ("tso", False, True, E1000E, ()),
        ("rx-checksum", True, True, {"tx_tcp_seg_good": 640}, ("rx_csum_offload_good",)),
        ("rx-checksum", True, False, E1000E, ()),
    ],
)
def test_a_driver_that_says_the_opposite_of_the_packets_makes_the_toggle_not_proven(
    subject: str, tso: bool, rx: bool, growth: dict[str, int], unmoved: tuple[str, ...]
) -> None:
    contradicted = _trial(statistics("e1000e", growth, unmoved), tso=tso, rx=rx)
    verdict, detail = _found(contradicted)[subject]
    assert verdict == "contradicted"
    assert ", but the driver says" in detail
    assert not toggle_proven(judge(contradicted, counts_super_packets=False))


def test_a_counter_that_the_driver_does_not_have_says_nothing() -> None:
    found = _found(_trial(statistics("e1000e", {"rx_csum_offload_good": 250})))
    assert found["tso"] == ("proven", "100.0% of data bytes reached the driver as super-packets")


def test_without_tracepoints_the_driver_alone_proves() -> None:
    found = _found(_trial(statistics("e1000e", E1000E), blind=True))
    assert found["tso"] == ("proven", "no tracefs; tx_tcp_seg_good grew by 640")
    assert found["tx-checksum"] == ("not_shown", "no tracefs")


def test_a_window_without_packets_shows_nothing() -> None:
    silent = _trial(statistics("e1000e", {}, ("tx_tcp_seg_good",)), tso=False, blind=True)
    silent = trial(features=silent.features, evidence=silent.evidence, samples=samples(), statistics=silent.statistics)
    assert _found(silent)["tso"] == ("not_shown", "no tracefs; no packets counted in the window")


def test_an_unknown_driver_is_said_to_be_unknown_and_judged_by_packets_alone() -> None:
    found = _found(_trial(statistics("acme9000", {"tx_tcp_seg_good": 640})))
    assert found["tso"][0] == "proven"
    assert "driver acme9000 is not known here" in found["tso"][1]


def test_segmentation_by_the_driver_itself_is_told() -> None:
    assert "in driver fec TSO is software" in _found(_trial(statistics("fec", {})))["tso"][1]


def test_the_kernels_own_statistics_are_judged_whatever_the_driver() -> None:
    counted = {"qstats.tx-hw-gso-packets": 640, "qstats.tx-needs-csum": 700, "qstats.rx-csum-unnecessary": 90}
    found = _found(_trial(statistics("virtio_net", counted)))
    assert {name for name, (verdict, _) in found.items() if verdict == "proven"} == {
        "tso",
        "tx-checksum",
        "rx-checksum",
    }
    assert "qstats.tx-needs-csum grew by 700" in found["tx-checksum"][1]


def test_packets_that_only_arrive_unverified_contradict_a_receive_checksum_that_is_on() -> None:
    found = _found(_trial(statistics("stmmac", {}), rx=True))
    assert found["rx-checksum"][0] == "proven"
    counted = statistics("st_gmac", {"ip_csum_bypassed": 900})
    assert _found(_trial(counted, rx=True))["rx-checksum"][0] == "contradicted"
    assert _found(_trial(counted, rx=False))["rx-checksum"][0] == "proven"


def test_a_count_without_super_packets_says_nothing_of_the_checksum_while_tso_is_on() -> None:
    counted = statistics("mana", {"tx_0_tso_packets": 640}, ("tx_0_csum_partial",))
    assert _found(_trial(counted))["tx-checksum"][0] == "proven"
    assert _found(_trial(counted, tso=False))["tx-checksum"][0] == "contradicted"


@pytest.mark.parametrize(
    ("frames", "tso", "verdict"), [(45_000, True, "proven"), (1010, True, "contradicted"), (1010, False, "proven")]
)
def test_frames_on_the_wire_against_packets_handed_down_show_segmentation(frames: int, tso: bool, verdict: str) -> None:
    assert _found(_trial(statistics("r8169", {"tx_packets": frames}), tso=tso))["tso"][0] == verdict


def test_merging_by_the_nic_is_proven_by_its_counter_and_nothing_to_merge_is_no_contradiction() -> None:
    merged = statistics("vmxnet3", {"Rx Queue 0 LRO pkts rx": 26, "Tx Queue 1 TSO pkts tx": 811})
    idle = statistics("vmxnet3", {"Tx Queue 1 TSO pkts tx": 811}, ("Rx Queue 0 LRO pkts rx",))
    assert _found(_trial(merged, rx_lro=True))["lro"] == ("proven", "Rx Queue {n} LRO pkts rx grew by 26")
    assert _found(_trial(idle, rx_lro=True))["lro"][0] == "no_effect"
    assert "lro" not in _found(_trial(idle, rx_lro=False))
    assert _found(_trial(merged, rx_lro=False))["lro"][0] == "contradicted"
    assert toggle_proven(judge(_trial(idle, rx_lro=True), counts_super_packets=False))


def test_members_of_a_bond_are_added_up() -> None:
    bond = [statistics("bonding", {}, ifname="bond0")]
    bond += [
        statistics("e1000e", {"tx_tcp_seg_good": 20}, ifname="eth1"),
        statistics("e1000e", {}, ("tx_tcp_seg_good",), "eth2"),
    ]
    grown = driver_counters.counted(bond, lambda counters: counters.tso)
    assert grown is not None
    assert str(grown) == "tx_tcp_seg_good grew by 20"


def test_what_is_counted_under_two_names_counts_once() -> None:
    both = statistics("mlx5_core", {"tx_tso_packets": 640, "qstats.tx-hw-gso-packets": 640})
    assert str(driver_counters.counted([both], lambda counters: counters.tso)) == "tx_tso_packets grew by 640"


def test_an_allowance_that_was_used_up_and_packets_that_were_dropped_are_told() -> None:
    told = driver_counters.warnings(
        [
            statistics("ena", {"bw_out_allowance_exceeded": 1234, "queue_3_rx_page_alloc_fail": 2}),
            statistics("igb", {"rx_queue_1_csum_err": 3, "tx_queue_0_packets": 5}),
        ]
    )
    assert told == [
        "eth9: the machine's allowance was used up, the figures are the cloud's limit "
        "(bw_out_allowance_exceeded +1,234)",
        "eth9: the driver could not get or map memory for buffers (queue_3_rx_page_alloc_fail +2)",
        "eth9: packets arrived with a wrong checksum (rx_queue_1_csum_err +3)",
    ]
