"""The files that a server serves: made once, kept in a cache, checked before every run.

What has the size, the inode and the times that it had when its content was last compared with its digest is taken as it
is: reading a gigabyte before every run takes seconds. The kernel moves the time of change (ctime) whenever a file is
written or given other times, and lets nobody set it.

Their content is pseudo-random, so that checksums and compression see real data. The disk is not what is measured: the
server holds them in memory while it serves them (`offloadbench.kernel.system.page_cache`).
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from offloadbench.base.errors import HostError
from offloadbench.base.units import format_bytes
from offloadbench.files.cache import cache_folder
from offloadbench.kernel.system import memory

_T = TypeVar("_T")
_BLOCK = 1 << 20
# what the kernel, the sockets and the tool need besides the page cache of the files
_SPARE_MEMORY_BYTES = 512 << 20


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write(path: Path, size_bytes: int, seed: int) -> None:
    generator = random.Random(seed)  # noqa: S311 - content to send, not a secret
    partial = path.with_suffix(".partial")
    with partial.open("wb") as stream:
        left = size_bytes
        while left:
            stream.write(generator.randbytes(min(_BLOCK, left)))
            left -= min(_BLOCK, left)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


class _Known:
    """What is known of the files of a folder, in two lists that outlive a run: damaged or missing ones know nothing.

    Attributes:
        digests: name -> SHA-256.
        stamps: name -> size, inode, and the times of the last writing and change in ns, of a file whose content was
            found to be that of its digest.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.digests: dict[str, str] = _decoded(folder / "sha256.json", dict[str, str])
        self.stamps: dict[str, tuple[int, ...]] = _decoded(folder / "stamps.json", dict[str, tuple[int, ...]])

    def is_whole(self, path: Path, size_bytes: int) -> bool:
        """Whether a file is there as it was made; it is read where its stamp does not tell."""
        name = path.name
        if name not in self.digests or not path.exists() or path.stat().st_size != size_bytes:
            return False
        stamp = _stamp(path)
        if stamp == self.stamps.get(name):
            return True
        if _digest(path) != self.digests[name]:
            return False
        self._keep(name, self.digests[name], stamp)
        return True

    def add(self, path: Path) -> None:
        """Take a file as it is."""
        stamp = _stamp(path)
        self._keep(path.name, _digest(path), stamp)

    def _keep(self, name: str, digest: str, stamp: tuple[int, ...]) -> None:
        self.digests[name], self.stamps[name] = digest, stamp
        for file, content in (("sha256.json", self.digests), ("stamps.json", self.stamps)):
            (self._folder / file).write_text(json.dumps(content, indent=1))


def _decoded(path: Path, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError):
        return kind()


def _stamp(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def _make(path: Path, size_bytes: int, seed: int, tell: Callable[[str], None]) -> None:
    """Write a file.

    Raises:
        HostError: the disk has no room for it.
    """
    free = shutil.disk_usage(path.parent).free
    if free < size_bytes * 1.1:
        raise HostError(
            f"{path.parent}: {format_bytes(free)} free; a served file needs {format_bytes(size_bytes)}",
            "free space, or point OFFLOADBENCH_CACHE elsewhere",
        )
    tell(f"making {path} ({format_bytes(size_bytes)})")
    _write(path, size_bytes, seed)


def _fetch(path: Path) -> None:
    """Have the kernel read the file ahead, while the testbed is built (posix_fadvise(2))."""
    with path.open("rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def require_memory(total_bytes: int) -> None:
    """Whether files of so many bytes can be held in memory now.

    Raises:
        HostError: they cannot.
    """
    available = memory.available_bytes()
    if available < total_bytes + _SPARE_MEMORY_BYTES:
        raise HostError(
            f"{format_bytes(available)} of memory is available; the served files need {format_bytes(total_bytes)} of "
            f"it, and {format_bytes(_SPARE_MEMORY_BYTES)} must stay free",
            "use smaller files: --set file_size=32MiB",
        )


def provide(count: int, size_bytes: int, tell: Callable[[str], None]) -> tuple[Path, list[str]]:
    """A folder with `count` files of `size_bytes` each, and their names.

    Raises:
        HostError: not enough memory to hold them, or not enough disk to make them.
    """
    require_memory(count * size_bytes)
    folder = cache_folder() / f"files-{size_bytes}"
    names = [f"file{number:03d}.bin" for number in range(count)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = _Known(folder)
        for number, name in enumerate(names):
            path = folder / name
            if not known.is_whole(path, size_bytes):
                _make(path, size_bytes, number, tell)
                known.add(path)
            _fetch(path)
    except OSError as error:
        raise HostError(
            f"{folder}: cannot make the served files: {error}", "point OFFLOADBENCH_CACHE elsewhere"
        ) from error
    return folder, names
