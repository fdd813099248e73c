"""The load side on another host: an sshd in a namespace of its own, and a host that calls us."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from offloadbench.analysis.tables import trial_tables
from offloadbench.files import run_file
from offloadbench.kernel.netdev import features
from offloadbench.kernel.netdev.features import Feature
from offloadbench.kernel.system import processes
from offloadbench.model import Run
from tests.lab.conftest import Offloadbench
from tests.lab.remote_host import HOST_ADDRESS, SSHD, RemoteHost

SHORT = ("--duration", "2", "--warmup", "1", "--set", "file_size=16MiB", "--set", "clients=8")
FTP = ("--workloads", "ftp-get")
Started = tuple["subprocess.Popen[str]", list[str]]

pytestmark = pytest.mark.skipif(
    not Path(SSHD).exists() and not os.environ.get("OFFLOADBENCH_REQUIRE_ALL"), reason="needs openssh-server"
)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteHost]:
    remote = RemoteHost(tmp_path_factory.mktemp("sshd"))
    try:
        remote.start_sshd()
        yield remote
    finally:
        remote.close()


@pytest.fixture(scope="module")
def by_ssh(host: RemoteHost, environment: dict[str, str]) -> Iterator[dict[str, Feature]]:
    """The tool's ssh knows the host; yields the features of the NIC under test as they are before."""
    environment["OFFLOADBENCH_SSH"] = host.ssh
    yield features.read(host.nic)
    del environment["OFFLOADBENCH_SSH"]


@pytest.fixture
def begin(environment: dict[str, str], host: RemoteHost) -> Iterator[Callable[..., Started]]:
    """A run that goes on while the test does something to it; what it says is gathered by a thread."""
    processes: list[subprocess.Popen[str]] = []

    def start(path: Path, *arguments: str, until: str) -> Started:
        process = subprocess.Popen(
            [sys.executable, "-m", "offloadbench", "run", "--nic", host.nic, "--output", str(path), *arguments],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        processes.append(process)
        said: list[str] = []
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line.rstrip("\n"))
            if until in line:
                break
        else:
            raise AssertionError("\n".join(said))
        stream = process.stderr
        threading.Thread(target=lambda: said.extend(line.rstrip("\n") for line in stream), daemon=True).start()
        return process, said

    yield start
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(60)


