"""Statistics of drivers: names as drivers really give them, differences, and what is absent."""

from __future__ import annotations

import errno
import socket
import struct
from pathlib import Path

import pytest

from offloadbench.kernel.counters import queue_statistics
from offloadbench.kernel.counters.device_statistics import difference
from offloadbench.kernel.counters.ethtool_statistics import EthtoolStatistics, distinct
from offloadbench.kernel.netdev import ethtool_ioctl

NAMES, VALUES, SET_INFO = 0x1B, 0x1D, 0x37


def _printed(path: Path) -> dict[str, int]:
    """`ethtool -S` sets every name in by five blanks; those that follow are the driver's own."""
    lines = [line[5:].rpartition(":") for line in path.read_text().splitlines()]
    names = distinct(name for name, _, _ in lines)
    return dict(zip(names, (int(value) for _, _, value in lines), strict=True))


def test_vmxnet3_names_that_repeat_by_queue_are_told_apart_by_their_position(data: Path) -> None:
    found = _printed(data / "drivers" / "vmxnet3-statistics.txt")
    assert len(found) == 71
    assert (found["Tx Queue 0 ucast pkts tx"], found["Tx Queue 1 ucast pkts tx"]) == (0, 2)
    assert (found["Rx Queue 0 ucast bytes rx"], found["Rx Queue 1 ucast bytes rx"]) == (218, 0)
    assert {"Tx Queue 0 giant hdr", "Tx Queue 0 giant hdr #2", "tx timeout count"} <= found.keys()


def test_blanks_around_names_go_and_names_of_other_drivers_stay() -> None:
    assert distinct(["tso                ", "[0]: tpa_packets", "rx_packets"]) == [
        "tso",
        "[0]: tpa_packets",
        "rx_packets",
    ]


def test_a_title_ends_where_a_name_is_not_set_in() -> None:
    assert distinct(["Tx Queue#", "  a", "b", "  a"]) == ["Tx Queue 0", "Tx Queue 0 a", "b", "a"]


class _Kernel:
    """SIOCETHTOOL of a driver whose number of queues may change between two requests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, statistics: dict[str, int]) -> None:
        self.statistics = statistics
        self.grown: dict[str, int] = {}
        monkeypatch.setattr(ethtool_ioctl, "exchange", self._exchange)

    def _exchange(self, control: socket.socket, ifname: str, request: bytearray) -> None:
        del control, ifname
        (command,) = struct.unpack_from("I", request)
        if not self.statistics:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        if command == SET_INFO:
            struct.pack_into("QI", request, 8, 1 << 1, len(self.statistics))
        elif command == NAMES:
            struct.pack_into("I", request, 8, len(self.statistics))
            for number, name in enumerate(self.statistics):
                struct.pack_into("32s", request, 12 + 32 * number, name.encode())
        elif command == VALUES:
            values = [*self.statistics.values(), *self.grown.values()]
            struct.pack_into(f"{len(values)}Q", request, 8, *values)


def test_names_and_values_are_read_by_ioctl(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = _Kernel(monkeypatch, {"tx_tcp_seg_good": 7, "rx_missed_errors": 2**64 - 1})
    source = EthtoolStatistics("eth9", None)
    assert source.read() == {"tx_tcp_seg_good": 7, "rx_missed_errors": 2**64 - 1}
    # the driver got more queues after its names were read: the kernel writes what it has then
    kernel.grown = {"tx_queue_7_packets": 1}
    assert len(source.read()) == 2
    source.close()


def test_a_device_without_statistics_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    _Kernel(monkeypatch, {})
    source = EthtoolStatistics("eth9", None)
    assert source.read() == {}
    source.close()


def test_only_what_moved_is_kept_with_its_value_and_what_stood_still_by_its_kind() -> None:
    first = {"tx_queue_0_packets": 5, "tx_queue_1_packets": 5, "tx_queue_0_drops": 0, "tx_queue_1_drops": 0, "gone": 1}
    last = {"tx_queue_0_packets": 9, "tx_queue_1_packets": 5, "tx_queue_0_drops": 0, "tx_queue_1_drops": 0, "new": 1}
    found = difference("eth9", "igb", first, last, interval_s=2.0)
    assert found.growth == {"tx_queue_0_packets": 4}
    assert found.unmoved == ["tx_queue_{n}_drops", "tx_queue_{n}_packets"]


def test_qstats_of_four_and_of_eight_bytes_are_read_and_what_is_absent_stays_absent() -> None:
    attributes = [
        ("NETDEV_A_QSTATS_IFINDEX", 2),
        ("tx-hw-gso-packets", struct.pack("=I", 41)),
        ("tx-bytes", struct.pack("=Q", 2**40)),
    ]
    assert queue_statistics.values(attributes) == {"qstats.tx-hw-gso-packets": 41, "qstats.tx-bytes": 2**40}
