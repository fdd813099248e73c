"""The journal: what to put back is on disk (fsync) before anything is changed.

A file of one JSON object a line: the header, then each change before it is made, and each end of one. It appears whole,
with its header: whoever finds one knows which lock its run holds. Files lie in /var/lib/offloadbench (or
$OFFLOADBENCH_STATE), and are read as if anybody could have written them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from offloadbench.base.errors import HostError
from offloadbench.base.shown_text import shown
from offloadbench.changes.change import Change, Tell
from offloadbench.engine.putting_back import change_kinds
from offloadbench.engine.putting_back.change_kinds import RecordError
from offloadbench.engine.putting_back.nic_lock import ELSEWHERE, state_folder
from offloadbench.engine.putting_back.taking_back import take_back

# 1: without a number, and without what later versions know of a change; the records are the same
VERSION = 2
_MOST_BYTES = 64 << 20
# a run of days undoes the changes of each trial: what is undone is left out of the file from time to time
_COMPACT_BYTES = 1 << 20

_Text = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f]+\Z", max_length=255)]
_RunId = Annotated[str, Meta(pattern=r"^[^/\x00-\x1f\x7f-\x9f]+\Z", max_length=200)]


class JournalHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose journal it is.

    Attributes:
        nic: name of the lock that the run holds, which is the NIC's for most.
    """

    run_id: _RunId
    nic: _Text
    boot_id: _Text
    pid: int
    version: int = 1


class _AnyHeader(msgspec.Struct):
    """What is read of the header of any version."""

    version: int = 1
    nic: str = ""


class _Ended(msgspec.Struct, forbid_unknown_fields=True):
    """A line that says what is not to be taken back any more."""

    done: msgspec.Raw = msgspec.Raw()
    undone_to: Annotated[int, Meta(ge=0)] | None = None


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def journal_path(run_id: str, suffix: str = "journal") -> Path:
    """Where a run's journal lies; `restore_left_behind` looks at those that end in .journal only."""
    return state_folder() / f"{run_id}.{suffix}"


class Journal:
    """The changes of one run, in the order in which they are made; a `ChangeLog`.

    Raises:
        HostError: it cannot be written.
    """

    def __init__(self, run_id: str, nic_name: str, suffix: str = "journal") -> None:
        self.run_id = run_id
        self.path = journal_path(run_id, suffix)
        self._changes: list[Change] = []
        self._header = JournalHeader(run_id=run_id, nic=nic_name, boot_id=boot_id(), pid=os.getpid(), version=VERSION)
        try:
            if self.path.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            self._file = _write_whole(self.path, nic_name, [msgspec.json.encode(self._header)])
        except OSError as error:
            raise HostError(f"{self.path}: {error.strerror}", f"{ELSEWHERE}; see its free space") from error

    def _append(self, lines: Sequence[bytes]) -> None:
        before = os.lseek(self._file, 0, os.SEEK_END)
        try:
            _write_all(self._file, b"".join(line + b"\n" for line in lines))
            os.fsync(self._file)
        except OSError as error:
            # a line that is not known to be there whole must not stand before others
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, before)
            raise HostError(f"{self.path}: cannot keep the journal: {error.strerror}", "free space there") from error

    def add(self, change: Change) -> None:
        """Write down a change before it is made.

        Raises:
            HostError: it cannot be written, or `restore` would not take it back.
        """
        try:
            line = change_kinds.record(change)
        except RecordError as error:
            raise HostError(f"{error}: not done, since it could not be taken back", "") from error
        doubt = change.distrust(self.run_id)
        if doubt:
            raise HostError(f"{doubt}: not done, since it would not be taken back", "")
        self._append([line])
        self._changes.append(change)

    def make(self, change: Change) -> None:
        """Write down a change, and make it."""
        self.add(change)
        change.apply()

    def forget(self, change: Change) -> None:
        """A change was undone already, and that was seen; one that is not known needs nothing."""
        if change in self._changes:
            self._append([_done(change)])
            _remove_last(self._changes, change)

    @property
    def mark(self) -> int:
        return len(self._changes)

    def changes_since(self, mark: int) -> list[Change]:
        return self._changes[mark:]

    def undo_to(self, mark: int, tell: Tell) -> None:
        """Take back the changes since `mark`.

        Raises:
            RestoreError: some could not be taken back; they stay in the journal.
        """
        if not self._changes[mark:]:
            return
        left = take_back(self._changes[mark:], tell)
        if not left.changes:
            self._append([b'{"undone_to":%d}' % mark])
            del self._changes[mark:]
            if os.fstat(self._file).st_size > _COMPACT_BYTES:
                self._compact()
            return
        undone = list(self._changes[mark:])
        for change in left.changes:
            _remove_last(undone, change)
        # what stands in the file and what is remembered must be the same: positions are counted in both
        with contextlib.suppress(HostError):
            self._append([_done(change) for change in undone])
            self._changes[mark:] = left.changes
        left.check()

    def _compact(self) -> None:
        lines = [msgspec.json.encode(self._header), *map(change_kinds.record, self._changes)]
        # where it cannot be written anew, it goes on as it is
        with contextlib.suppress(OSError):
            file = _write_whole(self.path, self._header.nic, lines)
            os.close(self._file)
            self._file = file

    def close(self, tell: Tell) -> None:
        """Take back everything, and remove the journal.

        Raises:
            RestoreError: some could not be taken back; the journal stays.
        """
        self.undo_to(0, tell)
        self.keep()
        self.path.unlink(missing_ok=True)

    def keep(self) -> None:
        """Leave the changes standing, and the journal for `restore_kept`."""
        os.close(self._file)


