"""`offloadbench lab`: a bench that outlives the command that built it, and goes when it is told to."""

from __future__ import annotations

import os
import re
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from offloadbench.engine.standing_lab import bench as benches
from offloadbench.kernel.system import processes
from tests.lab.conftest import Offloadbench

Left = Callable[[], list[str]]


@pytest.fixture
def bench(
    offloadbench: Offloadbench, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[benches.Bench]:
    """A bench with losses, built by the command line."""
    monkeypatch.setenv("OFFLOADBENCH_STATE", environment["OFFLOADBENCH_STATE"])
    built = offloadbench("lab", "up", "--name", "test", "--rtt", "2ms", "--loss", "10", "--queue", "1MiB")
    assert built.returncode == 0, built.stderr
    yield benches.status("test")[0]
    if "test" in benches.names():
        offloadbench("lab", "down", "--name", "test")


@pytest.fixture
def left(bench: benches.Bench, environment: dict[str, str]) -> Left:
    """What there is of this bench: journals, namespaces, folder, processes. Others may use the machine meanwhile."""

    def found() -> list[str]:
        places = [Path("/run/netns") / end.namespace for end in (bench.dut, bench.peer)]
        places += [processes.folder_of_run(bench.run_id), *Path(environment["OFFLOADBENCH_STATE"]).glob("*.journal")]
        commands = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in processes.of_run(bench.run_id)]
        return [str(place) for place in places if place.exists()] + commands

    return found


def test_commands_run_on_either_end_on_its_cpus_and_their_exit_codes_come_through(
    bench: benches.Bench, offloadbench: Offloadbench
) -> None:
    look = "import os, sys; print(sorted(os.sched_getaffinity(0))); print(os.listdir('/sys/class/net')); sys.exit(7)"
    for name, end in (("dut", bench.dut), ("peer", bench.peer)):
        done = offloadbench("lab", "exec", "--name", "test", name, "--", "python3", "-c", look)
        assert done.returncode == 7, done.stderr
        cpus, nics = done.stdout.splitlines()
        assert cpus == str(end.cpus)
        assert end.ifname in nics


def test_pings_are_lost_at_the_rate_asked_for_and_the_wire_says_how_many(
    bench: benches.Bench, offloadbench: Offloadbench
) -> None:
    count = 300
    words = ("ping", "-q", "-c", str(count), "-i", "0.005", bench.peer.address)
    done = offloadbench("lab", "exec", "--name", "test", "dut", "--", *words)
    received = int(re.search(r"(\d+) received", done.stdout)[1])  # type: ignore[index]
    # request and answer each survive with 0.9: five standard deviations of a binomial count
    expected, deviation = count * 0.81, (count * 0.81 * 0.19) ** 0.5
    assert abs(received - expected) <= 5 * deviation
    _, wire = benches.status("test")
    assert wire is not None
    lost = wire.to_peer.lost_segments + wire.to_dut.lost_segments
    # ARP may have lost a frame or two of its own
    assert count - received <= lost <= count - received + 10
    status = offloadbench("lab", "status")
    assert f"lost {wire.to_peer.lost_segments}," in status.stdout


def test_a_standing_bench_survives_restore_and_goes_with_down(
    bench: benches.Bench, offloadbench: Offloadbench, left: Left
) -> None:
    assert "left alone" in offloadbench("restore").stdout
    again = offloadbench("lab", "up", "--name", "test")
    assert again.returncode == 2
    assert "stands already" in again.stderr
    # what still runs on it goes with it
    background = "import subprocess as s; s.Popen(['sleep', '600'], stdout=s.DEVNULL, stderr=s.DEVNULL)"
    assert offloadbench("lab", "exec", "--name", "test", "peer", "--", "python3", "-c", background).returncode == 0
    assert "sleep" in left()
    down = offloadbench("lab", "down", "--name", "test")
    assert down.returncode == 0, down.stderr
    assert left() == []


@pytest.mark.parametrize("by", [("restore",), ("lab", "down", "--name", "test"), ("lab", "up", "--name", "test")])
def test_a_bench_whose_keeper_was_killed_is_taken_back(
    bench: benches.Bench, offloadbench: Offloadbench, left: Left, by: tuple[str, ...]
) -> None:
    os.kill(bench.keeper_pid, signal.SIGKILL)
    refused = offloadbench("lab", "exec", "--name", "test", "dut", "--", "true")
    assert refused.returncode == 3
    assert "was killed" in refused.stderr
    done = offloadbench(*by)
    assert done.returncode == 0, done.stderr
    if "up" in by:
        assert offloadbench("lab", "down", "--name", "test").returncode == 0
    assert left() == []


def test_a_keeper_that_is_told_to_end_takes_its_bench_with_it(bench: benches.Bench, left: Left) -> None:
    process = os.pidfd_open(bench.keeper_pid)
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        assert select.select([process], [], [], 30.0)[0]
    finally:
        os.close(process)
    assert left() == []
