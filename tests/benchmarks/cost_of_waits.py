"""What does a sender pay for having its waits recorded? Windows with perf on its switches against windows without.

    python -m tests.benchmarks.cost_of_waits [PAIRS]

On the emulated cable with a small send buffer, and on lab-veth, where the CPU is the limit.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from offloadbench.analysis.sender.send_queue import queue
from offloadbench.analysis.sender.suspect import Limit
from offloadbench.bed.lab_bed import LAB_VETH
from offloadbench.engine.sender.monitor import MODULE, TITLE, Monitor, Watched
from offloadbench.kernel.trace import scheduler_waits
from tests.lab.limits import CASES, SMALL_SNDBUF_BYTES, Case, lab_of, traffic

_WARM_UP_S, _WINDOW_S = 2.0, 2.0
_CASES = {
    "lab, 20 ms": CASES["send-buffer"],
    "lab-veth": Case(Limit.CPU, nic=LAB_VETH, send={"sndbuf_bytes": SMALL_SNDBUF_BYTES}),
}


def _measure(title: str, case: Case, pairs: int, folder: Path) -> None:
    ratios, counts = [], []
    with lab_of(case) as lab, traffic(lab, case) as (port, pid):
        watched = Watched(remote_address=lab.peer.address, remote_port=port)
        monitor = Monitor(lab.dut.launch(MODULE, TITLE, lab.placement.tool), watched, period_us=10_000)
        time.sleep(_WARM_UP_S)
        for number in range(pairs):
            rates = {}
            for on in (bool(number % 2), not number % 2):
                recorder = scheduler_waits.WaitRecorder([pid], folder, f"pair{number}") if on else None
                if recorder:
                    recorder.enable()
                opened_ns = monitor.open()
                time.sleep(_WINDOW_S)
                rates[on] = queue(monitor.finish()[0]).goodput_bits_per_s
                if recorder:
                    recorder.disable()
                    found = recorder.result(opened_ns, _WINDOW_S)
                    recorder.close()
                    counts.append(found.rows)
                    lost = found.lost_switches
            ratios.append(rates[True] / rates[False])
            print(f"{title}: on {rates[True] / 1e6:.0f}, off {rates[False] / 1e6:.0f} Mbit/s, lost {lost}")
        monitor.close()
    quartiles = statistics.quantiles(ratios, n=4)
    print(
        f"{title}: {statistics.median(counts) / _WINDOW_S:.0f} waits a second; on / off median "
        f"{statistics.median(ratios):.3f}, quartiles {quartiles[0]:.3f} to {quartiles[2]:.3f}"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        for name, one in _CASES.items():
            _measure(name, one, int(sys.argv[1]) if len(sys.argv) > 1 else 8, Path(temporary))
