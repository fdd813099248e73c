"""Whatever ends a run, the machine is as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from offloadbench.changes.feature_bits import FeatureBits
from offloadbench.changes.gso_segments import GsoMaxSegs
from offloadbench.engine.putting_back.journal import Journal
from offloadbench.engine.putting_back.left_behind import restore_left_behind
from offloadbench.files import run_file
from offloadbench.kernel.netdev import features, link
from offloadbench.kernel.system import netns
from tests.lab.asking import change
from tests.lab.conftest import Offloadbench

ARGUMENTS = (
    "run",
    "--nic",
    "lab-veth",
    "--workloads",
    "ftp-get",
    "--cases",
    "none,tso",
    "--duration",
    "4",
    "--warmup",
    "1",
    "--no-profile",
)
SMALL = ("--set", "file_size=16MiB")


def _start(environment: dict[str, str], output: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "offloadbench", *ARGUMENTS, *SMALL, "--output", str(output)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=environment,
    )


def _until_trial(process: subprocess.Popen[str], number: int) -> None:
    """Read progress until a trial begins; the pipe's end means the run ended first."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(f"[{number}/"):
            return
    pytest.fail("the run ended before its trial began")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_and_everything_is_put_back(
    environment: dict[str, str], tmp_path: Path, traces: Callable[[], list[str]], number: signal.Signals
) -> None:
    process = _start(environment, tmp_path / "run.json")
    _until_trial(process, 1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"interrupted by {number.name}" in errors
    assert traces() == []


def test_after_sigkill_restore_cleans_up_and_resume_goes_on(
    environment: dict[str, str], offloadbench: Offloadbench, tmp_path: Path, traces: Callable[[], list[str]]
) -> None:
    output = tmp_path / "run.json"
    process = _start(environment, output)
    _until_trial(process, 2)
    process.kill()
    process.communicate(timeout=60)
    assert len(run_file.load(output).trials) == 1
    restored = offloadbench("restore")
    assert restored.returncode == 0, restored.stderr
    assert "1 killed run cleaned up" in restored.stdout
    assert traces() == []
    resumed = offloadbench("run", "--resume", str(output))
    assert resumed.returncode == 0, resumed.stderr
    run = run_file.load(output)
    assert sorted(trial.case for trial in run.trials) == ["none", "tso"]
    assert {trial.outcome for trial in run.trials} == {"ok"}


def test_the_next_run_cleans_up_by_itself(
    environment: dict[str, str], offloadbench: Offloadbench, tmp_path: Path, traces: Callable[[], list[str]]
) -> None:
    process = _start(environment, tmp_path / "killed.json")
    _until_trial(process, 1)
    process.kill()
    process.communicate(timeout=60)
    done = offloadbench(
        "run", "--nic", "lab-veth", "--workloads", "ftp-get", "--cases", "tso", "--duration", "2", "--warmup", "0",
        *SMALL,
                        "--no-profile", "--output", str(tmp_path / "next.json"))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "a run that was killed has been cleaned up" in done.stderr
    assert traces() == []


def test_a_second_run_on_the_nic_is_refused(
    environment: dict[str, str], offloadbench: Offloadbench, tmp_path: Path
) -> None:
    process = _start(environment, tmp_path / "first.json")
    try:
        _until_trial(process, 1)
        second = offloadbench(*ARGUMENTS, "--output", str(tmp_path / "second.json"))
        assert second.returncode == 2
        assert f"in use by another run (pid {process.pid})" in second.stderr
        still = offloadbench("restore")
        assert "left alone" in still.stdout
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_restore_with_nothing_to_do(offloadbench: Offloadbench) -> None:
    done = offloadbench("restore")
    assert (done.returncode, done.stdout) == (0, "nothing to restore\n")


@pytest.fixture
def veth() -> Iterator[tuple[str, str]]:
    """A veth pair in a namespace that no run owns, with an offload that its owner had turned off."""
    namespace = f"obtest-{os.getpid()}"
    netns.create(namespace)
    try:
        with netns.entered(namespace):
            subprocess.run(["ip", "link", "add", "obt0", "type", "veth", "peer", "name", "obt1"], check=True)
            subprocess.run(["ethtool", "-K", "obt0", "gso", "off"], check=True, stdout=subprocess.DEVNULL)
        yield "obt0", namespace
    finally:
        netns.remove(namespace)


def test_wanted_bits_and_limits_return_exactly_as_found(
    veth: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ifname, namespace = veth
    monkeypatch.setenv("OFFLOADBENCH_STATE", str(tmp_path))
    before, limits = features.read(ifname, namespace), link.read(ifname, namespace).gso
    asked = {"tx-scatter-gather": False, "tx-generic-segmentation": True}
    journal = Journal("deadbeef", ifname)
    journal.make(FeatureBits.of(ifname, namespace, before, asked))
    journal.make(GsoMaxSegs(ifname=ifname, namespace=namespace, max_segs=limits.max_segs, asked=1))
    after = features.read(ifname, namespace)
    assert (before["tx-tcp-segmentation"].active, after["tx-tcp-segmentation"].active) == (True, False)
    assert features.read(ifname, namespace) != before
    # the writer is gone without closing: another process finds the journal
    told: list[str] = []
    assert restore_left_behind(told.append) == 1
    assert features.read(ifname, namespace) == before
    assert link.read(ifname, namespace).gso == limits
    assert restore_left_behind(told.append) == 0


def test_a_nic_that_is_gone_is_no_error(veth: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ifname, namespace = veth
    monkeypatch.setenv("OFFLOADBENCH_STATE", str(tmp_path))
    journal = Journal("deadbeef", ifname)
    journal.add(FeatureBits(ifname=ifname, namespace=namespace, wanted={"tx-tcp-segmentation": True}))
    with netns.entered(namespace):
        subprocess.run(["ip", "link", "del", ifname], check=True)
    told: list[str] = []
    assert restore_left_behind(told.append) == 1
    assert any("gone" in line for line in told)


def test_ethtool_agrees_with_what_we_set(veth: tuple[str, str]) -> None:
    ifname, namespace = veth
    change(ifname, {"tx-tcp-segmentation": False}, namespace)
    with netns.entered(namespace):
        shown = subprocess.check_output(["ethtool", "-k", ifname], text=True)
    assert "tx-tcp-segmentation: off" in shown
