"""Contenders on one lab link, in turn: what each moves, what it costs, and which end was full.

All are measured in the same way: bytes that the NIC under test moved, and the idle time of its CPUs by the kernel's own
clock, over the same window. All have the same CPUs and the same congestion control: a program that does not choose one
takes the system's default, and under bbr it is paced by a timer, which cost iperf3 and vsftpd more than half of their
rate here. A connection that began under bbr stays paced even when it is switched to cubic later, as `iperf3 -C` does
(sk_pacing_status is never cleared); a route's `congctl` is what a connection begins with.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from offloadbench import traffic
from offloadbench.bed.local import PREFIX_LENGTH
from offloadbench.bed.testbed import Bed
from offloadbench.definitions import catalog
from offloadbench.kernel.counters import network_counters
from offloadbench.kernel.system import cpu_idle, netns
from offloadbench.roles.ends import End

CONGESTION_CONTROL = "cubic"
WARM_UP_S, WINDOW_S = 1.5, 4.0
Contender = Callable[[Bed], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one window; busy ratios are of all CPUs of that end, the hypervisor's steal included."""

    bits_per_s: float
    cpu_s_per_gb: float
    dut_busy: float
    peer_busy: float

    def __str__(self) -> str:
        return (
            f"{self.bits_per_s / 1e9:5.1f} Gbit/s, {self.cpu_s_per_gb:.3f} CPU s/GB, "
            f"busy {self.dut_busy:4.0%}, peer {self.peer_busy:4.0%}"
        )


def same_congestion_control(bed: Bed) -> None:
    """Let every connection of either end begin under CONGESTION_CONTROL, whatever its program asks for later."""
    for end in (bed.dut, bed.peer):
        assert end.namespace
        network = f"{end.address.rpartition('.')[0]}.0/{PREFIX_LENGTH}"
        route = ["replace", network, "dev", end.ifname, "scope", "link", "src", end.address]
        arguments = ["ip", "-n", end.namespace, "route", *route, "congctl", CONGESTION_CONTROL]
        subprocess.run(arguments, check=True)


def window(bed: Bed, reads: bool = False) -> Figures:
    """Measure what flows now.

    Args:
        reads: whether the device under test receives.
    """
    clock = cpu_idle.best_clock()
    ends = (bed.placement.dut, bed.placement.peer)
    name = "rx_bytes" if reads else "tx_bytes"

    def look() -> tuple[float, float, list[float]]:
        moved = network_counters.nic(bed.dut.ifname, bed.dut.namespace)[name]
        return time.monotonic(), moved, [clock.times(cpus).idle_s for cpus in ends]

    began_s, first_bytes, first_idle = look()
    time.sleep(WINDOW_S)
    ended_s, last_bytes, last_idle = look()
    seconds, moved = ended_s - began_s, last_bytes - first_bytes
    available = [seconds * len(cpus) for cpus in ends]
    busy = [have - (last - first) for have, first, last in zip(available, first_idle, last_idle, strict=True)]
    return Figures(moved * 8 / seconds, busy[0] / (moved / 1e9), busy[0] / available[0], busy[1] / available[1])


def workload(name: str, *settings: str) -> Contender:
    """A workload of this product."""

    @contextmanager
    def play(bed: Bed) -> Iterator[None]:
        definition = catalog.override_parameters([catalog.workload(name)], list(settings))[0]
        load = traffic.from_definition(definition)
        load.prepare(print)
        session = load.start(bed.dut, bed.peer, 0)
        try:
            yield
        finally:
            session.close()

    return play


def iperf3(*options: str) -> Contender:
    """iperf3, whose sender is the device under test."""

    @contextmanager
    def play(bed: Bed) -> Iterator[None]:
        server = started(bed.peer, ["iperf3", "-s", "-1", "-B", bed.peer.address])
        time.sleep(0.5)
        client = started(bed.dut, ["iperf3", "-c", bed.peer.address, "-t", "600", *options])
        try:
            yield
        finally:
            stopped(client)
            stopped(server)

    return play


def started(end: End, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """A program of others at an end of a lab link, on the CPUs of that end."""
    pinned = ["taskset", "-c", ",".join(map(str, sorted(end.server_cpus))), *arguments]
    with netns.entered(end.namespace):
        return subprocess.Popen(pinned, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def stopped(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def contest(
    bed: Bed,
    contenders: dict[str, Contender],
    ratios: Sequence[tuple[str, str]],
    rounds: int,
    reading: Sequence[str] = (),
) -> None:
    """Print every window, the medians, and these ratios, paired by round.

    The order is reversed every round, so that a machine that gets slower or faster favours none.

    Args:
        reading: names of those that read at the device under test.
    """
    same_congestion_control(bed)
    found: dict[str, list[Figures]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, play in list(contenders.items())[:: -1 if number % 2 else 1]:
            with play(bed):
                time.sleep(WARM_UP_S)
                figures = window(bed, name in reading)
            found[name].append(figures)
            print(f"round {number + 1}: {name:32} {figures}", flush=True)
    print(f"medians of {rounds} windows of {WINDOW_S:g} s, {CONGESTION_CONTROL} everywhere:")
    for name, rows in found.items():
        medians = Figures(*(statistics.median(column) for column in zip(*map(_plain, rows), strict=True)))
        rates = [row.bits_per_s / 1e9 for row in rows]
        print(f"  {name:32} {medians} ({min(rates):.1f} to {max(rates):.1f} Gbit/s)")
    for one, other in ratios:
        print(_ratio(found, one, other))


def _ratio(found: dict[str, list[Figures]], one: str, other: str) -> str:
    """One contender against another, paired by round: throughput and CPU per GB, with their ranges."""
    pairs = list(zip(found[one], found[other], strict=True))
    rates = [a.bits_per_s / b.bits_per_s for a, b in pairs]
    costs = [a.cpu_s_per_gb / b.cpu_s_per_gb for a, b in pairs]
    return (
        f"{one} / {other}: throughput {statistics.median(rates):.2f} ({min(rates):.2f} to {max(rates):.2f}), "
        f"CPU s/GB {statistics.median(costs):.2f} ({min(costs):.2f} to {max(costs):.2f})"
    )


def _plain(figures: Figures) -> tuple[float, float, float, float]:
    return figures.bits_per_s, figures.cpu_s_per_gb, figures.dut_busy, figures.peer_busy
