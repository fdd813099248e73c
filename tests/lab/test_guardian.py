"""The dead-man timer: a NIC that is needed is put back when its run dies, or when its load side falls silent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from offloadbench.kernel.netdev import features
from tests.lab.remote_host import SSHD, RemoteHost, ip

pytestmark = pytest.mark.skipif(
    not Path(SSHD).exists() and not os.environ.get("OFFLOADBENCH_REQUIRE_ALL"), reason="needs openssh-server"
)
ARGUMENTS = ["--cases", "none,csum", "--workloads", "ftp-get", "--set", "file_size=16MiB", "--set", "clients=4"]
ARGUMENTS += ["--duration", "120", "--warmup", "1", "--no-profile"]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[RemoteHost]:
    """A load host, and a machine whose default route leads over the NIC under test."""
    remote = RemoteHost(tmp_path, dut_namespace=f"ob-dut-{os.getpid()}")
    try:
        ip("-n", remote.dut_namespace, "route", "add", "default", "dev", remote.nic)
        remote.start_sshd()
        yield remote
    finally:
        remote.close()


def _begin(
    host: RemoteHost, tmp_path: Path, environment: dict[str, str], *arguments: str
) -> tuple[subprocess.Popen[bytes], Path]:
    said = tmp_path / "said"
    words = ["run", "--nic", host.nic, "--peer", host.peer, "--output", str(tmp_path / "run.json"), *ARGUMENTS]
    with said.open("wb") as stream:
        process = subprocess.Popen(
            ["ip", "netns", "exec", host.dut_namespace, sys.executable, "-m", "offloadbench", *words, *arguments],
            stderr=stream,
            stdout=subprocess.DEVNULL,
            env=environment | {"OFFLOADBENCH_SSH": host.ssh},
        )
    return process, said


def _until(what: str, holds: object, seconds: float) -> None:
    assert callable(holds)
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def _journals(environment: dict[str, str]) -> list[Path]:
    return list(Path(environment["OFFLOADBENCH_STATE"]).glob("*.journal"))


def test_a_nic_that_is_needed_is_refused(host: RemoteHost, tmp_path: Path, environment: dict[str, str]) -> None:
    process, said = _begin(host, tmp_path, environment)
    assert process.wait(60) == 2
    assert "carries the default route" in said.read_text()


@pytest.mark.parametrize("fate", ["the run is killed", "the load side falls silent"])
def test_by_force_it_comes_back_by_itself(
    host: RemoteHost, tmp_path: Path, environment: dict[str, str], fate: str
) -> None:
    before = features.read(host.nic, host.dut_namespace)
    process, said = _begin(host, tmp_path, environment, "--force")
    host.wait_for("given=json.load")
    assert "a dead-man timer puts it back" in said.read_text()
    assert features.read(host.nic, host.dut_namespace) != before
    if fate == "the run is killed":
        process.send_signal(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
    else:
        host.freeze()
        assert process.wait(90) == 130
    _until("journals are left", lambda: not _journals(environment), 60)
    assert features.read(host.nic, host.dut_namespace) == before
    _until("it did not say so", lambda: "dead-man timer: the" in said.read_text(), 10)
