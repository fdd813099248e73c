"""Load from four hosts through Dask: the same load as from one host, and what becomes of it when a host is lost."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from offloadbench.files import run_file
from offloadbench.kernel.netdev import features
from offloadbench.model import Load, Trial
from tests.lab import fleet
from tests.lab.fleet import SCHEDULER, Cluster

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None and not os.environ.get("OFFLOADBENCH_REQUIRE_ALL"),
    reason="needs the extra [fleet]",
)

CLIENTS, WORKERS = 8, 4
RATE_BITS_PER_S = 100e6
SHORT = ("--cases", "tso", "--workloads", "ftp-get", "--warmup", "2", "--no-profile")
SMALL = ("--set", "file_size=4MiB", "--set", f"clients={CLIENTS}")
Begin = Callable[..., tuple["subprocess.Popen[str]", list[str]]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four workers behind a link whose rate, not this machine's CPUs, is the limit."""
    hosts = Cluster(tmp_path_factory.mktemp("fleet"), WORKERS)
    try:
        rate = ["rate", f"{RATE_BITS_PER_S:.0f}bit", "burst", "64kb", "latency", "30ms"]
        subprocess.run(["tc", "qdisc", "add", "dev", hosts.nic, "root", "tbf", *rate], check=True)
        hosts.wait_for_workers(WORKERS)
        yield hosts
    finally:
        hosts.close()


@pytest.fixture
def begin(environment: dict[str, str], cluster: Cluster) -> Iterator[Begin]:
    """A run that goes on while the test does something to it; its words are gathered by a thread."""
    processes: list[subprocess.Popen[str]] = []

    def start(path: Path, *arguments: str) -> tuple[subprocess.Popen[str], list[str]]:
        words = ["run", "--nic", cluster.nic, "--output", str(path), *SHORT, *SMALL, *arguments]
        process = subprocess.Popen(
            [sys.executable, "-m", "offloadbench", *words], stderr=subprocess.PIPE, text=True, env=environment
        )
        processes.append(process)
        said: list[str] = []
        stream = process.stderr
        assert stream is not None
        threading.Thread(target=lambda: said.extend(line.rstrip("\n") for line in stream), daemon=True).start()
        return process, said

    yield start
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(60)


def _only_trial(path: Path) -> Trial:
    (trial,) = run_file.load(path).trials
    return trial


def _load(trial: Trial) -> Load:
    assert trial.outcome == "ok", trial.reason
    assert trial.load is not None
    return trial.load


def _goodput(load: Load) -> float:
    return load.payload_bytes * 8 / load.interval_s


@pytest.mark.quiet
def test_four_hosts_bring_the_load_that_one_brings(begin: Begin, cluster: Cluster, tmp_path: Path) -> None:
    process, said = begin(tmp_path / "four.json", "--fleet", SCHEDULER, "--duration", "3")
    assert process.wait(120) == 0, "\n".join(said)
    process, said = begin(tmp_path / "one.json", "--peer", "wait", "--duration", "3")
    cluster.call_back(process, said)
    assert process.wait(120) == 0, "\n".join(said)
    four, one = _load(_only_trial(tmp_path / "four.json")), _load(_only_trial(tmp_path / "one.json"))
    assert four.clients == one.clients == CLIENTS
    for load in (four, one):
        assert load.bytes_sent == load.bytes_received > load.payload_bytes > 0
        # RFC 793: 40 of 1500 bytes are headers, 12 more are TCP's timestamps, 14 are Ethernet's
        assert _goodput(load) == pytest.approx(RATE_BITS_PER_S * 1448 / 1514, rel=0.05)
    assert _goodput(four) == pytest.approx(_goodput(one), rel=0.05)


def test_every_worker_has_its_share_and_both_ends_are_recorded(begin: Begin, cluster: Cluster, tmp_path: Path) -> None:
    process, said = begin(tmp_path / "run.json", "--fleet", SCHEDULER, "--duration", "3")
    cluster.wait_for_roles(WORKERS)
    assert process.wait(120) == 0, "\n".join(said)
    run = run_file.load(tmp_path / "run.json")
    assert (run.bed.kind, run.bed.peer) == ("fleet", f"fleet:{SCHEDULER}")
    assert len(run.bed.settings["workers"]) == WORKERS
    (trial,) = run.trials
    assert trial.peer is not None
    assert trial.peer.cpus == WORKERS * (os.cpu_count() or 0)
    assert trial.peer.cpu_busy_s > 0
    cluster.wait_for_roles(0)


def test_a_worker_killed_on_the_way_fails_the_trial(begin: Begin, cluster: Cluster, tmp_path: Path) -> None:
    before = features.read(cluster.nic)
    process, said = begin(tmp_path / "fail.json", "--fleet", SCHEDULER, "--duration", "4")
    cluster.wait_for_traffic()
    cluster.lose_worker()
    try:
        assert process.wait(120) == 5, "\n".join(said)
        trial = _only_trial(tmp_path / "fail.json")
        assert trial.outcome == "failed"
        assert fleet.LAST_ADDRESS in trial.reason
        cluster.wait_for_roles(0)
        assert features.read(cluster.nic) == before
    finally:
        cluster.return_worker()


def test_or_the_trial_goes_on_with_the_others(begin: Begin, cluster: Cluster, tmp_path: Path) -> None:
    process, said = begin(
        tmp_path / "shrink.json", "--fleet", SCHEDULER, "--on-lost-worker", "shrink", "--duration", "4"
    )
    cluster.wait_for_traffic()
    cluster.lose_worker()
    try:
        assert process.wait(120) == 0, "\n".join(said)
        trial = _only_trial(tmp_path / "shrink.json")
        load = _load(trial)
        assert any(fleet.LAST_ADDRESS in text and "was lost with its 2 clients" in text for text in trial.warnings)
        assert load.bytes_sent >= load.bytes_received > 0
        cluster.wait_for_roles(0)
    finally:
        cluster.return_worker()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--fleet", f"tcp://{fleet.NETWORK}.100:9"), 3, "--fleet tcp://"),
        (("--fleet", "pigeon"), 3, "--fleet pigeon"),
        (("--fleet", SCHEDULER, "--workloads", "ftp-get,tcp-stream"), 2, "--workloads ftp-get"),
        (("--fleet", SCHEDULER, "--peer", "wait"), 2, "leave one of them out"),
    ],
    # alike in every process
    ids=["nobody there", "no address", "other traffic", "two load sides"],
)
def test_a_fleet_that_cannot_be_used_is_told(
    begin: Begin, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    process, said = begin(tmp_path / "x.json", *arguments)
    assert process.wait(120) == code
    assert says in "\n".join(said)
