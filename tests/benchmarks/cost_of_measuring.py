"""What does the measured window pay for being measured? Windows with sampler and perf against windows without.

    python -m tests.benchmarks.cost_of_measuring [PAIRS] [NIC]

Default NIC: lab-veth, case tso, where the server's CPU is the limit and every cost shows as throughput.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

from offloadbench import traffic
from offloadbench.definitions import catalog
from offloadbench.engine.options import RunOptions
from offloadbench.engine.run.sampler import Sampler
from offloadbench.engine.standing_bed import Site, open_site
from offloadbench.kernel.counters import network_counters
from offloadbench.kernel.system import cpu_idle
from offloadbench.kernel.trace import perf
from offloadbench.traffic.kind_of_traffic import Session

WARM_UP_S, WINDOW_S = 3.0, 3


def _goodput(session: Session, wait: float | Sampler) -> float:
    opened = session.mark()
    if isinstance(wait, Sampler):
        with wait:
            wait.join()
    else:
        time.sleep(wait)
    closed = session.mark()
    return (closed.payload_bytes - opened.payload_bytes) / (closed.t_s - opened.t_s)


def measure(site: Site, pairs: int) -> None:
    """Print every pair, and the median ratio on / off with its spread."""
    bed, clock = site.bed, cpu_idle.best_clock()
    load = traffic.from_definition(catalog.workload("ftp-get"))
    load.prepare(print)
    session = load.start(bed.dut, bed.peer, 0 if bed.push_back else 4 << 20)
    network = network_counters.NetworkCounters(bed.dut.ifname, bed.dut.namespace)
    cpus = bed.placement.dut

    def read() -> dict[str, float]:
        return {"idle": clock.times(cpus).idle_s} | network.read() | network_counters.system(cpus)

    ratios = []
    time.sleep(WARM_UP_S)
    for number in range(pairs):
        recorder = perf.PerfRecorder(perf.available_events(), cpus, site.folder, f"pair{number}")
        order = ("on", "off") if number % 2 else ("off", "on")
        rates = {}
        for state in order:
            if state == "on":
                recorder.enable()
                rates[state] = _goodput(session, Sampler(read, WINDOW_S, lambda *_: None))
                recorder.disable()
            else:
                rates[state] = _goodput(session, WINDOW_S)
        recorder.finish()
        ratios.append(rates["on"] / rates["off"])
        print(f"pair {number + 1}: on {rates['on'] * 8 / 1e9:.2f}, off {rates['off'] * 8 / 1e9:.2f} Gbit/s")
    session.close()
    quartiles = statistics.quantiles(ratios, n=4)
    print(f"on / off: median {statistics.median(ratios):.4f}, quartiles {quartiles[0]:.4f} to {quartiles[2]:.4f}")


if __name__ == "__main__":
    nic_name = sys.argv[2] if len(sys.argv) > 2 else "lab-veth"
    options = RunOptions(nic=nic_name, cases="tso", workloads=["ftp-get"], output=Path())
    with open_site(options, print) as opened_site:
        measure(opened_site, int(sys.argv[1]) if len(sys.argv) > 1 else 20)
