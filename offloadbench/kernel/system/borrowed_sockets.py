"""Sockets of another process, by pidfd_getfd(2): to set options that it does not set.

Options set on a listening one are inherited by what it accepts.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

# the same number on every architecture (Linux 5.6)
_PIDFD_GETFD = 438
_libc = ctypes.CDLL(None, use_errno=True)


def listening(pid: int) -> list[socket.socket]:
    """Duplicates of the TCP sockets on which a process listens; the caller closes them.

    Raises:
        OSError: the process is gone, or is not ours to look into.
    """
    return _duplicates(pid, lambda one: bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)))


def connected(pid: int, remote: tuple[str, int]) -> list[socket.socket]:
    """Duplicates of a process's TCP sockets that are connected to `remote`; the caller closes them.

    Raises:
        OSError: as `listening`.
    """

    def wanted(one: socket.socket) -> bool:
        with contextlib.suppress(OSError):
            return bool(one.getpeername()[:2] == remote)
        return False

    return _duplicates(pid, wanted)


def _duplicate(process: int, entry: Path) -> int | None:
    """Our duplicate of a process's file descriptor; None where it is no socket, or has been closed since."""
    try:
        if not str(entry.readlink()).startswith("socket:"):
            return None
    except FileNotFoundError:
        return None
    number: int = _libc.syscall(_PIDFD_GETFD, process, int(entry.name), 0)
    if number >= 0:
        return number
    if ctypes.get_errno() == errno.EBADF:
        return None
    raise OSError(ctypes.get_errno(), f"pidfd_getfd of {entry.parent}")


def _duplicates(pid: int, wanted: Callable[[socket.socket], bool]) -> list[socket.socket]:
    process = os.pidfd_open(pid)
    found = []
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            number = _duplicate(process, entry)
            if number is None:
                continue
            candidate = socket.socket(fileno=number)
            if candidate.family in (socket.AF_INET, socket.AF_INET6) and wanted(candidate):
                found.append(candidate)
            else:
                candidate.close()
    finally:
        os.close(process)
    return found
