"""The journal: what to put back is on disk (fsync) before anything is changed.

It appears whole, with its header: whoever finds one knows which lock its run holds. Files lie in /var/lib/offloadbench
(or $OFFLOADBENCH_STATE).
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence

import msgspec

from offloadbench.base.errors import HostError
from offloadbench.base.shown_text import shown
from offloadbench.changes.change import Change, Tell
from offloadbench.engine.putting_back import change_kinds, journal_file
from offloadbench.engine.putting_back.change_kinds import RecordError
from offloadbench.engine.putting_back.journal_file import VERSION, JournalHeader, journal_path, write_all, write_whole
from offloadbench.engine.putting_back.nic_lock import ELSEWHERE
from offloadbench.engine.putting_back.taking_back import take_back

# a run of days undoes the changes of each trial: what is undone is left out of the file from time to time
_COMPACT_BYTES = 1 << 20


class Journal:
    """The changes of one run, in the order in which they are made; a `ChangeLog`.

    Raises:
        HostError: it cannot be written.
    """

    def __init__(self, run_id: str, nic_name: str, suffix: str = "journal") -> None:
        self.run_id = run_id
        self.path = journal_path(run_id, suffix)
        self._changes: list[Change] = []
        self._header = JournalHeader(
            run_id=run_id, nic=nic_name, boot_id=journal_file.boot_id(), pid=os.getpid(), version=VERSION
        )
        try:
            if self.path.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            line = msgspec.json.encode(self._header)
            msgspec.json.decode(line, type=JournalHeader)
            self._file = write_whole(self.path, nic_name, [line])
        except msgspec.ValidationError as error:
            raise HostError(f"{shown(nic_name)}: no journal can be kept under this name", "rename the NIC") from error
        except OSError as error:
            raise HostError(f"{self.path}: {error.strerror}", f"{ELSEWHERE}; see its free space") from error

    def _append(self, lines: Sequence[bytes]) -> None:
        before = os.lseek(self._file, 0, os.SEEK_END)
        try:
            write_all(self._file, b"".join(line + b"\n" for line in lines))
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
        change = change.located()
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
            file = write_whole(self.path, self._header.nic, lines)
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