@pytest.fixture(scope="module")
def remote_run(
    offloadbench: Offloadbench, host: RemoteHost, by_ssh: dict[str, Feature], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """E1's cases over ssh."""
    del by_ssh
    path = tmp_path_factory.mktemp("remote") / "remote.json"
    done = offloadbench(
        "run", "--nic", host.nic, "--peer", host.peer, "--cases", "paper", *FTP, *SHORT, "--output", str(path)
    )
    assert done.returncode == 0, done.stderr
    return run_file.load(path)


def _left(run_id: str, environment: dict[str, str]) -> list[str]:
    """What a run has left on this machine."""
    journals = Path(environment["OFFLOADBENCH_STATE"]).glob("*.journal")
    return [*map(str, journals), *map(processes.name, processes.of_run(run_id))]


def test_the_cases_are_measured_and_proven(remote_run: Run) -> None:
    rows = trial_tables.trials([remote_run])
    assert set(rows["outcome"]) == {"ok"}
    assert rows["toggle_proven"].all()
    assert set(rows["case"]) == {"tso", "csum", "none"}
    for trial in remote_run.trials:
        assert trial.load is not None
        assert trial.load.bytes_sent == trial.load.bytes_received > 0


def test_both_ends_and_their_clocks_are_recorded(remote_run: Run, host: RemoteHost) -> None:
    bed = remote_run.bed
    assert (bed.kind, bed.peer) == ("remote", host.peer)
    assert bed.dut_cpus == sorted(os.sched_getaffinity(0))
    assert bed.settings["load_host"]["kernel"] == os.uname().release
    assert bed.settings["load_nic"]["driver"] == "veth"
    # both hosts are this machine, so the true offset is zero
    assert abs(bed.settings["clock_offset_s"]) <= bed.settings["clock_uncertainty_s"] < 0.1
    for trial in remote_run.trials:
        assert trial.peer is not None
        assert trial.samples is not None
        assert trial.peer.clock_offset_s is not None
        assert trial.peer.clock_uncertainty_s is not None
        assert abs(trial.peer.clock_offset_s) <= trial.peer.clock_uncertainty_s
        assert trial.peer.interval_s == pytest.approx(trial.window_s, abs=0.5)
        assert 0 < trial.peer.cpu_busy_s <= 1.1 * trial.peer.cpus * trial.peer.interval_s


def test_nothing_is_left_at_either_end(
    remote_run: Run, host: RemoteHost, by_ssh: dict[str, Feature], environment: dict[str, str]
) -> None:
    assert _left(remote_run.run_id, environment) == []
    assert host.quiet_within(5)
    assert features.read(host.nic) == by_ssh


@pytest.mark.usefixtures("by_ssh")
def test_iscsi_writes_to_a_target_that_the_load_host_keeps(
    offloadbench: Offloadbench, host: RemoteHost, tmp_path: Path
) -> None:
    path = tmp_path / "iscsi.json"
    done = offloadbench(
        "run", "--nic", host.nic, "--peer", host.peer, "--cases", "tso", "--workloads", "iscsi-write,tcp-stream",
        "--duration", "2", "--warmup", "1", "--no-profile", "--output", str(path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [trial.outcome for trial in run_file.load(path).trials] == ["ok", "ok"]
    assert host.quiet_within(5)


def test_a_load_host_killed_in_the_middle_fails_one_trial_and_the_others_go_on(
    begin: Callable[..., Started], host: RemoteHost, by_ssh: dict[str, Feature], tmp_path: Path,
    environment: dict[str, str],
) -> None:  # fmt: skip
    path = tmp_path / "killed.json"
    process, said = begin(
        path, "--peer", host.peer, "--cases", "paper", *FTP, *SHORT, "--no-profile", "--warmup", "5", until="[2/3]"
    )
    # the agent, and the clients that it has started
    host.wait_for("given=json.load")
    assert host.kill() > 1
    assert process.wait(120) == 5, said
    reasons = [trial.reason for trial in run_file.load(path).trials]
    assert [trial.outcome for trial in run_file.load(path).trials] == ["ok", "failed", "ok"]
    assert host.peer in reasons[1]
    assert _left(run_file.load(path).run_id, environment) == []
    assert host.quiet_within(5)
    assert features.read(host.nic) == by_ssh


def test_a_run_killed_here_leaves_nothing_at_the_load_host(
    begin: Callable[..., Started], host: RemoteHost, by_ssh: dict[str, Feature], offloadbench: Offloadbench,
    tmp_path: Path,
) -> None:  # fmt: skip
    process, _ = begin(
        tmp_path / "dead.json", "--peer", host.peer, "--cases", "none", *FTP, *SHORT, "--duration", "60", until="[1/1]"
    )
    process.kill()
    process.wait(10)
    assert offloadbench("restore").returncode == 0
    assert host.quiet_within(10)
    assert features.read(host.nic) == by_ssh


def test_who_waits_prints_the_line_that_the_load_host_starts(
    begin: Callable[..., Started], host: RemoteHost, by_ssh: dict[str, Feature], tmp_path: Path
) -> None:
    path = tmp_path / "wait.json"
    process, said = begin(path, "--peer", "wait:7979", "--cases", "tso", *FTP, *SHORT, "--no-profile", until="echo ")
    line = said[-1]
    assert re.fullmatch(r"echo \S+ \| python3 -I -c '.*'", line)
    # another line, with a token of somebody else's, is turned away
    stranger = host.start(["sh", "-c", line.replace("echo ", "echo x", 1)])
    assert stranger.wait(60) is not None
    assert process.poll() is None
    agent = host.start(["sh", "-c", line])
    assert process.wait(120) == 0, said
    assert any("called, but does not know the line" in one for one in said)
    assert agent.wait(10) is not None
    assert [trial.outcome for trial in run_file.load(path).trials] == ["ok"]
    assert features.read(host.nic) == by_ssh


def test_the_other_host_can_be_the_one_that_is_tested(
    offloadbench: Offloadbench, host: RemoteHost, by_ssh: dict[str, Feature], tmp_path: Path
) -> None:
    del by_ssh
    before = features.read(host.peer_nic, host.namespace)
    path = tmp_path / "there.json"
    dut = f"{host.peer}?python={sys.executable}"
    done = offloadbench(
        "run", "--dut", dut, "--nic", host.peer_nic, "--cases", "none", *FTP, *SHORT, "--no-profile",
        "--output", str(path), "--overwrite", "--force",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # the only way there is the link under test
    assert "a dead-man timer" in done.stderr
    assert f"result: {path}" in done.stdout
    run = run_file.load(path)
    assert run.nic.ifname == host.peer_nic
    assert [trial.outcome for trial in run.trials] == ["ok"]
    assert run.trials[0].load is not None
    assert run.trials[0].load.bytes_sent == run.trials[0].load.bytes_received > 0
    assert features.read(host.peer_nic, host.namespace) == before
    assert host.quiet_within(10)


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        (f"ssh://nobody-here@{HOST_ADDRESS}:2222", (3, "Permission denied")),
        (f"ssh://root@{HOST_ADDRESS}:2223", (3, "Connection refused")),
        (f"ssh://root@{HOST_ADDRESS}:2222?nic=eth77", (3, "has no address on a NIC eth77")),
        (f"ssh://root@{HOST_ADDRESS}:2222?python=/usr/bin/python9", (3, "python9")),
        (f"ssh://root@{HOST_ADDRESS}:2222?nic", (2, "write 'ssh:")),
        ("ssh://", (2, "write 'ssh:")),
        ("wait:port", (2, "write --peer wait")),
        ("carrier-pigeon", (2, "unknown kind of load side")),
    ],
    # alike in every process
    ids=["user", "port", "nic", "python", "option", "empty", "call", "kind"],
)
@pytest.mark.usefixtures("by_ssh")
def test_a_load_host_that_cannot_be_used_is_told_in_one_line(
    offloadbench: Offloadbench, host: RemoteHost, tmp_path: Path, peer: str, expected: tuple[int, str]
) -> None:
    done = offloadbench(
        "run",
        "--nic",
        host.nic,
        "--peer",
        peer,
        "--cases",
        "tso",
        *FTP,
        "--no-profile",
        "--output",
        str(tmp_path / "x"),
    )
    assert done.returncode == expected[0]
    assert expected[1] in done.stderr
    # a test process has served files of its own, which the first run there makes
    assert len([line for line in done.stderr.splitlines() if not line.startswith("making ")]) <= 3


def _set_on_both(host: RemoteHost, name: str) -> tuple[str, str]:
    here = Path("/proc/sys", *name.split(".")).read_text().strip()
    return here, host.output(["sysctl", "-n", name]).strip()


@pytest.mark.usefixtures("by_ssh")
@pytest.mark.parametrize("end", ["in order", "killed"])
def test_a_sysctl_is_set_on_both_ends_and_goes_back_on_both(
    begin: Callable[..., Started], host: RemoteHost, offloadbench: Offloadbench, tmp_path: Path, end: str
) -> None:
    name = "net.ipv4.tcp_fin_timeout"
    before = _set_on_both(host, name)
    path = tmp_path / "run.json"
    words = ["--peer", host.peer, "--cases", "tso", *FTP, "--duration", "3", "--warmup", "1", "--no-profile"]
    process, _ = begin(path, *words, "--sysctl", f"{name}=77", until="tso")
    deadline_s = time.monotonic() + 60
    while _set_on_both(host, name) != ("77", "77"):
        assert time.monotonic() < deadline_s, _set_on_both(host, name)
        time.sleep(0.1)
    if end == "killed":
        process.kill()
        process.wait()
        assert offloadbench("restore").returncode == 0
        deadline_s = time.monotonic() + 20
        while _set_on_both(host, name) != before and time.monotonic() < deadline_s:
            time.sleep(0.1)
    else:
        assert process.wait(120) == 0
        run = run_file.load(path)
        assert run.bed.settings["sysctls"] == {name: "77"}
        assert [trial.outcome for trial in run.trials] == ["ok"]
    assert _set_on_both(host, name) == before
    assert offloadbench("restore").stdout.strip() == "nothing to restore"
