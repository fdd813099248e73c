"""Journals that runs left: the machine is put back by another process, under the lock of the run that is gone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from offloadbench.base.errors import HostError, RestoreError, UsageError
from offloadbench.changes.change import Change, Tell
from offloadbench.changes.run_processes import RunProcesses
from offloadbench.engine.putting_back import found_journal, journal_file
from offloadbench.engine.putting_back.change_kinds import kind_of
from offloadbench.engine.putting_back.found_journal import FoundJournal, JournalEntry, JournalError
from offloadbench.engine.putting_back.nic_lock import NicLock, state_folder
from offloadbench.engine.putting_back.taking_back import Leftovers, overwritten, take_back


def _paths() -> list[Path]:
    return sorted(state_folder().glob("*.journal"))


def journalled() -> list[FoundJournal]:
    """Every journal that can be read, of runs at work as well as of dead ones."""
    found = []
    for path in _paths():
        with contextlib.suppress(JournalError, FileNotFoundError):
            found.append(found_journal.read(path))
    return [one for one in found if one is not None]


def restore_kept(path: Path, tell: Tell) -> bool:
    """Take back a journal that was meant to stand (`Journal.keep`), whose lock the caller holds.

    Returns:
        Whether there was one.

    Raises:
        RestoreError: something could not be put back; the journal stays.
    """
    try:
        found = found_journal.read(path)
    except FileNotFoundError:
        return False
    except JournalError as error:
        raise RestoreError(error.reason, error.remedy) from error
    if found is None:
        path.unlink(missing_ok=True)
    else:
        _take_back(found, tell).check()
    return True


def restore_left_behind(tell: Tell, nic_name: str | None = None) -> int:
    """Put the machine back after killed runs: end their processes, take back their changes, remove their journals.

    Args:
        nic_name: only journals of this NIC, whose lock the caller holds; None: all whose run is dead.

    Returns:
        Number of journals dealt with.

    Raises:
        RestoreError: something could not be put back; its journal stays, and holds what is left to do.
    """
    left = Leftovers()
    done = 0
    for path in _paths():
        try:
            dealt_with = _restore_one(path, tell, nic_name, left)
        # by its own run, or by another that restores
        except FileNotFoundError:
            continue
        except JournalError as error:
            if nic_name in (None, error.nic):
                left.add(error.reason, error.remedy)
            else:
                tell(f"{error.reason}: left alone; {error.remedy}")
            continue
        done += dealt_with
    left.check()
    return done


def _restore_one(path: Path, tell: Tell, nic_name: str | None, left: Leftovers) -> bool:
    found = found_journal.read(path)
    if found is None:
        # whose it would be cannot be known
        if nic_name is None:
            path.unlink(missing_ok=True)
        return nic_name is None
    header = found.header
    if nic_name not in (None, header.nic):
        return False
    try:
        with contextlib.nullcontext() if nic_name else _held(header.nic):
            # the run may have gone on until now
            found = found_journal.read(path)
            failed = _take_back(found, tell) if found else Leftovers()
    except UsageError:
        tell(f"run {header.run_id} on {header.nic} is still at work: left alone")
        return False
    except HostError as error:
        left.add(error.message, error.hint)
        return False
    left.extend(failed)
    return not failed.reasons


@contextlib.contextmanager
def _held(nic_name: str) -> Iterator[None]:
    lock = NicLock(nic_name)
    try:
        yield
    finally:
        lock.release()


def _take_back(found: FoundJournal, tell: Tell) -> Leftovers:
    """Undo what a journal holds and remove it, or leave in it what is left to do."""
    run_id, restarted = found.header.run_id, found.header.boot_id != journal_file.boot_id()
    left = Leftovers()
    doubtful: list[JournalEntry] = []
    changes: list[Change] = []
    if restarted:
        tell(f"run {run_id}: the machine was restarted since, and its settings with it")
    for entry in found.entries:
        change = entry.change
        if restarted and (change is None or not change.survives_restart):
            continue
        problem = entry.problem if change is None else change.distrust(run_id)
        if change is not None and not problem:
            changes.append(change)
            continue
        # its command is not printed: whoever wrote the line would have a person type it
        doubtful.append(entry)
        kind = "" if change is None else f"{kind_of(change)}: "
        left.add(f"{found.path.name}: {kind}{problem}", f"look at {found.path}: {entry.shown}")
    if not restarted:
        left.extend(take_back([RunProcesses(run_id=run_id)], tell))
        for text in overwritten(changes):
            tell(text)
    failed = take_back(changes, tell)
    left.extend(failed)
    if not left.reasons:
        found.path.unlink(missing_ok=True)
        return left
    kept = [entry for entry in found.entries if entry in doubtful or entry.change in failed.changes]
    # what stays in it by a full disk is undone once more, without harm
    with contextlib.suppress(OSError):
        found.rewrite(kept)
    return left
