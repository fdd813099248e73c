"""Is our initiator as fast as libiscsi's? Against the same tgt on lab-veth (RTT 0), in turn.

    python -m tests.benchmarks.iscsi [ROUNDS]

Writes against `qemu-img bench`, reads against `iscsi-perf`, both of which use libiscsi; 4 MiB, 4 commands on their
way, backing null; same CPUs and congestion control (see contest.py). libiscsi negotiates bursts of 256 KiB at most, and
these tools cannot change that: so a second ratio gives ours the same bursts. Where the peer is full the target is the
limit for all, and only CPU per GB tells them apart.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from offloadbench.bed.testbed import Bed
from offloadbench.engine.options import RunOptions
from offloadbench.engine.standing_bed import open_site
from offloadbench.roles.messages import OpenTarget, TargetReady
from tests.benchmarks.contest import CONGESTION_CONTROL, contest, started, stopped, workload

BLOCK_BYTES, QUEUE_DEPTH = 4 << 20, 4
# more than any window takes
QEMU_BLOCKS, PERF_S = 1_000_000, 600
# qemu-img has this name, and no option to change it
INITIATOR = "iqn.2008-11.org.linux-kvm"
TARGET, USER, PASSWORD = "iqn.2004-01.org.offloadbench:benchmark", "peer", "not-a-secret-at-all"


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
    order = OpenTarget(
        initiator_name=INITIATOR,
        target_name=TARGET,
        user=USER,
        password=PASSWORD,
        address=bed.peer.address,
        congestion_control=CONGESTION_CONTROL,
        receive_window_bytes=0,
        backing="null",
        lun_bytes=1 << 30,
        parameters=parameters,
    )
    try:
        port = role.request(order, TargetReady).port
        yield f"iscsi://{USER}%{PASSWORD}@{bed.peer.address}:{port}/{TARGET}/1"
    finally:
        role.close()


@contextmanager
def qemu_writes(bed: Bed) -> Iterator[None]:
    """`qemu-img bench -w`."""
    arguments = ["qemu-img", "bench", "-w", "-n", "-t", "none", "-f", "raw", "-c", str(QEMU_BLOCKS)]
    with serving(bed) as url:
        process = started(bed.dut, [*arguments, "-d", str(QUEUE_DEPTH), "-s", str(BLOCK_BYTES), url])
        try:
            yield
        finally:
            stopped(process)


@contextmanager
def libiscsi_reads(bed: Bed) -> Iterator[None]:
    """`iscsi-perf`."""
    arguments = ["iscsi-perf", "-i", INITIATOR, "-m", str(QUEUE_DEPTH), "-b", str(BLOCK_BYTES // 512)]
    with serving(bed) as url:
        process = started(bed.dut, [*arguments, "-t", str(PERF_S), url])
        try:
            yield
        finally:
            stopped(process)


WRITE, QEMU, SMALL = "write", "qemu-img write", "write in 256 KiB bursts"
READ, PERF = "read", "iscsi-perf read"
CONTENDERS = {
    WRITE: workload("iscsi-write"),
    QEMU: qemu_writes,
    SMALL: workload("iscsi-write", "max_burst=256KiB", "first_burst=256KiB"),
    READ: workload("iscsi-write", "operation=read"),
    PERF: libiscsi_reads,
}
RATIOS = [(WRITE, QEMU), (SMALL, QEMU), (READ, PERF)]


if __name__ == "__main__":
    chosen = RunOptions(nic="lab-veth", cases="tso", workloads=["iscsi-write"], output=Path())
    with open_site(chosen, print) as site:
        contest(site.bed, CONTENDERS, RATIOS, int(sys.argv[1]) if len(sys.argv) > 1 else 5, (READ, PERF))
