"""What both ends counted in a window: read at its two sides, judged, and never a reason for a crash."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from offloadbench.base.errors import HostError, TrafficError
from offloadbench.engine.run.window_counts import WindowCounts
from offloadbench.kernel.counters import device_statistics
from offloadbench.kernel.counters.device_statistics import Reading
from offloadbench.kernel.netdev import nic
from offloadbench.kernel.system import kernel_log
from offloadbench.kernel.system.kernel_log import KernelLog
from offloadbench.roles.ends import Role


class End:
    """An end whose readings are a list; an error among them is raised."""

    address = "192.0.2.1"
    server_cpus: frozenset[int] = frozenset()

    def __init__(self, name: str, readings: list[Reading | Exception], namespace: str | None = None) -> None:
        self.name, self.ifname, self.namespace = name, "eth9", namespace
        self._readings = readings

    def counted(self) -> Reading:
        found = self._readings.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def launch(self, module: str, title: str, cpus: frozenset[int] | None = None) -> Role:
        raise NotImplementedError(module, title, cpus)

    def missing(self, tools: object) -> list[str]:
        raise NotImplementedError(tools)

    def available_memory_bytes(self) -> int:
        raise NotImplementedError

    def is_folder(self, path: str) -> bool:
        raise NotImplementedError(path)

    def state(self, sysctls: object) -> dict[str, str | int]:
        raise NotImplementedError(sysctls)


def _reading(at_s: float, tcp: dict[str, int] | None = None, **statistics: int) -> Reading:
    values = {name.replace("__", "."): value for name, value in statistics.items()}
    return Reading("eth9", "e1000e", values, tcp or {}, at_s)


Local = Callable[..., None]


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Local:
    """Sets what the device under test counts."""
    monkeypatch.setattr(nic, "driver_info", lambda *_: ("e1000e", "", "", "0000:00:03.0"))
    monkeypatch.setattr(kernel_log, "_DEVICE", "/nowhere/kmsg")

    def tell(*readings: Reading | Exception) -> None:
        end = End("", list(readings))
        monkeypatch.setattr(device_statistics, "read", lambda *_: end.counted())

    return tell


def _peer(*readings: Reading | Exception) -> End:
    return End("peer", list(readings) or [_reading(1.0)] * 9)


def test_both_ends_are_read_and_judged(local: Local) -> None:
    local(
        _reading(0.0, link__tx_timeout=0, rx_errors=0),
        _reading(1.0, link__tx_timeout=0, rx_errors=0),
        _reading(3.0, link__tx_timeout=1, rx_errors=2),
        _reading(3.0, link__tx_timeout=1, rx_errors=2),
    )
    tcp = {"Tcp.InSegs": 10, "Tcp.InCsumErrors": 0}, {"Tcp.InSegs": 20, "Tcp.InCsumErrors": 4}
    first, last = _reading(1.0, tcp[0], reset_fail=0), _reading(3.0, tcp[1], reset_fail=0)
    counts = WindowCounts(End("dut", []), _peer(first, first, last, last), ["eth9"])
    counts.open()
    counts.shut()
    found = counts.finish(failed=False)
    counts.close()
    assert found.interruptions == [
        "traffic stood still in the window: eth9: transmission hung until a watchdog noticed, which mostly ends in a "
        "reset (link.tx_timeout +1)"
    ]
    assert found.warnings[0] == "eth9: frames were damaged, or could not be sent or received (rx_errors +2)"
    assert found.warnings[1].startswith("peer: packets arrived with a wrong checksum (Tcp.InCsumErrors +4)")
    assert found.peer_tcp == {"Tcp.InSegs": 10, "Tcp.InCsumErrors": 4}
    assert found.statistics[0].interval_s == 2.0
    assert (found.outside, found.logged) == ([], [])


@pytest.mark.parametrize("when", [0, 1, 2, 3])
def test_a_peer_that_cannot_be_asked_is_said_and_fails_nothing(local: Local, when: int) -> None:
    local(*[_reading(1.0)] * 4)
    readings: list[Reading | Exception] = [_reading(1.0), _reading(2.0), _reading(3.0), _reading(4.0)]
    readings[when] = TrafficError("gone", "")
    counts = WindowCounts(End("dut", []), _peer(*readings), ["eth9"])
    counts.open()
    counts.shut()
    found = counts.finish(failed=False)
    assert found.warnings == ["peer: its counters could not be read: gone"]
    if when < 3:
        assert (found.peer_statistics, found.peer_tcp) == ([], {})


def test_a_device_that_vanishes_in_the_window_is_said(local: Local) -> None:
    local(_reading(0.0), _reading(1.0), *[HostError("no NIC named 'eth9'", "")] * 2)
    counts = WindowCounts(End("dut", []), _peer(), ["eth9"])
    counts.open()
    counts.shut()
    found = counts.finish(failed=False)
    assert found.warnings == ["eth9: its counters could not be read again: no NIC named 'eth9'"]


_HUNG = "eth9: transmission hung until a watchdog noticed, which mostly ends in a reset (tx_timeout_count +1)"


@pytest.mark.parametrize(
    ("moments", "counted", "interruptions", "outside"),
    [
        (0, [0, 1], [], [f"before the window opened: {_HUNG}"]),
        (1, [0, 0, 1], [f"traffic stood still since the window opened: {_HUNG}"], []),
        (2, [0, 0, 1, 1], [f"traffic stood still in the window: {_HUNG}"], []),
        (2, [0, 0, 0, 1], [], [f"after the window closed: {_HUNG}"]),
        (2, [0, 1, 1, 1], [], [f"before the window opened: {_HUNG}"]),
    ],
)
def test_what_a_nic_did_at_any_time_of_a_trial_that_failed_is_told(
    local: Local, moments: int, counted: list[int], interruptions: list[str], outside: list[str]
) -> None:
    local(*(_reading(float(at_s), tx_timeout_count=count) for at_s, count in enumerate(counted)))
    counts = WindowCounts(End("dut", []), _peer(), ["eth9"])
    for act in (counts.open, counts.shut)[:moments]:
        act()
    found = counts.finish(failed=True)
    assert (found.interruptions, found.outside) == (interruptions, outside)


def test_a_reset_after_the_window_of_a_good_trial_is_counted(local: Local) -> None:
    # e1000e: the unit hung in the window's last second, the watchdog saw it 5 s later, and traffic ended well
    local(*(_reading(float(at_s), tx_timeout_count=count) for at_s, count in enumerate([0, 0, 0, 1])))
    counts = WindowCounts(End("dut", []), _peer(), ["eth9"])
    counts.open()
    counts.shut()
    found = counts.finish(failed=False)
    assert found.interruptions == []
    assert found.after == found.outside == [f"after the window closed: {_HUNG}"]


def _log(monkeypatch: pytest.MonkeyPatch, records: list[bytes]) -> None:
    """Let the kernel have logged these when it is asked next."""
    monkeypatch.setattr(kernel_log, "_DEVICE", "/dev/null")
    monkeypatch.setattr(KernelLog, "_messages", lambda _: [kernel_log.message(record) for record in records])


def test_the_log_is_quoted_by_the_names_of_both_ends_of_this_machine(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    local(*[_reading(1.0)] * 4)
    buses = {None: "0000:00:0a.0", "elsewhere": "0000:00:0c.0"}
    monkeypatch.setattr(nic, "driver_info", lambda _, namespace: ("e1000e", "", "", buses[namespace]))
    _log(monkeypatch, [b"6,1,1,-;e1000e 0000:00:0c.0 eth1: Reset adapter unexpectedly\n", b"6,1,2,-;usb 1-1: new\n"])
    peer = End("peer", [_reading(1.0)] * 4, namespace="elsewhere")
    counts = WindowCounts(End("dut", []), peer, ["eth9"])
    counts.open()
    counts.shut()
    found = counts.finish(failed=False)
    # what a toggle let the driver say before the window is no news
    line = '"e1000e 0000:00:0c.0 eth1: Reset adapter unexpectedly"'
    assert found.logged == [
        f"the kernel logged {when}: {line}" for when in ("in the window", "after the window closed")
    ]


def test_lines_of_the_kernels_log_that_name_the_nic_are_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "kmsg"
    log.write_bytes(b"6,1,1,-;eth9: before\n")
    monkeypatch.setattr(kernel_log, "_DEVICE", str(log))
    kernel = KernelLog()
    records = [
        b"4,2,2,-;e1000e 0000:00:03.0 eth9: Detected Hardware Unit Hang\n",
        b"4,3,3,-;eth90: of another\n",
        b"4,4,4,-;NETDEV WATCHDOG: eth9 (e1000e): transmit queue 0 timed out\n",
        b"4,5,5,-;r8169 0000:00:03.0: of the same bus\n",
    ]
    monkeypatch.setattr(os, "read", lambda *_: records.pop(0) if records else b"")
    assert kernel.naming(["eth9", "0000:00:03.0"]) == [
        "e1000e 0000:00:03.0 eth9: Detected Hardware Unit Hang",
        "NETDEV WATCHDOG: eth9 (e1000e): transmit queue 0 timed out",
        "r8169 0000:00:03.0: of the same bus",
    ]
    kernel.close()
    kernel.close()
    assert kernel.naming(["eth9"]) == []


def test_a_log_that_may_not_be_read_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_log, "_DEVICE", "/nowhere/kmsg")
    assert KernelLog().naming(["eth9"]) == []
