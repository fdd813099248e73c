"""sysctls of a load host: set by a role there, and back however the run, the agent or the role ends. No traffic."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from offloadbench.base.errors import RefusedError
from offloadbench.bed.changes.peer_sysctl import PeerSysctl
from offloadbench.bed.remote import ssh
from offloadbench.bed.remote.host_sysctls import HostSysctls
from offloadbench.bed.remote.remote_bed import RemoteEnd
from offloadbench.engine.putting_back.journal import Journal
from offloadbench.engine.putting_back.left_behind import restore_left_behind
from offloadbench.kernel.system import processes
from offloadbench.roles.messages import AskSysctl, SysctlThere

NAME = "net.ipv4.tcp_fin_timeout"


class Host:
    """A namespace that plays the load host; its ssh is a script."""

    def __init__(self, folder: Path) -> None:
        self.namespace = f"ob-sysctl-{secrets.token_hex(3)}"
        subprocess.run(["ip", "netns", "add", self.namespace], check=True)
        self.script = folder / "ssh"
        self.script.write_text(
            f'#!/bin/sh\nfor last; do :; done\nexec ip netns exec {self.namespace} sh -c "exec $last"\n'
        )
        self.script.chmod(0o755)

    def value(self) -> str:
        command = ["ip", "netns", "exec", self.namespace, "sysctl", "-n", NAME]
        return subprocess.check_output(command, text=True).strip()

    def pids(self, words: str = "") -> list[int]:
        pids = map(int, subprocess.check_output(["ip", "netns", "pids", self.namespace], text=True).split())
        return [pid for pid in pids if words in Path(f"/proc/{pid}/environ").read_text()]

    def becomes(self, value: str) -> bool:
        deadline_s = time.monotonic() + 20
        while self.value() != value and time.monotonic() < deadline_s:
            time.sleep(0.05)
        return self.value() == value


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    made = Host(tmp_path)
    monkeypatch.setenv(ssh.COMMAND, str(made.script))
    (tmp_path / "state").mkdir()
    monkeypatch.setenv("OFFLOADBENCH_STATE", str(tmp_path / "state"))
    yield made
    for pid in made.pids():
        os.kill(pid, signal.SIGKILL)
    subprocess.run(["ip", "netns", "del", made.namespace], check=True)


class Bed:
    """As much of a remote bed as a role needs."""

    def __init__(self, told: Callable[[str], None], journal: Journal, values: dict[str, str]) -> None:
        self.connection = ssh.parse("ssh://loader").connect()
        self.sysctls = HostSysctls("ssh://loader", values, journal, told)
        bed: Any = self
        self.peer = RemoteEnd("load side", "192.0.2.2", "lo", bed)

    def set(self) -> None:
        self.sysctls.set_there(self.peer, lambda name: self.connection.ask(AskSysctl(name), SysctlThere).value)


def test_values_are_set_there_and_go_back_and_leave_the_journal(host: Host) -> None:
    told: list[str] = []
    before = host.value()
    journal = Journal("r1", "eth1")
    bed = Bed(told.append, journal, {NAME: "77"})
    bed.set()
    assert host.value() == "77"
    assert bed.peer.state([NAME])[f"sysctl {NAME}"] == "77"
    assert journal.changes_since(0) == [PeerSysctl(where="ssh://loader", name=NAME, value=before, set_to="77")]
    # somebody else changes it between two trials: the next begins with what was asked for
    subprocess.run(["ip", "netns", "exec", host.namespace, "sysctl", "-qw", f"{NAME}=55"], check=True)
    bed.set()
    assert host.value() == "77"
    bed.sysctls.put_back()
    assert (host.value(), told, journal.changes_since(0)) == (before, [], [])
    bed.connection.close()
    journal.close(told.append)
    assert told == []


@pytest.mark.parametrize("killed", ["agent", "everything"])
def test_values_go_back_when_the_agent_is_killed_and_restore_does_it_when_all_is(host: Host, killed: str) -> None:
    told: list[str] = []
    before = host.value()
    journal = Journal("r2", "eth1")
    bed = Bed(told.append, journal, {NAME: "77"})
    bed.set()
    first = min(host.pids())
    for pid in host.pids() if killed == "everything" else [first]:
        os.kill(pid, signal.SIGKILL)
    if killed == "agent":
        assert host.becomes(before)
    else:
        assert host.value() == "77"
    # the engine is killed too: nobody puts back in order, the lock is free
    bed.connection.close()
    assert restore_left_behind(told.append) == 1
    assert host.value() == before
    assert (f"ssh://loader: {NAME} put back to {before}" in told) == (killed == "everything")
    assert not journal.path.exists()


def test_a_reconnection_knows_what_the_host_had_before_the_run(host: Host) -> None:
    before = host.value()
    journal = Journal("r3", "eth1")
    bed = Bed(lambda _: None, journal, {NAME: "77"})
    bed.set()
    bed.connection.close()
    assert host.becomes(before)
    bed.connection = ssh.parse("ssh://loader").connect()
    bed.set()
    assert host.value() == "77"
    assert len(journal.changes_since(0)) == 1
    bed.sysctls.put_back()
    assert host.value() == before
    bed.connection.close()


def test_what_cannot_be_set_there_is_refused(host: Host) -> None:
    before = host.value()
    journal = Journal("r4", "eth1")
    for values, said in (
        ({"net.ipv4.no_such_thing": "1"}, "has no sysctl net.ipv4.no_such_thing"),
        ({NAME: "no number"}, f"sysctl {NAME} = 'no number': Invalid argument"),
    ):
        bed = Bed(lambda _: None, journal, values)
        with pytest.raises(RefusedError, match=said):
            bed.set()
        bed.sysctls.put_back()
        bed.connection.close()
    assert host.value() == before
    assert processes.MARKER not in os.environ
