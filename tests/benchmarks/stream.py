"""Is our plain stream as fast as iperf3's? tcp-stream against `iperf3 -c`, one connection each, on lab-veth, in turn.

    python -m tests.benchmarks.stream [ROUNDS]

Same block, congestion control and pinning. iperf3's receiver copies what it receives and ours does not, so iperf3 with
`--skip-rx-copy` is stated too where this iperf3 has it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from offloadbench import catalog, traffic
from offloadbench.bed.base import Bed
from offloadbench.engine.options import Options
from offloadbench.engine.site import Site, open_site
from offloadbench.kernel import netns

WARM_UP_S, WINDOW_S = 2.0, 5.0
SKIP_COPY = "--skip-rx-copy"


def stream_bits_per_s(bed: Bed) -> float:
    """Goodput of tcp-stream over the window."""
    session = traffic.from_definition(catalog.workload("tcp-stream")).start(bed.dut, bed.peer, 0)
    try:
        time.sleep(WARM_UP_S)
        opened = session.mark()
        time.sleep(WINDOW_S)
        closed = session.mark()
        load = session.finish(opened, closed)
        return load.payload_bytes * 8 / load.interval_s
    finally:
        session.close()


def iperf3_bits_per_s(bed: Bed, *options: str) -> float:
    """Goodput of iperf3 with one connection; the sender is the device under test."""
    server = ["iperf3", "-s", "-1", "-B", bed.peer.address]
    client = ["iperf3", "-c", bed.peer.address, "-C", "cubic", "-l", "256K", "-J", *options]
    client += ["-O", str(int(WARM_UP_S)), "-t", str(int(WINDOW_S))]
    with netns.entered(bed.peer.namespace):
        listening = subprocess.Popen(_pinned(bed.placement.peer, server), stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    with netns.entered(bed.dut.namespace):
        output = subprocess.run(_pinned(bed.placement.dut, client), stdout=subprocess.PIPE, check=True).stdout
    listening.wait(10)
    return float(json.loads(output)["end"]["sum_received"]["bits_per_second"])


def _pinned(cpus: frozenset[int], arguments: list[str]) -> list[str]:
    return ["taskset", "-c", ",".join(map(str, sorted(cpus))), *arguments]


def measure(site: Site, rounds: int) -> None:
    """Print every round, and the medians of the paired ratios."""
    can_skip = SKIP_COPY in subprocess.run(["iperf3", "--help"], capture_output=True, text=True, check=True).stdout
    rows: list[tuple[float, ...]] = []
    for number in range(rounds):
        row = [stream_bits_per_s(site.bed), iperf3_bits_per_s(site.bed)]
        if can_skip:
            row.append(iperf3_bits_per_s(site.bed, SKIP_COPY))
        print(f"round {number + 1}: tcp-stream, iperf3: {', '.join(f'{rate / 1e9:.1f}' for rate in row)} Gbit/s")
        rows.append(tuple(row))
    for column, name in enumerate(("iperf3", f"iperf3 {SKIP_COPY}")[: len(rows[0]) - 1], 1):
        print(f"median of paired ratios: tcp-stream / {name} {statistics.median(r[0] / r[column] for r in rows):.2f}")


if __name__ == "__main__":
    options = Options(nic="lab-veth", cases="tso", workloads=["tcp-stream"], output=Path())
    with open_site(options, print) as opened_site:
        measure(opened_site, int(sys.argv[1]) if len(sys.argv) > 1 else 5)
