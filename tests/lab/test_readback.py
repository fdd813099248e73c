"""Whoever changes the NIC beside a running trial makes it fail, with what was changed from what to what."""

from __future__ import annotations

import dataclasses
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from offloadbench.bed.local import LocalEnd
from offloadbench.bed.testbed import Cable
from offloadbench.engine.options import RunOptions
from offloadbench.engine.run import execute as engine
from offloadbench.engine.run.offloads import Applied
from offloadbench.engine.run.readback import ReadBack
from offloadbench.kernel.netdev import features, link
from offloadbench.kernel.system import netns
from offloadbench.model import EmulatedLink
from tests.lab.somebody import Act, Somebody
from tests.unit.test_isolation import TRAPS

# by whom, what is done when the first second has been sampled, and what the reason must say; the testbed is built
# again before every block, so nothing is left of it for the next trial
DISTURBANCES: list[tuple[str, str, list[str]]] = [
    ("dut", "ethtool -K {nic} tso off tx off", ["tx-tcp-segmentation on -> off"]),
    (
        "dut",
        "ethtool -K {nic} tx-tcp6-segmentation off; ethtool -K {nic} tx-tcp6-segmentation on",
        ["features changed, and changed back"],
    ),
    ("dut", "ip link set {nic} mtu 1400", ["MTU 1500 -> 1400"]),
    ("dut", "ip link set {nic} mtu 1400; ip link set {nic} mtu 1500", ["MTU 1500 -> 1400 -> 1500"]),
    ("dut", "ip link set {nic} gso_max_segs 7", ["gso_max_segs 65535 -> 7"]),
    ("dut", "ip link set {nic} gso_max_size 9000", ["gso_max_size "]),
    ("dut", "ip link set {nic} down; ip link set {nic} up", ["link up -> down -> up"]),
    ("dut", "tc qdisc replace dev {nic} root bfifo", ["qdisc "]),
    ("dut", "sysctl -qw net.ipv4.tcp_sack=1", ["sysctl net.ipv4.tcp_sack 0 -> 1"]),
    ("peer", "sysctl -qw net.ipv4.tcp_sack=1", ["load side: sysctl "]),
    ("peer", "ethtool -K {nic} tso off", ["load side: ", "tx-tcp-segmentation on -> off"]),
    ("peer", "ip link set {nic} mtu 1400", ["load side: MTU 1500 -> 1400"]),
]


def _running(words: str) -> Act:
    """What runs these words of a shell in the namespace."""

    def act(namespace: str, nic: str) -> None:
        subprocess.run(["ip", "netns", "exec", namespace, "sh", "-c", words.format(nic=nic)], check=True)

    return act


_HALF = len(DISTURBANCES) // 2


