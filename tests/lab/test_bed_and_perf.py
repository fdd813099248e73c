"""The lab links and perf by themselves."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from offloadbench.bed.cable import QUANTUM_NS
from offloadbench.bed.lab_bed import Lab
from offloadbench.bed.testbed import Cable
from offloadbench.engine.options import RunOptions
from offloadbench.engine.standing_bed import Site, open_site
from offloadbench.files.packed_columns import unpack_profile
from offloadbench.kernel.netdev import nic
from offloadbench.kernel.system import cpu_idle, netns
from offloadbench.kernel.trace import perf
from offloadbench.model import EmulatedLink
from tests.lab.beds import Unwritten


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFLOADBENCH_STATE", str(tmp_path))


def _site(nic_name: str, rtt_s: float = 0.0) -> Iterator[Site]:
    options = RunOptions(
        nic=nic_name,
        cases="tso",
        workloads=[],
        output=Path(),
        link=EmulatedLink(line_rate_bits_per_s=10**9, rtt_s=rtt_s),
    )
    with open_site(options, lambda _: None) as site:
        yield site


@pytest.fixture
def long_link(state: None) -> Iterator[Site]:
    yield from _site("lab", rtt_s=0.02)


@pytest.fixture
def veth_link(state: None) -> Iterator[Site]:
    yield from _site("lab-veth")


@pytest.mark.quiet
def test_no_packet_is_faster_than_the_delay(long_link: Site) -> None:
    bed = long_link.bed
    with netns.entered(bed.dut.namespace):
        text = subprocess.check_output(["ping", "-c", "5", "-i", "0.2", bed.peer.address], text=True)
    times = [float(value) for value in re.findall(r"time=([\d.]+) ms", text)]
    assert len(times) == 5
    # the answer comes between two looks of the wire, at a moment that it cannot know
    assert min(times) >= 20.0 - QUANTUM_NS * 1e-6
    assert statistics.median(times) == pytest.approx(20.0, abs=0.5)


@pytest.mark.quiet
def test_the_wires_account_counts_both_directions(long_link: Site) -> None:
    bed = long_link.bed
    bed.mark()
    with netns.entered(bed.dut.namespace):
        subprocess.run(
            ["ping", "-c", "3", "-i", "0.2", "-s", "1000", bed.peer.address], check=True, capture_output=True
        )
    report = bed.report()
    assert report is not None
    for direction in (report.to_peer, report.to_dut):
        # 1000 data, 8 ICMP, 20 IP, 14 Ethernet; ARP may add a frame or two
        assert 3 <= direction.frames <= 5
        assert 3 * 1042 <= direction.l2_bytes <= 3 * 1042 + 120
        assert direction.dropped == 0
    assert report.behind_s == 0


def test_python_ethtool_and_netlink_agree(veth_link: Site) -> None:
    from offloadbench.kernel.netdev import features

    bed = veth_link.bed
    found = features.read(bed.dut.ifname, bed.dut.namespace)
    assert nic.disagreements(bed.dut.ifname, found, bed.dut.namespace) == []
    lying = {name: features.Feature(active=False, wanted=False, fixed=False) for name in found}
    assert len(nic.disagreements(bed.dut.ifname, lying, bed.dut.namespace)) >= 2


def test_a_bed_that_cannot_be_built_leaves_nothing(state: None) -> None:
    from offloadbench.base.errors import OffloadbenchError

    run_id = f"{os.getpid():08x}"
    first = Lab("lab-veth", Cable(), run_id, Unwritten())
    try:
        with pytest.raises(OffloadbenchError, match="namespace"):
            Lab("lab-veth", Cable(), run_id, Unwritten())
    finally:
        first.close()
    assert not any(netns.exists(namespace) for namespace in first.namespaces)


def test_perf_records_only_between_enable_and_disable(tmp_path: Path) -> None:
    cpu = min(os.sched_getaffinity(0))
    events = perf.available_events()
    recorder = perf.PerfRecorder(events, frozenset({cpu}), tmp_path, "window")
    try:
        _burn(cpu, 0.3)
        recorder.enable()
        opened_s = time.monotonic()
        _burn(cpu, 1.0)
        window_s = time.monotonic() - opened_s
        recorder.disable()
        _burn(cpu, 0.3)
        counts = perf.read_counts(recorder.finish(), events, opened_s, window_s)
    finally:
        recorder.close()
    columns = unpack_profile(counts)
    assert int(columns["count"].astype(int).sum()) == counts.samples > 0
    assert counts.outside_window <= 0.05 * counts.samples
    assert set(columns["cpu"].tolist()) == {cpu}
    if events[0].name == "cpu-clock":
        assert counts.samples <= 1.05 * 1000 * window_s


def _burn(cpu: int, seconds: float) -> None:
    home = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))
    os.sched_setaffinity(0, home)


def test_the_idle_clock_sees_work_and_rest() -> None:
    cpu = min(os.sched_getaffinity(0))
    clock = cpu_idle.best_clock()
    before_s, began_s = clock.times(frozenset({cpu})).idle_s, time.monotonic()
    _burn(cpu, 0.5)
    idle_s, wall_s = clock.times(frozenset({cpu})).idle_s - before_s, time.monotonic() - began_s
    assert 0 <= idle_s <= wall_s
    assert idle_s < 0.5 * wall_s


_DISK_READER = """
import mmap, os, sys, time
os.sched_setaffinity(0, {int(sys.argv[2])})
file = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
room = mmap.mmap(-1, 1 << 16)
print("reading", flush=True)
for place in range(1 << 30):
    os.preadv(file, [room], place % 512 << 16)
"""


@pytest.mark.quiet
def test_a_cpu_that_waits_for_the_disk_is_idle() -> None:
    cpu = min(os.sched_getaffinity(0))
    # not tmp_path: a file system in memory takes no O_DIRECT
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
        file.write(os.urandom(512 << 16))
        file.flush()
        os.fsync(file.fileno())
        command = [sys.executable, "-I", "-c", _DISK_READER, file.name, str(cpu)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as reader:
            try:
                assert reader.stdout is not None and reader.stdout.readline() == b"reading\n"
                clocks = (cpu_idle.best_clock(), cpu_idle.TickIdleClock())
                before, began_s = [clock.times(frozenset({cpu})) for clock in clocks], time.monotonic()
                time.sleep(1.5)
                after, wall_s = [clock.times(frozenset({cpu})) for clock in clocks], time.monotonic() - began_s
            finally:
                reader.kill()
    exact, ticked = (
        ((now.idle_s - then.idle_s) / wall_s, (now.iowait_s - then.iowait_s) / wall_s)
        for then, now in zip(before, after, strict=True)
    )
    if ticked[1] < 0.1:
        pytest.skip("others leave this CPU no time to be idle")
    # a clock that takes the wait for work finds that much less idle time
    # all of it may be that wait: then the two differ by rounding
    assert exact[0] + 1e-9 >= exact[1] > 0.05
    assert exact == pytest.approx(ticked, abs=0.05)
