"""The plain stream over the emulated wire: its rate at a long RTT, and what loss and a short queue do to it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from offloadbench import traffic
from offloadbench.bed.testbed import Bed
from offloadbench.definitions import catalog
from offloadbench.engine.options import RunOptions
from offloadbench.engine.standing_bed import open_site
from offloadbench.kernel.system import netns, sysctl
from offloadbench.model import EmulatedLink, Load, WireReport

GBIT = 10**9
# 1448 bytes of payload in 1538 on the cable
PAYLOAD_RATIO = 1448 / 1538
OpenBed = Callable[..., Bed]


@pytest.fixture
def open_bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenBed]:
    monkeypatch.setenv("OFFLOADBENCH_STATE", str(tmp_path))
    with contextlib.ExitStack() as stack:

        def bed(sysctls: dict[str, str] | None = None, **link: Any) -> Bed:
            asked = EmulatedLink(**({"line_rate_bits_per_s": GBIT} | link))
            options = RunOptions(nic="lab", cases="tso", workloads=[], output=Path(), link=asked, sysctls=sysctls or {})
            return stack.enter_context(open_site(options, lambda _: None)).bed

        yield bed


def _retransmitted(bed: Bed) -> int:
    with netns.entered(bed.dut.namespace):
        names, values = [
            line.split() for line in Path("/proc/thread-self/net/snmp").read_text().splitlines() if line[:4] == "Tcp:"
        ]
    return int(dict(zip(names, values, strict=True))["RetransSegs"])


def _stream(bed: Bed, seconds: float, in_flight_bytes: int = 0, **settings: object) -> tuple[Load, WireReport]:
    words = [f"{key}={value}" for key, value in settings.items()]
    kind = traffic.from_definition(catalog.override_parameters([catalog.workload("tcp-stream")], words)[0])
    bed.mark()
    session = kind.start(bed.dut, bed.peer, in_flight_bytes)
    try:
        time.sleep(0.4 * seconds)
        opened = session.mark()
        time.sleep(0.6 * seconds)
        closed = session.mark()
        load = session.finish(opened, closed)
    finally:
        session.close()
    report = bed.report()
    assert report is not None
    return load, report


@pytest.mark.quiet
def test_a_long_rtt_does_not_slow_a_stream_with_a_large_buffer(open_bed: OpenBed) -> None:
    bed = open_bed(rtt_s=0.02)
    # the bandwidth-delay product and 4 MiB
    load, report = _stream(bed, 5.0, in_flight_bytes=2_500_000 + (4 << 20), sndbuf="16MiB")
    assert load.bytes_sent == load.bytes_received
    goodput = load.payload_bytes * 8 / load.interval_s
    # on a shared machine the cable may have lost time, which it says
    assert report.behind_s is not None
    lost_ratio = report.behind_s / report.interval_s
    assert GBIT * PAYLOAD_RATIO * (0.98 - lost_ratio) <= goodput <= GBIT * PAYLOAD_RATIO * 1.005
    assert report.to_peer.lost_segments == report.to_peer.overflow_segments == 0


def test_the_send_buffer_bounds_a_stream_over_a_long_rtt(open_bed: OpenBed) -> None:
    load, _ = _stream(open_bed(rtt_s=0.02), 2.0, sndbuf=131072)
    # no more than its doubled buffer in a round trip
    assert 0 < load.payload_bytes * 8 / load.interval_s <= 2 * 131072 * 8 / 0.02


def test_every_lost_segment_is_sent_again_and_no_byte_is_missing(open_bed: OpenBed) -> None:
    bed = open_bed(loss_ratio=0.002)
    before = _retransmitted(bed)
    load, report = _stream(bed, 3.0, connections=4)
    assert load.bytes_sent == load.bytes_received
    carried, lost = report.to_peer.segments, report.to_peer.lost_segments
    # five standard deviations of a binomial count
    assert abs(lost - carried * 0.002) <= 5 * (carried * 0.002) ** 0.5
    assert lost > 0
    # pure ACKs and the last few segments aside, each loss needs a retransmission of its own
    assert _retransmitted(bed) - before >= 0.9 * lost - 3


@pytest.mark.quiet
def test_a_short_queue_drops_and_the_sender_adapts(open_bed: OpenBed) -> None:
    bed = open_bed(queue_bytes=100_000)
    load, report = _stream(bed, 3.0, connections=4)
    assert load.bytes_sent == load.bytes_received
    assert report.to_peer.overflow_segments > 0
    assert report.to_peer.lost_segments == 0
    on_cable = (report.to_peer.l2_bytes + 24 * report.to_peer.segments) * 8 / report.interval_s
    assert on_cable <= 1.01 * GBIT
    assert load.payload_bytes * 8 / load.interval_s >= 0.7 * GBIT * PAYLOAD_RATIO


def test_sysctls_are_set_on_both_ends_recorded_and_not_outside(open_bed: OpenBed) -> None:
    name, value = "net.ipv4.tcp_wmem", "4096 16384 33554432"
    before = sysctl.read(name)
    bed = open_bed(sysctls={name: value})
    for end in (bed.dut, bed.peer):
        assert sysctl.read(name, end.namespace) == value
    assert sysctl.read(name) == before != value
    assert bed.settings["dut_tcp_wmem"] == value
    assert bed.settings["sysctls"] == {name: value}
