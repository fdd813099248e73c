"""Is our plain stream as fast as iperf3's? tcp-stream against `iperf3 -c`, one connection each, on lab-veth, in turn.

    python -m tests.benchmarks.stream [ROUNDS]

Same block, CPUs and congestion control (see contest.py). iperf3's receiver copies what it receives and ours does not;
with -Z its sender does not copy either, and ours does.
"""

from __future__ import annotations

import sys
from pathlib import Path

from offloadbench.engine.options import RunOptions
from offloadbench.engine.standing_bed import open_site
from tests.benchmarks.contest import contest, iperf3, workload

OURS, COPYING, SENDFILE = "tcp-stream", "iperf3 -l 256K", "iperf3 -Z -l 256K"
CONTENDERS = {
    OURS: workload("tcp-stream"),
    COPYING: iperf3("-l", "256K"),
    SENDFILE: iperf3("-Z", "-l", "256K"),
}
RATIOS = [(OURS, COPYING), (OURS, SENDFILE)]


if __name__ == "__main__":
    options = RunOptions(nic="lab-veth", cases="tso", workloads=["tcp-stream"], output=Path())
    with open_site(options, print) as site:
        contest(site.bed, CONTENDERS, RATIOS, int(sys.argv[1]) if len(sys.argv) > 1 else 5)