def _done(change: Change) -> bytes:
    return b'{"done":' + change_kinds.record(change) + b"}"


def _remove_last(changes: list[Change], change: Change) -> None:
    for index in reversed(range(len(changes))):
        if changes[index] == change:
            del changes[index]
            return


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _write_whole(path: Path, nic_name: str, lines: Sequence[bytes]) -> int:
    """Let a file appear with these lines, or replace one; returns a descriptor that appends to it.

    Args:
        nic_name: whose lock the caller holds, so that nobody else writes under the same temporary name.
    """
    partial = path.with_name(f".{nic_name.replace('/', '_')}.partial")
    partial.unlink(missing_ok=True)
    file = os.open(partial, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        _write_all(file, b"".join(line + b"\n" for line in lines))
        os.fsync(file)
        partial.rename(path)
    except BaseException:
        os.close(file)
        partial.unlink(missing_ok=True)
        raise
    # it is there, whether its name is on disk already or not
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return file


# ---------------------------------------------------------------- reading


class JournalError(Exception):
    """Nothing of a journal can be used.

    Args:
        reason: a part of a sentence.
        remedy: what a person does about it.
        nic: whose it says to be, where that is known.
    """

    def __init__(self, reason: str, remedy: str, nic: str = "") -> None:
        super().__init__(reason)
        self.reason, self.remedy, self.nic = reason, remedy, nic


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A line that tells of a change not yet taken back.

    Attributes:
        change: None where the line says nothing that can be done; `problem` says why.
    """

    line: bytes
    change: Change | None
    problem: str = ""

    @property
    def shown(self) -> str:
        """The line as text."""
        return shown(self.line.decode(errors="replace"))


@dataclass(frozen=True, slots=True)
class FoundJournal:
    """A journal as it lies there."""

    path: Path
    header: JournalHeader
    entries: list[JournalEntry]

    @property
    def changes(self) -> list[Change]:
        """Those that can be read."""
        return [entry.change for entry in self.entries if entry.change is not None]

    def rewrite(self, entries: Sequence[JournalEntry]) -> None:
        """Leave only these in the file, whose lock the caller holds.

        Raises:
            OSError: it cannot be written; it is as it was.
        """
        header = msgspec.json.encode(self.header)
        os.close(_write_whole(self.path, self.header.nic, [header, *(entry.line for entry in entries)]))


def read(path: Path) -> FoundJournal | None:
    """What is not yet taken back; None where the file has no whole header, since nothing was changed then.

    A last line cut short was never acted on: changes follow their fsync.

    Raises:
        JournalError: it cannot be read, or is no journal of this version or an earlier one.
        FileNotFoundError: it is gone.
    """
    lines = _content(path).split(b"\n")[:-1]
    if not lines:
        return None
    name, look = _named(path)
    try:
        known = msgspec.json.decode(lines[0], type=_AnyHeader)
        if not 1 <= known.version <= VERSION:
            raise JournalError(
                f"{name} is of version {known.version}, and versions 1 to {VERSION} are known here",
                "restore with the offloadbench that wrote it",
                known.nic,
            )
        header = msgspec.json.decode(lines[0], type=JournalHeader)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise JournalError(f"{name} does not begin with the header of a journal: {shown(str(error))}", look) from error
    own = path.with_name(f"{header.run_id}{path.suffix}")
    if own != path and own.exists():
        raise JournalError(f"{name} says to be of run {header.run_id}, which has its own journal", look, header.nic)
    return FoundJournal(path, header, _entries(lines[1:]))


def _named(path: Path) -> tuple[str, str]:
    """How a file is named, and what a person does about one that is not understood."""
    return shown(path.name), f"look at {shown(str(path))}, and remove it when nothing of it is left to do"


def _content(path: Path) -> bytes:
    name, look = _named(path)
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise JournalError(f"{name} cannot be read: {error.strerror}", look) from error
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise JournalError(f"{name} is no regular file", look)
        if found.st_uid not in (0, os.geteuid()):
            raise JournalError(
                f"{name} belongs to another user (uid {found.st_uid})", f"restore as its owner, or {look}"
            )
        by_group = found.st_mode & stat.S_IWGRP and found.st_gid not in (0, os.getegid())
        if by_group or found.st_mode & stat.S_IWOTH:
            raise JournalError(f"{name} can be written by other users", look)
        if found.st_size > _MOST_BYTES:
            raise JournalError(f"{name} is larger than any journal ({found.st_size} bytes)", look)
        with open(file, "rb", closefd=False) as stream:
            return stream.read(_MOST_BYTES)
    except OSError as error:
        raise JournalError(f"{name} cannot be read: {error.strerror}", look) from error
    finally:
        os.close(file)


def _entries(lines: Sequence[bytes]) -> list[JournalEntry]:
    found: list[JournalEntry] = []
    # a line that may have been anything: positions counted after it may be wrong, and what was taken back can be again
    positions_known = True
    for line in lines:
        try:
            ended = msgspec.json.decode(line, type=_Ended)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            entry = _entry(line)
            positions_known = positions_known and b'"kind"' in line
            found.append(entry)
            continue
        if ended.undone_to is not None and (not positions_known or ended.undone_to <= len(found)):
            del found[ended.undone_to if positions_known else len(found) :]
        elif bytes(ended.done):
            _take_out(found, bytes(ended.done))
        else:
            positions_known = False
            found.append(JournalEntry(line, None, "no record of a change"))
    return found


def _entry(line: bytes) -> JournalEntry:
    try:
        return JournalEntry(line, change_kinds.from_record(line))
    except RecordError as error:
        return JournalEntry(line, None, str(error))


def _take_out(entries: list[JournalEntry], line: bytes) -> None:
    """The last that is the same; one that is not known needs nothing."""
    with contextlib.suppress(RecordError):
        change = change_kinds.from_record(line)
        for index in reversed(range(len(entries))):
            if entries[index].change == change:
                del entries[index]
                return
