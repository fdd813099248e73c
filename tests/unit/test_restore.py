"""Journals that killed runs left: taken back by another process, or left alone for a reason."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from offloadbench.base.errors import RestoreError
from offloadbench.changes.gso_segments import GsoMaxSegs
from offloadbench.changes.mounted_tracefs import MountedTracefs
from offloadbench.engine.putting_back import journal_file
from offloadbench.engine.putting_back.journal import Journal
from offloadbench.engine.putting_back.left_behind import restore_left_behind
from offloadbench.engine.putting_back.nic_lock import NicLock
from tests.conftest import CommandLine
from tests.unit.machine import NIC, Machine


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, state: Path) -> Machine:
    del state
    machine = Machine(monkeypatch)
    machine.max_segs = 1
    return machine


def _left_behind(run_id: str = "dead", nic: str = NIC, max_segs: int = 65535) -> Path:
    """A journal as a killed run leaves it."""
    journal = Journal(run_id, nic)
    journal.add(GsoMaxSegs(ifname=NIC, namespace=None, max_segs=max_segs))
    return journal.path


def test_nothing_left_behind_is_fine(machine: Machine) -> None:
    assert restore_left_behind(lambda text: None) == 0
    assert machine.log == []


def test_a_dead_runs_processes_are_ended_before_its_steps_are_taken_back(machine: Machine) -> None:
    path = _left_behind()
    told: list[str] = []
    assert restore_left_behind(told.append) == 1
    assert machine.log == ["end processes of dead", "gso_max_segs 65535"]
    assert not path.exists()
    assert any("python (pid 1)" in text for text in told)
    assert any("gso_max_segs put back to 65535" in text for text in told)


def test_steps_that_were_undone_already_are_not_undone_again(machine: Machine) -> None:
    journal = Journal("dead", NIC)
    journal.add(GsoMaxSegs(ifname=NIC, namespace=None, max_segs=65535))
    journal.undo_to(0, lambda text: None)
    machine.log.clear()
    journal.add(MountedTracefs())
    assert restore_left_behind(lambda text: None) == 1
    assert machine.log == ["end processes of dead", "umount"]


def test_a_run_that_still_holds_its_lock_is_left_alone(machine: Machine) -> None:
    path = _left_behind()
    lock = NicLock(NIC)
    told: list[str] = []
    assert restore_left_behind(told.append) == 0
    assert machine.log == []
    assert path.exists()
    assert "still at work" in told[0]
    lock.release()
    assert restore_left_behind(told.append) == 1


def test_a_run_restores_what_was_left_on_its_own_nic_whose_lock_it_holds(machine: Machine) -> None:
    own, other = _left_behind("own", NIC), _left_behind("other", "lab")
    lock = NicLock(NIC)
    assert restore_left_behind(lambda text: None, NIC) == 1
    lock.release()
    assert not own.exists()
    assert other.exists()
    assert machine.log == ["end processes of own", "gso_max_segs 65535"]


def test_after_a_restart_a_journal_is_removed_without_acting(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _left_behind()
    monkeypatch.setattr(journal_file, "boot_id", lambda: "another")
    told: list[str] = []
    assert restore_left_behind(told.append) == 1
    assert machine.log == []
    assert not path.exists()
    assert "restarted" in told[0]


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_last_line_cut_short_was_never_acted_on(machine: Machine, cut: int) -> None:
    path = _left_behind()
    last = json.dumps({"kind": "gso_max_segs", "ifname": NIC, "namespace": None, "max_segs": 77})
    with path.open("a") as stream:
        stream.write(last[:-cut])
    assert restore_left_behind(lambda text: None) == 1
    assert machine.log == ["end processes of dead", "gso_max_segs 65535"]


@pytest.mark.parametrize("text", ["", '{"run_id": "de'])
def test_a_journal_without_a_header_is_removed_since_nothing_was_changed(
    machine: Machine, state: Path, text: str
) -> None:
    path = state / "dead.journal"
    path.write_text(text)
    assert restore_left_behind(lambda told: None) == 1
    assert machine.log == []
    assert not path.exists()


def test_what_cannot_be_put_back_stays_and_does_not_hold_up_other_journals(machine: Machine) -> None:
    first = _left_behind("first")
    second = Journal("second", NIC)
    second.add(MountedTracefs())
    machine.failing["link.set_gso_max_segs"] = OSError(1, os.strerror(1))
    with pytest.raises(RestoreError) as caught:
        restore_left_behind(lambda text: None)
    assert "gso_max_segs 65535" in caught.value.hint
    assert first.exists()
    assert not second.path.exists()
    assert "umount" in machine.log


def test_a_step_of_an_unknown_kind_is_told_and_the_others_are_taken_back(machine: Machine) -> None:
    path = _left_behind()
    with path.open("a") as stream:
        stream.write(json.dumps({"kind": "from-the-future"}) + "\n")
    with pytest.raises(RestoreError, match="from-the-future"):
        restore_left_behind(lambda text: None)
    assert "gso_max_segs 65535" in machine.log


def test_the_command_says_what_it_did(machine: Machine, command_line: CommandLine) -> None:
    finished = command_line("restore")
    assert (finished.code, finished.out) == (0, "nothing to restore\n")
    _left_behind()
    finished = command_line("restore")
    assert finished.code == 0
    assert "gso_max_segs put back to 65535" in finished.out
    assert "1 killed run cleaned up" in finished.out
    assert machine.max_segs == 65535


def test_the_command_exits_with_9_and_the_commands_still_needed(machine: Machine, command_line: CommandLine) -> None:
    _left_behind()
    machine.failing["link.set_gso_max_segs"] = OSError(1, os.strerror(1))
    finished = command_line("restore")
    assert finished.code == 9
    assert f"ip link set dev {NIC} gso_max_segs 65535" in finished.err