@pytest.mark.parametrize(
    "disturbances", [DISTURBANCES[:_HALF], DISTURBANCES[_HALF:]], ids=["first half", "second half"]
)
@pytest.mark.parametrize("nic", ["lab-veth", "lab"])
def test_what_somebody_else_changes_in_the_window_fails_that_trial(
    nic: str,
    disturbances: list[tuple[str, str, list[str]]],
    tmp_path: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OFFLOADBENCH_STATE", environment["OFFLOADBENCH_STATE"])
    link_wanted = EmulatedLink(line_rate_bits_per_s=200_000_000) if nic == "lab" else EmulatedLink()
    options = RunOptions(
        nic=nic, cases="tso", workloads=["tcp-stream"], output=tmp_path / "run.json", duration_s=2, warmup_s=1.0,
        repeats=len(disturbances) + 2, profile=False, sysctls={"net.ipv4.tcp_sack": "0"}, link=link_wanted,
    )  # fmt: skip
    trials = engine.execute(options, Somebody([(end, _running(words)) for end, words, _ in disturbances]).hear).trials
    assert len(trials) == len(disturbances) + 2
    for quiet in (trials[0], trials[-1]):
        assert (quiet.outcome, quiet.reason) == ("ok", "")
        assert not [text for text in quiet.warnings if "this run did not set" in text]
    wrong = [
        (words, trial.outcome, trial.reason)
        for (_, words, told), trial in zip(disturbances, trials[1:-1], strict=True)
        if trial.outcome != "failed" or not all(text in trial.reason for text in told)
    ]
    assert wrong == []
    # what was captured is kept, and what is overwritten is said
    assert all(trial.samples is not None for trial in trials)
    if disturbances[0] == DISTURBANCES[0]:
        told = " ".join(trials[1].warnings)
        assert "tx-tcp-segmentation is off, which this run did not set: it goes back to on" in told


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


@dataclasses.dataclass
class Idle:
    """As much of a testbed as is read back: two ends of a veth pair, and nothing that sends."""

    dut: LocalEnd
    peer: LocalEnd
    cable: Cable


@pytest.fixture
def idle() -> Iterator[Idle]:
    mark = secrets.token_hex(3)
    ends = {name: f"ob-rb-{mark}-{name}" for name in ("dut", "peer")}
    for namespace in ends.values():
        subprocess.run(["ip", "netns", "add", namespace], check=True)
    try:
        link.create_veth("obd", ends["dut"], "obp", ends["peer"])
        for number, (end, ifname) in enumerate((("dut", "obd"), ("peer", "obp")), 1):
            link.configure(ifname, f"198.18.0.{number}", 30, ends[end])
        yield Idle(
            LocalEnd("device under test", "198.18.0.1", "obd", ends["dut"], frozenset({0})),
            LocalEnd("load side", "198.18.0.2", "obp", ends["peer"], frozenset({0})),
            Cable(sysctls={"net.ipv4.tcp_sack": "1"}),
        )
    finally:
        for namespace in ends.values():
            subprocess.run(["ip", "netns", "del", namespace], check=True)


def _held(idle: Idle) -> ReadBack:
    limits = link.read("obd", idle.dut.namespace).gso
    applied = Applied(
        gso_max_segs=limits.max_segs,
        gso_max_size_bytes=limits.max_size_bytes,
        after={"obd": features.read("obd", idle.dut.namespace)},
    )
    bed: Any = idle
    return ReadBack(bed, applied)


@pytest.mark.parametrize("number", range(len(DISTURBANCES)))
def test_each_change_is_seen_by_itself(number: int, idle: Idle) -> None:
    end, words, told = DISTURBANCES[number]
    if "tcp_sack" in words:
        words, told = words.replace("=1", "=0"), [text.replace("0 -> 1", "1 -> 0") for text in told]
    where = idle.dut if end == "dut" else idle.peer
    held = _held(idle)
    held.open()
    subprocess.run(
        ["ip", "netns", "exec", str(where.namespace), "sh", "-c", words.format(nic=where.ifname)], check=True
    )
    found = "; ".join(held.changes())
    held.close()
    assert [text for text in told if text not in found] == [], found


def test_what_happens_before_the_window_opens_and_is_undone_is_no_change(idle: Idle) -> None:
    held = _held(idle)
    for words in ("link set obd down", "link set obd up"):
        subprocess.run(["ip", "-n", str(idle.dut.namespace), *words.split()], check=True)
    link.wait_for_carrier("obd", idle.dut.namespace, 5.0)
    held.open()
    assert held.changes() == []
    held.close()


@pytest.mark.parametrize(
    ("commands", "told"),
    [
        (["link del obd"], "obd: removed, or moved to another namespace"),
        (["link set obd down", "link set obd name moved0"], "obd: renamed to moved0"),
        (["link set obp down", "link set obp name moved0"], "load side: renamed to moved0"),
        (
            ["link set obd down", "link set obd name moved0", "link set moved0 name obd", "link set obd up"],
            "name obd -> moved0 -> obd",
        ),
        (
            ["link set obd down", "link set obd name moved0", "link add obd type veth peer name obx"],
            "obd: another device has its name, since it was removed and made anew, or renamed (interface index ",
        ),
    ],
)
def test_a_nic_that_is_removed_or_renamed_in_the_window_is_told(idle: Idle, commands: list[str], told: str) -> None:
    held = _held(idle)
    held.open()
    for words in commands:
        end = idle.peer if "obp" in words else idle.dut
        subprocess.run(["ip", "-n", str(end.namespace), *words.split()], check=True)
    assert told in "; ".join(held.changes())
    held.close()


def test_a_nic_of_another_host_is_not_taken_for_one_of_this_machine(idle: Idle) -> None:
    class Elsewhere(LocalEnd):
        def state(self, sysctls: object) -> dict[str, str | int]:
            del sysctls
            return {"MTU": 1500, "link": "up", "operational state": "UP"}

    with netns.entered(idle.dut.namespace):
        idle.dut = dataclasses.replace(idle.dut, namespace=None)
        idle.peer = Elsewhere("load side", "198.18.0.2", "eth9", None, frozenset({0}))
        subprocess.run(["ip", "link", "add", "eth9", "type", "veth", "peer", "name", "eth8"], check=True)
        held = _held(idle)
        held.open()
        for mtu in ("1400", "1500"):
            subprocess.run(["ip", "link", "set", "eth9", "mtu", mtu], check=True)
        assert held.changes() == []
        held.close()


@pytest.mark.quiet
def test_reading_back_costs_milliseconds(idle: Idle) -> None:
    began_s = os.times()
    for _ in range(10):
        held = _held(idle)
        held.open()
        assert held.changes() == []
        held.close()
    ended_s = os.times()
    cpu_s = (ended_s.user + ended_s.system - began_s.user - began_s.system) / 10
    print(f"{cpu_s * 1e3:.1f} ms of CPU a trial")
    # seen: 30 ms; the clock of a shared machine changes by two and more
    assert cpu_s < 0.2
