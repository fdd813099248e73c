"""What does a call chain cost with every sample? Fixed work in the kernel, sampled 20 times as often as a run does.

    python -m tests.benchmarks.cost_of_chains [ROUNDS]

The same number of messages goes through a pair of UNIX sockets without perf, with samples, and with samples that have
the kernel's call chain, in rotating order; each is compared with the run without perf of its round, by the CPU time of
the process, which holds the sampling interrupts. Printed are microseconds a sample, and the share of a CPU at the rate
of a run.
"""

from __future__ import annotations

import os
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

from offloadbench.kernel.trace import perf
from offloadbench.model import ProfileEvent

_PERIOD_NS = 50_003
_MESSAGES = 60_000
_STATES = ("off", "plain", "chains")


def _work(pair: tuple[socket.socket, socket.socket]) -> float:
    """CPU seconds of the messages."""
    began_s = time.process_time()
    message = b"x" * 4096
    for _ in range(_MESSAGES):
        pair[0].send(message)
        pair[1].recv(4096)
    return time.process_time() - began_s


def _sampled(state: str, cpu: int, folder: Path, pair: tuple[socket.socket, socket.socket]) -> float:
    if state == "off":
        return _work(pair)
    event = ProfileEvent(name="cpu-clock", quantity="kernel_cpu_time_ns", period=_PERIOD_NS)
    recorder = perf.PerfRecorder([event], frozenset({cpu}), folder, state, chains=state == "chains")
    try:
        recorder.enable()
        took_s = _work(pair)
        recorder.disable()
        recorder.finish().unlink()
    finally:
        recorder.close()
    return took_s


def main(rounds: int) -> None:
    cpu = min(os.sched_getaffinity(0))
    took: dict[str, list[float]] = {state: [] for state in _STATES}
    pair = socket.socketpair()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for state in (*_STATES[number % 3 :], *_STATES[: number % 3]):
                # perf itself starts anywhere
                os.sched_setaffinity(0, {cpu})
                took[state].append(_sampled(state, cpu, Path(folder), pair))
    for state in _STATES[1:]:
        added = [1 - off / with_perf for off, with_perf in zip(took["off"], took[state], strict=True)]
        each_us = [share * _PERIOD_NS * 1e-3 for share in added]
        quartiles = statistics.quantiles(each_us, n=4)
        at_rate = statistics.median(each_us) * 1e3 / perf.CLOCK_PERIOD_NS
        print(
            f"{state}: {statistics.median(each_us):.2f} us a sample (quartiles {quartiles[0]:.2f} to "
            f"{quartiles[2]:.2f}); {at_rate:.2%} of a CPU at one every {perf.CLOCK_PERIOD_NS} ns"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12)
