"""The lab's cable by netem: delay, and that segments are lost and not super-packets. Needs a kernel with sch_netem,
all but the test of the counters, which reads those of token buckets.
"""

from __future__ import annotations

import json
import re
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from offloadbench.bed.netem import Netem
from offloadbench.bed.testbed import Cable
from offloadbench.kernel.netdev import link, qdisc
from offloadbench.kernel.system import netns
from offloadbench.model import WireDirection
from tests.lab.beds import Unwritten

OpenNetem = Callable[[Cable], Netem]
SINK = (
    "import socket; s = socket.create_server(('198.18.0.2', 5001)); print(flush=True); c = s.accept()[0]\n"
    "while c.recv(1 << 20): pass"
)
SOURCE = (
    "import socket, sys; s = socket.create_connection(('198.18.0.2', 5001)); s.sendall(bytes(int(sys.argv[1])));"
    " s.shutdown(1); s.recv(1)"
)


@pytest.fixture
def open_netem() -> Iterator[OpenNetem]:
    with ExitStack() as stack:

        def opened(cable: Cable) -> Netem:
            try:
                bed = Netem("lab", cable, secrets.token_hex(4), Unwritten())
            except qdisc.MissingError as error:
                pytest.skip(error.message)
            stack.callback(bed.close)
            return bed

        yield opened


def test_the_hop_carries_frames_of_whatever_mtu_the_ends_have(monkeypatch: pytest.MonkeyPatch) -> None:
    # the hop without its emulator: this needs no netem
    monkeypatch.setattr(qdisc, "emulate", lambda *_: None)
    bed = Netem("lab", Cable(line_rate_bits_per_s=10**9), secrets.token_hex(4), Unwritten())
    try:
        for end in (bed.dut, bed.peer):
            link.set_mtu(end.ifname, 9000, end.namespace)
        words = ["ip", "netns", "exec", str(bed.dut.namespace), "ping", "-c1", "-W5", "-M", "do", "-s", "8900"]
        assert subprocess.run([*words, bed.peer.address], check=False, stdout=subprocess.DEVNULL).returncode == 0
    finally:
        bed.close()


def _sent(bed: Netem, size: int) -> tuple[WireDirection, WireDirection, float]:
    """What the cable says of one connection that sent so many bytes: to the load side, back, and the seconds."""
    with netns.entered(bed.peer.namespace):
        sink = subprocess.Popen([sys.executable, "-c", SINK], stdout=subprocess.PIPE)
    with sink:
        assert sink.stdout is not None
        sink.stdout.readline()
        bed.mark()
        began_s = time.monotonic()
        with netns.entered(bed.dut.namespace):
            subprocess.run([sys.executable, "-c", SOURCE, str(size)], check=True, timeout=120)
        took_s = time.monotonic() - began_s
        report = bed.report()
    assert report is not None
    return report.to_peer, report.to_dut, took_s


@pytest.mark.quiet
def test_no_packet_is_faster_than_the_delay(open_netem: OpenNetem) -> None:
    bed = open_netem(Cable(line_rate_bits_per_s=10**9, rtt_s=0.02))
    with netns.entered(bed.dut.namespace):
        text = subprocess.check_output(["ping", "-c", "6", "-i", "0.2", bed.peer.address], text=True)
    # the first one waits for an address resolution as well
    times = [float(value) for value in re.findall(r"time=([\d.]+) ms", text)][1:]
    assert min(times) >= 20.0
    assert statistics.median(times) == pytest.approx(20.0, abs=0.5)


def test_super_packets_are_cut_before_they_are_lost(open_netem: OpenNetem) -> None:
    bed = open_netem(Cable(line_rate_bits_per_s=10**8, loss_ratio=0.01))
    size = 20_000_000
    ahead, back, _ = _sent(bed, size)
    # super-packets came in, frames of 1514 bytes at most went out
    assert ahead.frames < ahead.segments
    assert ahead.l2_bytes / (ahead.segments - ahead.lost_segments) <= 1514
    assert ahead.segments >= size / 1448
    # four standard deviations of a binomial count
    expected = 0.01 * ahead.segments
    assert abs(ahead.lost_segments - expected) < 4 * expected**0.5
    assert ahead.overflow_segments == back.overflow_segments == 0


def test_nothing_passes_above_the_line_rate(open_netem: OpenNetem) -> None:
    bed = open_netem(Cable(line_rate_bits_per_s=10**8))
    ahead, _, took_s = _sent(bed, 10_000_000)
    assert ahead.lost_segments == ahead.overflow_segments == 0
    assert (ahead.l2_bytes + 24 * ahead.segments) * 8 / took_s <= 10**8


def test_what_finds_the_queue_full_is_counted_apart_from_losses(open_netem: OpenNetem) -> None:
    bed = open_netem(Cable(line_rate_bits_per_s=10**7, rtt_s=0.02, queue_bytes=16384))
    ahead, _, _ = _sent(bed, 3_000_000)
    assert ahead.overflow_segments > 0
    assert ahead.lost_segments == 0


def test_the_counters_are_those_that_tc_prints() -> None:
    """One token bucket inside the other, in place of netem; what the last one's short queue has no room for is lost."""
    namespace = f"offloadbench-{secrets.token_hex(4)}-hop"
    netns.create(namespace)
    try:
        link.create_veth("here", namespace, "there", namespace)
        bucket = ["tbf", "rate", "1mbit", "burst", "1540", "limit"]
        with netns.entered(namespace):
            add = ["tc", "qdisc", "add", "dev", "here"]
            subprocess.run([*add, "root", "handle", "1:", *bucket, "1mb"], check=True)
            subprocess.run([*add, "parent", "1:1", "handle", "2:", *bucket, "1mb"], check=True)
            subprocess.run([*add, "parent", "2:1", "handle", "3:", *bucket, "4000"], check=True)
            subprocess.run(["ip", "addr", "add", "198.18.0.1/30", "dev", "here"], check=True)
            for ifname in ("here", "there"):
                subprocess.run(["ip", "link", "set", ifname, "up"], check=True)
            neighbour = ["ip", "neigh", "add", "198.18.0.2", "lladdr", "02:00:00:00:00:02", "dev", "here"]
            subprocess.run(neighbour, check=True)
            sender = (
                "import socket; s = socket.socket(2, 2)\nfor _ in range(50): s.sendto(bytes(1400), ('198.18.0.2', 9))"
            )
            subprocess.run([sys.executable, "-c", sender], check=True)
            show = ["tc", "-s", "-j", "qdisc", "show", "dev", "here"]
            # nothing may pass while the two are read
            for _ in range(100):
                before = subprocess.check_output(show, text=True)
                (found,) = qdisc.read(["here"], namespace)
                if before == subprocess.check_output(show, text=True):
                    break
                time.sleep(0.1)
            rows = {row["handle"]: row for row in json.loads(before)}
    finally:
        netns.remove(namespace)
    assert found.packets == rows["1:"]["packets"] > 0
    assert found.l2_bytes == rows["1:"]["bytes"]
    assert found.lost_packets == rows["3:"]["drops"]
    assert found.overflow_packets == rows["2:"]["drops"] - rows["3:"]["drops"]
