"""What a device counted as wrong, of drivers that are known and of others; what TCP counted; what the kernel logged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.analysis.trial import driver_counters, tcp_trouble
from offloadbench.analysis.trial.trouble import sounds_like_trouble, troubles
from offloadbench.bed.remote import host_facts
from offloadbench.bed.remote.counted import of_several, reading
from offloadbench.definitions import catalog
from offloadbench.kernel.counters import link_statistics, tcp_statistics
from offloadbench.kernel.counters.device_statistics import between, difference, tcp_between
from offloadbench.kernel.counters.ethtool_statistics import printed
from offloadbench.kernel.system import kernel_log
from offloadbench.model import DriverStatistics, words
from offloadbench.roles.messages import CountedThere


def grown(driver: str, **growth: int) -> DriverStatistics:
    return counted(driver, growth)


def counted(driver: str, growth: dict[str, int]) -> DriverStatistics:
    return DriverStatistics(ifname="eth9", driver=driver, interval_s=2.0, growth=growth, unmoved=[])


@pytest.mark.parametrize(
    "name",
    [
        "rx_drops",
        "rx_queue_7_drops",
        "rxq7: rx_drops",
        "rx7_drops",
        "rx_drops[7]",
        "[7]: rx_drops",
        "rx-7.rx_drops",
        "rx_queue_7_rx_drops",
        "Rx Queue 7 drops",
        "ch7_rx_drops",
        "rxq7_drops",
        "rx_q7_drops",
        "7: rx_drops",
    ],
)
def test_a_queue_may_be_written_in_any_form(name: str) -> None:
    assert words(name) == ("rx", "drops")


@pytest.mark.parametrize(
    "name",
    [
        "rx_drop",
        "q0_rx_drops",
        "InDiscards",
        "Queue[3] InErrors",
        "tx_timeout_count",
        "[4]: rx_resets",
        "reset_cnt",
        "rx_no_buffers_posted[0]",
        "rx buf alloc fail",
        "drv dropped rx total",
        "alloc_rx_buff_failed",
        "rx_fcs_err",
        "rx_missed",
        "RX Dropped Frames",
        "tx_aborted",
        "rx_oom",
        "rx_fifo_overflow",
        "txtimeouts",
        "hw_csum_bad",
    ],
)
def test_a_name_that_speaks_of_trouble_is_heard(name: str) -> None:
    assert sounds_like_trouble(name)


@pytest.mark.parametrize(
    "name",
    [
        "rx_packets",
        "tx_csum_none",
        "tx_tcp_seg_good",
        "rx_csum_offload_good",
        "tx_restart_queue",
        "multicast",
        "stop",
        "tx_queue_0_tx_queue_stop",
        "rx_no_eop",
        "tx_single_collisions",
        "interface_up_cnt",
        "rx_merged",
        "suspend",
        "rx_nohandler",
        "tx_no_csum",
        "page_pool_alloc_fast",
        "rx_transferred",
        "adminq_prod_cnt",
        "default_queue_packets",
        "link_change_count",
        "preset_hits",
        "flow_installs",
    ],
)
def test_a_name_of_normal_work_is_not(name: str) -> None:
    assert not sounds_like_trouble(name)


def test_counters_of_an_unknown_driver_are_named_and_not_explained() -> None:
    (told,) = driver_counters.warnings([grown("acme9000", rx_ring_drops=3, tx_wd_timeouts=1, rx_packets=9)])
    assert told == (
        "eth9: counters whose names speak of trouble grew; driver acme9000 is not known here "
        "(rx_ring_drops +3, tx_wd_timeouts +1)"
    )


def test_counters_of_a_known_driver_that_its_file_does_not_name_are_not_explained_either() -> None:
    (told,) = driver_counters.warnings([grown("e1000e", rx_flux_errors=3)])
    assert told == (
        "eth9: counters whose names speak of trouble grew; what exactly they count is not known here "
        "(rx_flux_errors +3)"
    )


def test_what_the_kernel_counts_of_any_device_is_judged_whatever_the_driver() -> None:
    for driver in ("acme9000", "veth", ""):
        growth = {"link.rx_crc_errors": 5, "link.carrier_down_count": 2, "link.tx_timeout": 1, "link.rx_dropped": 7}
        found = troubles([counted(driver, growth)])
        assert [(one.text.partition("(")[0], one.interrupts) for one in found] == [
            ("eth9: the link was lost ", True),
            ("eth9: transmission hung until a watchdog noticed, which mostly ends in a reset ", True),
            ("eth9: the driver or the kernel above it dropped packets ", False),
            ("eth9: frames were damaged, or could not be sent or received ", False),
        ]


def test_what_driver_and_kernel_count_both_is_told_once() -> None:
    (told,) = driver_counters.warnings([counted("e1000e", {"rx_missed_errors": 4, "link.rx_missed_errors": 4})])
    assert told == "eth9: the NIC or its driver dropped packets (rx_missed_errors +4)"
    (told,) = driver_counters.warnings([counted("acme9000", {"rx_crc_errors": 4, "link.rx_crc_errors": 4})])
    assert told == "eth9: frames were damaged, or could not be sent or received (link.rx_crc_errors +4)"


def test_many_queues_are_one_entry_with_their_sum() -> None:
    (told,) = driver_counters.warnings([counted("veth", {f"rx_queue_{queue}_drops": 2 for queue in range(64)})])
    assert told == ("eth9: the NIC or its driver dropped packets (rx_queue_0_drops +2 and 63 like it, +128 in all)")


def test_packets_that_go_back_are_a_reset_or_a_wrap_and_levels_that_fall_are_nothing() -> None:
    (told,) = driver_counters.warnings([grown("acme9000", tx_packets=-41, rx_posted_desc=-3, rx_errors=-2)])
    assert "(tx_packets -41)" in told
    assert "or they wrapped" in told


def test_nothing_is_said_of_a_quiet_window() -> None:
    assert driver_counters.warnings([counted("acme9000", {"rx_packets": 9, "link.rx_packets": 9})]) == []


@given(st.dictionaries(st.text(max_size=32), st.integers(-(2**63), 2**63), max_size=30), st.text(max_size=12))
def test_whatever_a_driver_calls_its_statistics_is_taken(growth: dict[str, int], driver: str) -> None:
    for told in driver_counters.warnings([counted(driver, growth)]):
        assert told.startswith("eth9: ")


@pytest.mark.parametrize("name", catalog.drivers())
def test_every_counter_of_trouble_that_a_file_names_is_told(name: str) -> None:
    driver = catalog.drivers()[name]
    kernel_name = driver.kernel_names[0] if driver.kernel_names else "veth"
    lists = ("drops", "kernel_drops", "errors", "allocation_failures", "shortages", "stalls", "resets", "link_losses")
    for meaning in lists:
        for statistic in getattr(driver.counters, meaning):
            real = statistic.replace("{n}", "3")
            told = driver_counters.warnings([counted(kernel_name, {real: 1000})])
            assert [real in text for text in told] == [True], statistic
            assert "names speak of trouble" not in told[0]
    for statistic in driver.counters.benign:
        assert sounds_like_trouble(statistic), f"{statistic} need not be listed"
        assert driver_counters.warnings([counted(kernel_name, {statistic.replace("{n}", "3"): 1000})]) == []


NETSTAT = "TcpExt: TCPOFOQueue TCPBacklogDrop Odd\nTcpExt: {} {} x\nIpExt: InCsumErrors\nIpExt: 0\n"
SNMP = "Tcp: InSegs InCsumErrors\nTcp: {} {}\nUdp: InCsumErrors\nUdp: 0\n"


def _told(segments: int, damaged: int, late: int, dropped: int) -> CountedThere:
    return CountedThere(
        driver="acme9000",
        link={"rx_crc_errors": damaged, "odd": 1},
        tcp=(SNMP.format(segments, damaged), NETSTAT.format(late, dropped)),
        ethtool=f"NIC statistics:\n     rx_drops: {dropped}\n     odd: -\n",
    )


def test_a_peer_on_another_host_is_read_and_judged() -> None:
    first, last = reading("eth1", _told(100, 0, 0, 0)), reading("eth1", _told(1100, 3, 40, 2))
    tcp = tcp_between(first, last)
    assert tcp["Tcp.InCsumErrors"] == 3
    checksum, order, drops = tcp_trouble.warnings(tcp, "peer")
    assert "peer: packets arrived with a wrong checksum (Tcp.InCsumErrors +3)" in checksum
    assert "peer: 40 packets for 1,000 segments arrived out of order (4.0 %" in order
    assert "TcpExt.TCPBacklogDrop +2" in drops
    device = between(first, last)
    assert device.growth == {"link.rx_crc_errors": 3, "rx_drops": 2}
    assert [one.text.partition(":")[0] for one in troubles([device], of="peer, ")] == ["peer, eth1"] * 2


def test_hosts_of_a_fleet_are_added_up() -> None:
    total = of_several([_told(100, 1, 0, 0), _told(50, 2, 0, 0)])
    assert (total.tcp["Tcp.InSegs"], total.tcp["Tcp.InCsumErrors"], total.statistics) == (150, 3, {})


def test_a_few_late_segments_are_not_worth_a_word() -> None:
    assert tcp_trouble.warnings({"Tcp.InSegs": 100_000, "TcpExt.TCPOFOQueue": 7}, "peer") == []


@given(st.text(), st.text())
def test_damaged_files_of_proc_are_taken(snmp: str, netstat: str) -> None:
    assert set(tcp_statistics.parse(snmp, netstat)) <= set(tcp_statistics.NAMES)
    printed(snmp)


def test_a_counter_that_went_back_or_came_is_no_growth() -> None:
    found = difference("eth9", "x", {"a": 1}, {"a": 1, "b": 5}, interval_s=1.0)
    assert (found.growth, found.unmoved) == ({}, ["a"])


def test_what_the_kernel_says_of_a_link_is_read_by_its_names() -> None:
    class Message:
        def get_attr(self, name: str) -> object:
            return {"IFLA_STATS64": {"rx_errors": 4, "rx_bytes": 9}, "IFLA_CARRIER_DOWN_COUNT": 2}.get(name)

    assert link_statistics.from_message(Message()) == {"link.rx_errors": 4, "link.carrier_down_count": 2}


def test_a_record_of_the_kernels_log_is_one_printable_line() -> None:
    record = b"4,1,2,-;e1000e 0000:00:03.0 eth1: Hang \x1b[31m\xff\n SUBSYSTEM=pci\n DEVICE=+pci:0000:00:03.0\n"
    assert kernel_log.message(record) == "e1000e 0000:00:03.0 eth1: Hang  [31m\ufffd"


def test_this_host_can_be_read_as_another_one_is() -> None:
    found = reading("lo", host_facts.counted("lo"))
    assert {"link.rx_errors", "link.rx_dropped", "link.carrier_down_count"} <= found.statistics.keys()
    assert {"Tcp.InSegs", "Tcp.InCsumErrors", "TcpExt.TCPOFOQueue"} <= found.tcp.keys()
    assert host_facts.counted("").link == {}
