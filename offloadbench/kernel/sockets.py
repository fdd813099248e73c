"""Listening sockets of another process, by pidfd_getfd(2): options set there are inherited by what it accepts."""

from __future__ import annotations

import ctypes
import os
import socket
from pathlib import Path

# the same number on every architecture (Linux 5.6)
_PIDFD_GETFD = 438
_libc = ctypes.CDLL(None, use_errno=True)


def listening(pid: int) -> list[socket.socket]:
    """Duplicates of the IPv4 TCP sockets on which a process listens; the caller closes them.

    Raises:
        OSError: the process is gone, or is not ours to look into.
    """
    process = os.pidfd_open(pid)
    found = []
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            if not str(entry.readlink()).startswith("socket:"):
                continue
            number = _libc.syscall(_PIDFD_GETFD, process, int(entry.name), 0)
            if number < 0:
                raise OSError(ctypes.get_errno(), f"pidfd_getfd of process {pid}")
            candidate = socket.socket(fileno=number)
            if candidate.family == socket.AF_INET and candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                found.append(candidate)
            else:
                candidate.close()
    finally:
        os.close(process)
    return found
