"""A journal that a run has left, read as if anybody could have written it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from offloadbench.base.shown_text import shown
from offloadbench.changes.change import Change
from offloadbench.engine.putting_back import change_kinds
from offloadbench.engine.putting_back.change_kinds import RecordError
from offloadbench.engine.putting_back.journal_file import VERSION, JournalHeader, write_whole

_MOST_BYTES = 64 << 20


class _AnyHeader(msgspec.Struct):
    """What is read of the header of any version."""

    version: int = 1
    nic: str = ""


class _Ended(msgspec.Struct, forbid_unknown_fields=True):
    """A line that says what is not to be taken back any more."""

    done: msgspec.Raw = msgspec.Raw()
    undone_to: Annotated[int, Meta(ge=0)] | None = None


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
        os.close(write_whole(self.path, self.header.nic, [header, *(entry.line for entry in entries)]))


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
