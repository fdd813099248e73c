"""The journal: on disk before the change, taken back in reverse, whatever fails."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from offloadbench.base.errors import HostError, RestoreError, UsageError
from offloadbench.bed.changes.peer_sysctl import PeerSysctl
from offloadbench.changes.change import Change
from offloadbench.changes.feature_bits import FeatureBits
from offloadbench.changes.gso_segments import GsoMaxSegs
from offloadbench.changes.host_route import HostRoute
from offloadbench.changes.irq_affinity import IrqAffinity
from offloadbench.changes.made_namespace import MadeNamespace
from offloadbench.changes.mounted_tracefs import MountedTracefs
from offloadbench.changes.mtu_value import MtuValue
from offloadbench.changes.reset_rule import ResetRule
from offloadbench.changes.run_folder import RunFolder
from offloadbench.changes.static_neighbour import StaticNeighbour
from offloadbench.engine.putting_back.journal import Journal
from offloadbench.engine.putting_back.left_behind import journalled
from offloadbench.engine.putting_back.nic_lock import NicLock
from offloadbench.engine.putting_back.taking_back import overwritten
from offloadbench.kernel.netdev import neighbour, route
from offloadbench.kernel.netdev.features import Feature
from tests.unit.machine import NIC, Machine

WANTED = {"tx-tcp-segmentation": True, "tx-generic-segmentation": True}
# of the run whose journals these are
SPACE = "offloadbench-r1-dut"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.fixture
def journal(state: Path, machine: Machine) -> Journal:
    del state, machine
    return Journal("r1", NIC)


def _ignore(text: str) -> None:
    del text


def _change_all(journal: Journal, machine: Machine) -> None:
    """What a trial does: each step journalled, then made."""
    machine.namespaces.add(SPACE)
    journal.add(MadeNamespace(namespace=SPACE))
    journal.add(FeatureBits(ifname=NIC, namespace=None, wanted=WANTED))
    machine._write_wanted(NIC, dict.fromkeys(WANTED, False))
    journal.add(GsoMaxSegs(ifname=NIC, namespace=None, max_segs=65535))
    machine._set_gso_max_segs(NIC, 1)
    machine.log.clear()


def test_a_step_is_on_disk_before_add_returns(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(number: int) -> None:
        assert os.fstat(number).st_ino == journal.path.stat().st_ino
        synced.append(journal.path.read_text())
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    journal.add(GsoMaxSegs(ifname=NIC, namespace=None, max_segs=65535))
    assert len(synced) == 1
    assert json.loads(synced[0].splitlines()[-1])["max_segs"] == 65535


def test_a_step_that_cannot_be_kept_is_a_host_error(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HostError, match="No space left"):
        journal.add(MountedTracefs())
    assert journal.mark == 0


def test_steps_are_taken_back_in_reverse_order(journal: Journal, machine: Machine) -> None:
    _change_all(journal, machine)
    told: list[str] = []
    journal.close(told.append)
    assert machine.log == ["gso_max_segs 65535", f"features {WANTED}", "remove offloadbench-r1-dut"]
    assert len(told) == 3
    assert not journal.path.exists()


def test_only_changes_since_the_mark_are_taken_back(journal: Journal, machine: Machine) -> None:
    machine.namespaces.add(SPACE)
    journal.add(MadeNamespace(namespace=SPACE))
    mark = journal.mark
    journal.add(GsoMaxSegs(ifname=NIC, namespace=None, max_segs=9))
    journal.undo_to(mark, _ignore)
    assert machine.log == ["gso_max_segs 9"]
    assert journal.mark == mark
    journal.close(_ignore)
    assert machine.log == ["gso_max_segs 9", "remove offloadbench-r1-dut"]


def test_what_already_is_as_it_was_is_left_alone(journal: Journal, machine: Machine) -> None:
    journal.add(FeatureBits(ifname=NIC, namespace=None, wanted=WANTED))
    journal.add(GsoMaxSegs(ifname=NIC, namespace=None, max_segs=65535))
    journal.add(MadeNamespace(namespace=f"{SPACE}-never-made"))
    journal.close(_ignore)
    assert machine.log == []


def test_a_step_that_fails_does_not_keep_the_others_from_being_tried(journal: Journal, machine: Machine) -> None:
    _change_all(journal, machine)
    machine.failing["features.write"] = OSError(5, os.strerror(5))
    with pytest.raises(RestoreError):
        journal.close(_ignore)
    assert machine.log == ["gso_max_segs 65535", "remove offloadbench-r1-dut"]
    assert journal.path.exists()


def test_a_step_that_fails_in_an_unforeseen_way_does_not_either(journal: Journal, machine: Machine) -> None:
    _change_all(journal, machine)
    del machine.features["tx-generic-segmentation"]
    with pytest.raises(RestoreError):
        journal.close(_ignore)
    assert "remove offloadbench-r1-dut" in machine.log


def test_what_could_not_be_put_back_is_told_as_commands(journal: Journal, machine: Machine) -> None:
    journal.add(RunFolder.of("r1"))
    journal.add(MountedTracefs())
    _change_all(journal, machine)
    reason = OSError(1, os.strerror(1))
    machine.failing |= dict.fromkeys(("features.write", "link.set_gso_max_segs", "netns.remove", "umount"), reason)
    with pytest.raises(RestoreError) as caught:
        journal.close(_ignore)
    assert caught.value.exit_code == 9
    commands = caught.value.hint.removeprefix("still needed: ").split(" ; ")
    assert commands == [
        f"ip link set dev {NIC} gso_max_segs 65535",
        f"ethtool -K {NIC} tx-tcp-segmentation on tx-generic-segmentation on",
        "ip netns del offloadbench-r1-dut",
        "umount /sys/kernel/tracing",
    ]


def test_a_command_for_a_namespace_is_run_inside_it(journal: Journal, machine: Machine) -> None:
    machine.namespaces.add(SPACE)
    machine.max_segs = 1
    machine.failing["link.set_gso_max_segs"] = OSError(1, os.strerror(1))
    journal.add(GsoMaxSegs(ifname=NIC, namespace=SPACE, max_segs=65535))
    with pytest.raises(RestoreError) as caught:
        journal.close(_ignore)
    assert f"ip netns exec offloadbench-r1-dut ip link set dev {NIC}" in caught.value.hint


def test_a_feature_that_does_not_go_back_is_a_restore_error(journal: Journal, machine: Machine) -> None:
    _change_all(journal, machine)
    machine.deaf = {"tx-tcp-segmentation"}
    with pytest.raises(RestoreError, match="tx-tcp-segmentation did not go back"):
        journal.close(_ignore)


def test_a_failed_undo_can_be_tried_again(journal: Journal, machine: Machine) -> None:
    _change_all(journal, machine)
    machine.failing["features.write"] = OSError(16, os.strerror(16))
    with pytest.raises(RestoreError):
        journal.undo_to(0, _ignore)
    machine.failing.clear()
    journal.close(_ignore)
    assert {name: machine.features[name].wanted for name in WANTED} == WANTED
    assert not journal.path.exists()


def test_a_nic_that_is_gone_took_its_settings_with_it(journal: Journal, machine: Machine) -> None:
    journal.add(FeatureBits(ifname=NIC, namespace=None, wanted=WANTED))
    journal.add(GsoMaxSegs(ifname=NIC, namespace="gone-too", max_segs=1))
    machine.nics.clear()
    told: list[str] = []
    journal.close(told.append)
    assert machine.log == []
    assert told == [f"{NIC} is gone, and its settings with it"] * 2


def test_a_folder_is_removed_with_what_is_in_it(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    journal.make(RunFolder.of("r1"))
    folder = tmp_path / "offloadbench-r1"
    (folder / "perf.data").write_text("x")
    journal.close(_ignore)
    assert not folder.exists()


def test_a_second_run_on_the_same_nic_is_refused_with_the_holder(state: Path) -> None:
    del state
    first = NicLock("lab")
    with pytest.raises(UsageError, match=f"pid {os.getpid()}") as caught:
        NicLock("lab")
    assert caught.value.exit_code == 2
    NicLock("lab-veth").release()
    first.release()
    NicLock("lab").release()


def test_a_state_folder_that_cannot_be_made_is_a_host_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OFFLOADBENCH_STATE", str(tmp_path / "file" / "state"))
    with pytest.raises(HostError):
        NicLock("lab")


PROBES: dict[str, Callable[[str | None], Change]] = {
    "route": lambda namespace: HostRoute(address="198.18.0.6", namespace=namespace),
    "neighbour": lambda namespace: StaticNeighbour(address="198.18.0.6", ifname=NIC, namespace=namespace),
    "rule": lambda namespace: ResetRule(address="198.51.100.1", port=80, local_port=4000, namespace=namespace),
}


@pytest.mark.parametrize("kind", PROBES)
def test_what_a_probe_adds_is_removed_where_its_namespace_still_is(
    journal: Journal, machine: Machine, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    removed: list[str | None] = []

    def remove(*arguments: object) -> bool:
        removed.append(arguments[-1])  # type: ignore[arg-type]
        return True

    monkeypatch.setattr(route, "remove_host_route", remove)
    monkeypatch.setattr(neighbour, "remove", remove)
    monkeypatch.setattr(route.SilencedTcp, "end", remove)
    machine.namespaces.add(SPACE)
    for namespace in (None, SPACE, "gone"):
        journal.add(PROBES[kind](namespace))
    told: list[str] = []
    journal.close(told.append)
    assert removed == [SPACE, None]
    assert len(told) == 2
    assert all("198.18.0.6" in text or "198.51.100.1" in text for text in told)


def test_what_could_not_be_removed_comes_with_its_command(
    journal: Journal, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    del machine

    def fail(*arguments: object) -> bool:
        raise OSError(1, os.strerror(1))

    monkeypatch.setattr(route, "remove_host_route", fail)
    monkeypatch.setattr(neighbour, "remove", fail)
    monkeypatch.setattr(route.SilencedTcp, "end", fail)
    for change in PROBES.values():
        journal.add(change(None))
    with pytest.raises(RestoreError) as raised:
        journal.close(_ignore)
    assert "ip route del 198.18.0.6" in raised.value.hint
    assert f"ip neigh del 198.18.0.6 dev {NIC}" in raised.value.hint
    assert "ip rule del priority 1 to 198.51.100.1 ipproto tcp sport 4000 dport 80 blackhole" in raised.value.hint
    assert journal.path.exists()


def test_restore_says_what_of_others_it_overwrites(journal: Journal, machine: Machine) -> None:
    wanted = {"tx-tcp-segmentation": True, "tx-generic-segmentation": True}
    journal.add(FeatureBits(ifname=NIC, namespace=None, wanted=wanted, asked={"tx-tcp-segmentation": False}))
    journal.add(GsoMaxSegs(ifname=NIC, namespace=None, max_segs=65535, asked=1))
    journal.add(MtuValue(ifname=NIC, namespace=None, mtu_bytes=1500, asked=9000))
    # what the run itself set is nothing to say
    off = Feature(active=False, wanted=False, fixed=False)
    machine.features["tx-tcp-segmentation"], machine.max_segs = off, 1
    assert overwritten(journal.changes_since(0)) == []
    machine.features["tx-generic-segmentation"], machine.max_segs, machine.mtu_bytes = off, 7, 1400
    assert overwritten(journal.changes_since(0)) == [
        f"{NIC}: tx-generic-segmentation is off, which this run did not set: it goes back to on, as it was before",
        f"{NIC}: gso_max_segs is 7, which this run did not set: it goes back to 65535, as it was before",
        f"{NIC}: MTU is 1400, which this run did not set: it goes back to 1500, as it was before",
    ]


def test_steps_of_older_journals_and_of_what_is_gone_say_nothing(journal: Journal, machine: Machine) -> None:
    machine.max_segs = 7
    journal.add(GsoMaxSegs(ifname=NIC, namespace=None, max_segs=65535))
    journal.add(GsoMaxSegs(ifname=NIC, namespace="gone", max_segs=65535, asked=1))
    journal.add(GsoMaxSegs(ifname="gone0", namespace=None, max_segs=65535, asked=1))
    assert overwritten(journal.changes_since(0)) == []


def test_a_step_that_was_seen_to_be_undone_is_forgotten_on_disk_too(journal: Journal) -> None:
    journal.add(MountedTracefs())
    journal.add(PeerSysctl(where="ssh://a", name="net.x", value="1", set_to="2"))
    journal.forget(PeerSysctl(where="ssh://a", name="net.x", value="1", set_to="2"))
    journal.forget(PeerSysctl(where="ssh://a", name="net.never", value="1", set_to="2"))
    assert journal.changes_since(0) == [MountedTracefs()]
    assert [change for found in journalled() for change in found.changes] == [MountedTracefs()]


def test_a_journal_of_many_trials_stays_small_and_names_what_stands(journal: Journal, machine: Machine) -> None:
    del machine
    bits = {f"bit-{number}": True for number in range(2000)}
    journal.add(MountedTracefs())
    sizes = []
    for _ in range(60):
        journal.add(FeatureBits(ifname="gone", namespace=None, wanted=bits))
        journal.undo_to(1, _ignore)
        sizes.append(journal.path.stat().st_size)
    assert max(sizes) < 1 << 21
    assert sum(later < earlier for earlier, later in itertools.pairwise(sizes)) >= 1
    journal.add(GsoMaxSegs(ifname=NIC, namespace=None, max_segs=65535))
    (found,) = journalled()
    assert found.changes == journal.changes_since(0)


def test_a_nic_that_somebody_has_renamed_is_put_back_by_its_new_name(journal: Journal, machine: Machine) -> None:
    _change_all(journal, machine)
    machine.nics = {"lan7"}
    told: list[str] = []
    journal.close(told.append)
    assert machine.log == ["gso_max_segs 65535", f"features {WANTED}", "remove offloadbench-r1-dut"]
    assert told[:2] == [f"{NIC} is called lan7 now", "lan7: gso_max_segs put back to 65535"]


def test_what_could_not_be_put_back_is_told_by_the_new_name(journal: Journal, machine: Machine) -> None:
    journal.add(GsoMaxSegs(ifname=NIC, namespace=None, max_segs=9))
    machine.nics = {"lan7"}
    machine.failing["link.set_gso_max_segs"] = OSError(1, os.strerror(1))
    with pytest.raises(RestoreError) as caught:
        journal.close(_ignore)
    assert caught.value.hint == "still needed: ip link set dev lan7 gso_max_segs 9"


def test_an_interrupt_that_is_gone_needs_nothing(journal: Journal) -> None:
    journal.add(IrqAffinity(irq=2**30, cpus="0-1"))
    told: list[str] = []
    journal.close(told.append)
    assert told == [f"interrupt {2**30} is gone, and its CPUs with it"]
