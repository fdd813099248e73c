"""The live probe against servers that Debian ships: what it says of each is what the packets say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from offloadbench.analysis.capture.capture_file import CaptureFile
from offloadbench.analysis.capture.ignored_frames import Ignored
from offloadbench.analysis.capture.tcp_segment import SYN, segment
from offloadbench.analysis.initcwnd import verdict
from offloadbench.bed.local import LocalEnd
from offloadbench.engine.options import RunOptions
from offloadbench.engine.standing_bed import Site, open_site
from offloadbench.model import EmulatedLink
from tests.lab.file_servers import SERVERS, Running, Server
from tests.lab.test_initcwnd_capture import RTT_S, _tcpdump

MSS_BYTES = 1448
PEER = "198.18.0.2"
INITCWNDS = (10, 25)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as state, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OFFLOADBENCH_STATE", state)
        link = EmulatedLink(line_rate_bits_per_s=10**9, rtt_s=RTT_S)
        options = RunOptions(nic="lab", cases="", workloads=[], output=Path(), link=link)
        with open_site(options, lambda _: None) as found:
            yield found


@dataclass(frozen=True)
class Seen:
    """A first flight by its packets: payload sizes up to the first repetition, in order, as they are on the link."""

    sizes: list[int]
    spans_us: int

    @property
    def segments(self) -> int:
        return sum(-(-size // MSS_BYTES) for size in self.sizes)


def _flights(path: Path) -> list[Seen]:
    """Of every connection that carried at least 1 KiB from the server without an acknowledgement of it."""
    notes: Counter[Ignored] = Counter()
    found: dict[bytes, list[tuple[int, int, int]]] = {}
    with path.open("rb") as stream:
        for frame in CaptureFile(stream):
            one = segment(frame.link_type, frame.data, frame.original_bytes, notes)
            if one is None or one.flags & SYN or not one.payload_bytes:
                continue
            found.setdefault(one.source + one.destination, []).append((frame.time_ns, one.seq, one.payload_bytes))
    flights = []
    for rows in found.values():
        first_ns, base, _ = rows[0]
        sizes: list[int] = []
        end, last_ns = base, first_ns
        for time_ns, seq, payload in rows:
            if seq != end:
                break
            sizes.append(payload)
            end, last_ns = (end + payload) % (1 << 32), time_ns
        if sum(sizes) >= 1024:
            flights.append(Seen(sizes, (last_ns - first_ns) // 1000))
    return flights


def observe(site: Site, server: Server, initcwnd: int, port: int) -> tuple[list[dict[str, object]], list[Seen]]:
    """Rows of the probe, and the same flights by tcpdump at the probe's end."""
    dut, peer = site.bed.dut, site.bed.peer
    assert isinstance(dut, LocalEnd)
    assert isinstance(peer, LocalEnd)
    way = ["route", "replace", f"{PEER}/32", "dev", dut.ifname, "initcwnd", str(initcwnd)]
    subprocess.run(["ip", "-n", str(dut.namespace), *way], check=True)
    with tempfile.TemporaryDirectory(prefix="offloadbench-test-") as name:
        folder = Path(name)
        running = Running(server, dut.namespace, port, folder)
        try:
            capturing = _tcpdump(peer, folder / "client.pcap")
            words = ["probe", "initcwnd", "--nic", peer.ifname, "--server", running.url, "--initcwnd", str(initcwnd)]
            done = subprocess.run(
                ["ip", "netns", "exec", str(peer.namespace), sys.executable, "-m", "offloadbench", *words,
                 "--repeats", "2", "--format", "json"],
                env=os.environ | {"OFFLOADBENCH_STATE": str(folder / "state")},
                capture_output=True, text=True, timeout=90, check=False,
            )  # fmt: skip
            time.sleep(0.2)
            capturing.terminate()
            capturing.communicate(timeout=10)
        finally:
            running.close()
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()], _flights(folder / "client.pcap")


@pytest.mark.parametrize("initcwnd", INITCWNDS)
@pytest.mark.parametrize("server", SERVERS, ids=[one.name for one in SERVERS])
def test_what_the_probe_says_of_a_server_is_what_the_packets_say(site: Site, server: Server, initcwnd: int) -> None:
    if server.path is None:
        assert not os.environ.get("OFFLOADBENCH_REQUIRE_ALL"), f"{server.program} is missing"
        pytest.skip(f"needs {server.program}")
    number = SERVERS.index(server) * len(INITCWNDS) + INITCWNDS.index(initcwnd)
    rows, seen = observe(site, server, initcwnd, 8100 + number)
    assert len(rows) == len(seen) == 2
    for row, packets in zip(rows, seen, strict=True):
        counted = f"{packets.segments} segments, {sum(packets.sizes)} bytes"
        print(f"\n{server.name}, initcwnd {initcwnd}: {counted}, {row['verdict']}: {row['reason']}", end="")
        assert row["all_segments"] == packets.segments
        # the kernel's window is what the route says: a flight that uses it up honours it
        if packets.segments == initcwnd:
            assert row["verdict"] == verdict.HONOURED
        else:
            assert row["verdict"] not in (verdict.HONOURED, verdict.IGNORED)
