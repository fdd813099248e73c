"""Is our initiator as fast as libiscsi's? Against the same tgt on lab-veth (RTT 0), same pinning, in turn.

    python -m tests.benchmarks.iscsi [ROUNDS]

Writes against `qemu-img bench`, reads against `iscsi-perf`, both of which use libiscsi; 4 MiB, 4 commands on their
way, backing null. libiscsi negotiates bursts of 256 KiB at most, and these tools cannot change that: so a second
ratio gives ours the same bursts.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from offloadbench import catalog, traffic
from offloadbench.bed.base import Bed
from offloadbench.engine.options import Options
from offloadbench.engine.site import open_site
from offloadbench.kernel import netns

WARM_UP_S, WINDOW_S = 1.0, 4.0
BLOCK_BYTES, QUEUE_DEPTH = 4 << 20, 4
# qemu-img has this name, and no option to change it
INITIATOR = "iqn.2008-11.org.linux-kvm"
TARGET, USER, PASSWORD = "iqn.2004-01.org.offloadbench:benchmark", "peer", "not-a-secret-at-all"
SMALL_BURSTS = ["max_burst=256KiB", "first_burst=256KiB"]


def ours_bits_per_s(bed: Bed, settings: list[str]) -> float:
    """Payload rate of the workload over the window."""
    definition = catalog.override_parameters([catalog.workload("iscsi-write")], settings)[0]
    load = traffic.from_definition(definition)
    load.prepare(print)
    session = load.start(bed.dut, bed.peer, 0)
    try:
        time.sleep(WARM_UP_S)
        opened = session.mark()
        time.sleep(WINDOW_S)
        closed = session.mark()
        return (closed.payload_bytes - opened.payload_bytes) * 8 / (closed.t_s - opened.t_s)
    finally:
        session.close()


@contextmanager
def serving(bed: Bed) -> Iterator[str]:
    """The same target as ours, for somebody else's initiator; yields the URL of its LUN."""
    role = bed.peer.launch("offloadbench.traffic.iscsi.target", "the iSCSI target")
    parameters = {
        "InitialR2T": "No",
        "MaxRecvDataSegmentLength": str(256 << 10),
        "MaxBurstLength": str((16 << 20) - 512),
        "FirstBurstLength": str((16 << 20) - 512),
    }
    order = {
        "initiator_name": INITIATOR,
        "target_name": TARGET,
        "user": USER,
        "password": PASSWORD,
        "address": bed.peer.address,
        "congestion_control": "cubic",
        "receive_window_bytes": 0,
        "backing": "null",
        "lun_bytes": 1 << 30,
        "parameters": parameters,
    }
    try:
        port = role.request(order, "ready")["port"]
        yield f"iscsi://{USER}%{PASSWORD}@{bed.peer.address}:{port}/{TARGET}/1"
    finally:
        role.close()


def _on_dut(bed: Bed, arguments: list[str], timeout_s: float) -> str:
    pinned = ["taskset", "-c", ",".join(map(str, sorted(bed.placement.dut))), *arguments]
    with netns.entered(bed.dut.namespace):
        process = subprocess.Popen(pinned, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        return process.communicate(timeout=timeout_s)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]


def qemu_write_bits_per_s(bed: Bed) -> float:
    """`qemu-img bench -w` for about as long as our window."""
    count = 1500
    arguments = ["qemu-img", "bench", "-w", "-n", "-t", "none", "-f", "raw", "-c", str(count), "-d", str(QUEUE_DEPTH)]
    with serving(bed) as url:
        output = _on_dut(bed, [*arguments, "-s", str(BLOCK_BYTES), url], 60)
    match = re.search(r"Run completed in ([\d.]+) seconds", output)
    if not match:
        raise SystemExit(f"qemu-img bench said: {output}")
    return count * BLOCK_BYTES * 8 / float(match[1])


def libiscsi_read_bits_per_s(bed: Bed) -> float:
    """`iscsi-perf` for the window."""
    seconds = int(WINDOW_S + WARM_UP_S)
    arguments = ["iscsi-perf", "-i", INITIATOR, "-m", str(QUEUE_DEPTH), "-b", str(BLOCK_BYTES // 512)]
    with serving(bed) as url:
        output = _on_dut(bed, [*arguments, "-t", str(seconds), url], seconds + 5)
    rates = re.findall(r"iops average \d+ \((\d+) MB/s\)", output)
    if not rates:
        raise SystemExit(f"iscsi-perf said: {output}")
    return float(rates[-1]) * 8 * (1 << 20)


def measure(bed: Bed, rounds: int) -> None:
    """Print every round, and the medians and their ratios."""
    rows: list[tuple[float, ...]] = []
    for number in range(rounds):
        row = (
            ours_bits_per_s(bed, []),
            qemu_write_bits_per_s(bed),
            ours_bits_per_s(bed, SMALL_BURSTS),
            ours_bits_per_s(bed, ["operation=read"]),
            libiscsi_read_bits_per_s(bed),
        )
        gbit = [f"{rate / 1e9:.1f}" for rate in row]
        print(
            f"round {number + 1}: write {gbit[0]}, qemu-img {gbit[1]}, write in 256 KiB bursts {gbit[2]}; "
            f"read {gbit[3]}, iscsi-perf {gbit[4]} Gbit/s",
            flush=True,
        )
        rows.append(row)
    print("medians: " + ", ".join(f"{statistics.median(column) / 1e9:.1f}" for column in zip(*rows, strict=True)))
    for name, a, b in (
        ("write / qemu-img", 0, 1),
        ("write in 256 KiB bursts / qemu-img", 2, 1),
        ("read / iscsi-perf", 3, 4),
    ):
        print(f"median of paired ratios: {name} {statistics.median(row[a] / row[b] for row in rows):.2f}")


if __name__ == "__main__":
    chosen = Options(nic="lab-veth", cases="tso", workloads=["iscsi-write"], output=Path())
    with open_site(chosen, print) as site:
        measure(site.bed, int(sys.argv[1]) if len(sys.argv) > 1 else 5)
