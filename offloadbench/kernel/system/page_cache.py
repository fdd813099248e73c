"""Files held in the page cache, and what a process had to read from a disk nevertheless. Standard library only."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

_READ_BYTES = 1 << 20
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.mlock.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_MAP_FAILED = ctypes.c_void_p(-1).value


def hold(paths: list[Path]) -> str:
    """Read these files into the page cache and lock them there for the life of this process (mlock(2)).

    A page that only the cache holds goes whenever something asks for memory, or unasked (DAMON), and reading it again
    is a wait for the disk in the middle of a measurement.

    Returns:
        "" when they are locked; else why not: they were read then, and may go again.

    Raises:
        OSError: a file cannot be read.
    """
    why = ""
    for path in paths:
        why = why or _lock(path)
        if why:
            _read(path)
    return why


def _lock(path: Path) -> str:
    """Map and lock one file; the mapping stays until the process ends."""
    with path.open("rb") as stream:
        length = os.fstat(stream.fileno()).st_size
        if not length:
            return ""
        address = _libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, stream.fileno(), 0)
    if address == _MAP_FAILED or _libc.mlock(address, length):
        return os.strerror(ctypes.get_errno())
    return ""


def _read(path: Path) -> None:
    buffer = bytearray(_READ_BYTES)
    with path.open("rb", buffering=0) as stream:
        while stream.readinto(buffer):
            pass


def disk_read_bytes() -> int | None:
    """Bytes that this process has had to fetch from storage so far (proc_pid_io(5)); None where it is not counted."""
    try:
        text = Path("/proc/self/io").read_text()
    except OSError:
        return None
    for line in text.splitlines():
        name, _, value = line.partition(": ")
        if name == "read_bytes":
            return int(value)
    return None
