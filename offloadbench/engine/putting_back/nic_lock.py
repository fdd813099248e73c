"""One run a NIC at a time, and the folder where locks and journals lie."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from offloadbench.base.errors import HostError, UsageError

ELSEWHERE = "use sudo, or point OFFLOADBENCH_STATE at a folder of yours"


def state_folder() -> Path:
    """Where journals and locks lie."""
    return Path(os.environ.get("OFFLOADBENCH_STATE", "/var/lib/offloadbench"))


class NicLock:
    """The kernel gives a flock(2) back when its holder dies, so a crash leaves no stale lock.

    Raises:
        UsageError: another run has it.
        HostError: the lock cannot be kept.
    """

    def __init__(self, nic_name: str) -> None:
        folder = state_folder()
        path = folder / f"{nic_name.replace('/', '_')}.lock"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # a link that somebody else put here would have another file written
            number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise HostError(f"{path}: {error.strerror}", ELSEWHERE) from error
        self._stream = os.fdopen(number, "r+", errors="replace")
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = self._stream.read(32).strip()
            self._stream.close()
            pid = holder if holder.isascii() and holder.isdigit() else "unknown"
            raise UsageError(f"{nic_name} is in use by another run (pid {pid})", "wait for it, or end it") from error
        try:
            os.truncate(number, 0)
            os.write(number, str(os.getpid()).encode())
        except OSError as error:
            self._stream.close()
            raise HostError(f"{path}: {error.strerror}", ELSEWHERE) from error

    def release(self) -> None:
        self._stream.close()
