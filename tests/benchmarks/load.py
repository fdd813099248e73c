"""Is our load as fast as iperf3's? FTP clients against `iperf3 -Z -P 8` on lab-veth, case tso, same pinning, in turn.

    python -m tests.benchmarks.load [ROUNDS]

iperf3 copies what it receives; so the ratio with `discard=copy` is stated too.
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


def ftp_bits_per_s(bed: Bed, settings: list[str]) -> float:
    """Goodput of the FTP load over the window."""
    definition = catalog.override_parameters([catalog.workload("ftp-get")], settings)[0]
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


def iperf3_bits_per_s(bed: Bed) -> float:
    """Goodput of iperf3 with zero-copy sending and 8 streams; the sender is the device under test."""
    place = bed.placement
    server = ["iperf3", "-s", "-1", "-B", bed.peer.address]
    client = ["iperf3", "-c", bed.peer.address, "-Z", "-P", "8", "-C", "cubic", "-J"]
    client += ["-O", str(int(WARM_UP_S)), "-t", str(int(WINDOW_S))]
    with netns.entered(bed.peer.namespace):
        listening = subprocess.Popen(_pinned(place.peer, server), stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    with netns.entered(bed.dut.namespace):
        output = subprocess.run(_pinned(place.dut, client), stdout=subprocess.PIPE, check=True).stdout
    listening.wait(10)
    return float(json.loads(output)["end"]["sum_received"]["bits_per_second"])


def _pinned(cpus: frozenset[int], arguments: list[str]) -> list[str]:
    return ["taskset", "-c", ",".join(map(str, sorted(cpus))), *arguments]


def measure(site: Site, rounds: int) -> None:
    """Print every round, and the medians and their ratios."""
    rows: list[tuple[float, float, float]] = []
    for number in range(rounds):
        row = (ftp_bits_per_s(site.bed, []), iperf3_bits_per_s(site.bed), ftp_bits_per_s(site.bed, ["discard=copy"]))
        print(
            f"round {number + 1}: ftp {row[0] / 1e9:.1f}, iperf3 {row[1] / 1e9:.1f}, ftp copy {row[2] / 1e9:.1f} Gbit/s"
        )
        rows.append(row)
    print(f"median of paired ratios: ftp / iperf3 {statistics.median(a / b for a, b, _ in rows):.2f}")
    print(f"median of paired ratios: ftp discard=copy / iperf3 {statistics.median(c / b for _, b, c in rows):.2f}")


if __name__ == "__main__":
    options = Options(nic="lab-veth", cases="tso", workloads=["ftp-get"], output=Path())
    with open_site(options, print) as opened_site:
        measure(opened_site, int(sys.argv[1]) if len(sys.argv) > 1 else 5)
