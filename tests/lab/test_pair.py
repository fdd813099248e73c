"""Two real links of one machine as a bed, in a namespace of its own: what is lent comes back as it was."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from offloadbench.files import run_file


class Machine:
    """A namespace that plays a machine with two ports, `port0` and `port1`, cabled back to back."""

    def __init__(self) -> None:
        self.name = f"obtest-{secrets.token_hex(3)}"
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        for line in (
            "link set lo up",
            "link add port0 type veth peer name port1",
            "link set port0 up",
            "link set port1 up",
            "address add 192.0.2.5/24 dev port1",
            "route add 203.0.113.0/24 via 192.0.2.9 dev port1",
        ):
            subprocess.run(["ip", "-n", self.name, *line.split()], check=True)

    def call(self, *command: str) -> list[str]:
        # nsenter keeps /sys and its tracefs; `ip netns exec` would mount another
        return ["nsenter", f"--net=/run/netns/{self.name}", *command]

    def state(self) -> tuple[str, ...]:
        """Links, IPv4 addresses, routes and features, as text."""
        keys = ("ifname", "operstate", "address", "mtu", "flags")
        links = json.loads(self._said("ip", "-j", "link"))
        kept = [{key: link[key] for key in keys} for link in links]
        features = [self._said("ethtool", "-k", port) for port in ("port0", "port1")]
        return (
            json.dumps(sorted(kept, key=lambda link: str(link["ifname"]))),
            self._said("ip", "-4", "-br", "address", "show", "dev", "port0"),
            self._said("ip", "-4", "-br", "address", "show", "dev", "port1"),
            self._said("ip", "-4", "route"),
            *features,
        )

    def state_of_links(self) -> str:
        return self._said("ip", "-br", "link")

    def _said(self, *command: str) -> str:
        return subprocess.run(self.call(*command), check=True, capture_output=True, text=True).stdout

    def close(self) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=True)


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    yield made
    made.close()


def _run(machine: Machine, output: Path, *options: str) -> list[str]:
    return machine.call(
        sys.executable, "-m", "offloadbench", "run", "--nic", "port0", "--peer", "nic:port1",
        "--cases", "tso,none", "--workloads", "ftp-get", "--set", "clients=4", "--set", "files=4",
        "--set", "file_size=16MiB", "--duration", "2", "--warmup", "1", "--output", str(output), *options,
    )  # fmt: skip


def _restore(machine: Machine, environment: dict[str, str]) -> str:
    command = machine.call(sys.executable, "-m", "offloadbench", "restore")
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def test_a_pair_is_measured_and_left_as_it_was(machine: Machine, environment: dict[str, str], tmp_path: Path) -> None:
    before = machine.state()
    done = subprocess.run(_run(machine, tmp_path / "pair.json"), capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    run = run_file.load(tmp_path / "pair.json")
    assert [trial.outcome for trial in run.trials] == ["ok", "ok"]
    assert (run.bed.kind, run.bed.peer, run.nic.ifname) == ("pair", "nic:port1", "port0")
    for trial in run.trials:
        assert trial.load is not None
        assert trial.load.payload_bytes > 0
        tso = next(one for one in trial.features if one.feature == "tx-tcp-segmentation")
        assert tso.active == (trial.case == "tso")
    assert machine.state() == before


def test_a_killed_run_s_pair_is_put_back_by_restore(
    machine: Machine, environment: dict[str, str], tmp_path: Path
) -> None:
    before = machine.state()
    run = subprocess.Popen(
        _run(machine, tmp_path / "killed.json", "--no-profile"), stderr=subprocess.DEVNULL, env=environment
    )
    deadline = time.monotonic() + 60
    while "port1" in machine.state_of_links() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert "port1" not in machine.state_of_links()
    assert "port1 brought back" in _restore(machine, environment)
    assert machine.state() == before


@pytest.mark.parametrize(
    ("peer", "refusal"),
    [
        ("nic:port9", (3, "no NIC named 'port9'")),
        ("nic:port0", (2, "is the NIC under test")),
        ("tcp:port1", (2, "unknown kind of load side")),
        ("", (3, "no load side is named")),
    ],
)
def test_a_load_side_that_cannot_be_is_refused_in_one_line(
    machine: Machine, environment: dict[str, str], tmp_path: Path, peer: str, refusal: tuple[int, str]
) -> None:
    command = _run(machine, tmp_path / "refused.json")
    command[command.index("nic:port1")] = peer
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    code, words = refusal
    assert done.returncode == code
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 2
