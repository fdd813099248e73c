"""The file of a journal: its header, where it lies, and how it appears whole.

One JSON object a line: the header, then each change before it is made, and each end of one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from offloadbench.engine.putting_back.nic_lock import state_folder

# 1: without a number, and without what later versions know of a change; the records are the same
VERSION = 2

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


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def journal_path(run_id: str, suffix: str = "journal") -> Path:
    """Where a run's journal lies; `restore_left_behind` looks at those that end in .journal only."""
    return state_folder() / f"{run_id}.{suffix}"


def write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def write_whole(path: Path, nic_name: str, lines: Sequence[bytes]) -> int:
    """Let a file appear with these lines, or replace one; returns a descriptor that appends to it.

    Args:
        nic_name: whose lock the caller holds, so that nobody else writes under the same temporary name.
    """
    partial = path.with_name(f".{nic_name.replace('/', '_')}.partial")
    partial.unlink(missing_ok=True)
    file = os.open(partial, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        write_all(file, b"".join(line + b"\n" for line in lines))
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
