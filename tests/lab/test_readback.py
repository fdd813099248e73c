"""Whoever changes the NIC beside a running trial makes it fail, with what was changed from what to what."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from offloadbench.engine import run as engine
from offloadbench.engine.events import Event, Phase, Sampled
from offloadbench.engine.options import Options
from offloadbench.kernel import device_state
from offloadbench.kernel.link_events import LinkEvents
from tests.unit.test_isolation import TRAPS

# by whom, what is done when the first second has been sampled, how it is undone, and what the reason must say
DISTURBANCES: list[tuple[str, str, str, list[str]]] = [
    ("dut", "ethtool -K {nic} tso off tx off", "ethtool -K {nic} tx on tso on", ["tx-tcp-segmentation on -> off"]),
    ("dut", "ethtool -K {nic} tso off; ethtool -K {nic} tso on", "true", ["features changed, and changed back"]),
    ("dut", "ip link set {nic} mtu 1400", "ip link set {nic} mtu 1500", ["MTU 1500 -> 1400"]),
    ("dut", "ip link set {nic} mtu 1400; ip link set {nic} mtu 1500", "true", ["MTU 1500 -> 1400 -> 1500"]),
    ("dut", "ip link set {nic} gso_max_segs 7", "ip link set {nic} gso_max_segs 65535", ["gso_max_segs 65535 -> 7"]),
    ("dut", "ip link set {nic} gso_max_size 9000", "ip link set {nic} gso_max_size 65536", ["gso_max_size "]),
    ("dut", "ip link set {nic} down; ip link set {nic} up", "true", ["link up -> down -> up"]),
    ("dut", "tc qdisc replace dev {nic} root pfifo", "tc qdisc del dev {nic} root", ["qdisc "]),
    ("dut", "sysctl -qw net.ipv4.tcp_sack=1", "sysctl -qw net.ipv4.tcp_sack=0", ["sysctl net.ipv4.tcp_sack 0 -> 1"]),
    ("peer", "sysctl -qw net.ipv4.tcp_sack=1", "sysctl -qw net.ipv4.tcp_sack=0", ["load side: sysctl "]),
    ("peer", "ethtool -K {nic} gro off", "ethtool -K {nic} gro on", ["load side: rx-gro on -> off"]),
    ("peer", "ip link set {nic} mtu 1400", "ip link set {nic} mtu 1500", ["load side: MTU 1500 -> 1400"]),
]  # fmt: skip


class Somebody:
    """Acts in the namespaces of a run: one disturbance a trial, none in the first and the last."""

    def __init__(self) -> None:
        self.trial = -1
        self.acted = False

    def hear(self, event: Event) -> None:
        if isinstance(event, Phase) and event.name == "preparing":
            if 0 < self.trial <= len(DISTURBANCES):
                self._act(self.trial, 2)
            self.trial, self.acted = self.trial + 1, False
        if isinstance(event, Sampled) and not self.acted and 0 < self.trial <= len(DISTURBANCES):
            self.acted = True
            self._act(self.trial, 1)

    def _act(self, number: int, what: int) -> None:
        end = DISTURBANCES[number - 1][0]
        namespaces = subprocess.check_output(["ip", "netns", "list"], text=True).split()
        namespace = next(name for name in namespaces if name.startswith("offloadbench-") and name.endswith(f"-{end}"))
        links = subprocess.check_output(["ip", "-n", namespace, "-br", "link"], text=True).splitlines()
        nic = next(line.split()[0].partition("@")[0] for line in links if not line.startswith("lo "))
        words = str(DISTURBANCES[number - 1][what]).format(nic=nic)
        subprocess.run(["ip", "netns", "exec", namespace, "sh", "-c", words], check=True)


@pytest.mark.parametrize("nic", ["lab-veth", "lab"])
def test_what_somebody_else_changes_in_the_window_fails_that_trial(
    nic: str, tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFLOADBENCH_STATE", environment["OFFLOADBENCH_STATE"])
    options = Options(
        nic=nic, cases="tso", workloads=["tcp-stream"], output=tmp_path / "run.json", duration_s=2, warmup_s=1.0,
        repeats=len(DISTURBANCES) + 2, profile=False, sysctls={"net.ipv4.tcp_sack": "0"},
        line_rate_bits_per_s=200_000_000,
    )  # fmt: skip
    trials = engine.execute(options, Somebody().hear).trials
    assert len(trials) == len(DISTURBANCES) + 2
    for quiet in (trials[0], trials[-1]):
        assert (quiet.outcome, quiet.reason) == ("ok", "")
        assert not [text for text in quiet.warnings if "this run did not set" in text]
    wrong = [
        (words, trial.outcome, trial.reason)
        for (_, words, _, told), trial in zip(DISTURBANCES, trials[1:-1], strict=True)
        if trial.outcome != "failed" or not all(text in trial.reason for text in told)
    ]
    assert wrong == []
    # what was captured is kept, and what is overwritten is said
    assert all(trial.samples is not None for trial in trials)
    assert "tx-tcp-segmentation is off, which this run did not set: it goes back to on" in " ".join(trials[1].warnings)


def test_nothing_of_the_current_folder_is_run(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "traps"
    folder.mkdir()
    for name in TRAPS:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'run')!r}, 'a').write({name!r} + ' ')\n")
    words = ["run", "--nic", "lab-veth", "--cases", "tso", "--workloads", "ftp-get,iscsi-write,tcp-stream"]
    words += [
        "--set",
        "clients=4",
        "--set",
        "file_size=16MiB",
        "--duration",
        "2",
        "--warmup",
        "1",
        "--output",
        "run.json",
    ]
    script = Path(sys.executable).with_name("offloadbench")
    done = subprocess.run([script, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert not (tmp_path / "run").exists(), (tmp_path / "run").read_text()
    assert done.returncode == 0, done.stderr
    for words in (["lab", "up", "--name", "traps"], ["lab", "down", "--name", "traps"]):
        subprocess.run([script, *words], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    assert not (tmp_path / "run").exists(), (tmp_path / "run").read_text()


def test_reading_back_costs_milliseconds(tmp_path: Path) -> None:
    del tmp_path
    began_s = os.times()
    events = LinkEvents(None)
    for _ in range(20):
        device_state.read("lo")
        events.take()
    events.close()
    ended_s = os.times()
    cpu_s = ended_s.user + ended_s.system - began_s.user - began_s.system
    # a read, of which a trial makes six, is 6 ms of CPU; this machine's clock changes by two
    assert cpu_s / 20 < 0.05
