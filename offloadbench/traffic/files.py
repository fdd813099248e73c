"""The files that a server serves: made once, kept in a cache, checked before every run.

What has the size, the inode and the times that it had when its content was last compared with its digest is taken as it
is: reading a gigabyte before every run takes seconds. The kernel moves the time of change (ctime) whenever a file is
written or given other times, and lets nobody set it.

Their content is pseudo-random, so that checksums and compression see real data. The disk is not what is measured: the
server holds them in memory while it serves them (`offloadbench.kernel.system.page_cache`).
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from offloadbench.base.errors import HostError
from offloadbench.base.units import format_bytes
from offloadbench.files.cache import cache_folder
from offloadbench.kernel.system import memory

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


class _MadeFile(msgspec.Struct, frozen=True):
    """What is known of a file that was made before.

    Attributes:
        stamp: of the file whose content was found to be that of the digest: size, inode, and the times of its last
            writing and change in ns; () where none has been looked at.
    """

    sha256: str
    stamp: tuple[int, ...] = ()


def _stamp(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def _known(path: Path) -> dict[str, _MadeFile]:
    """Name -> what is known of it; empty when the list is missing or damaged: the files are made again."""
    try:
        # earlier versions wrote the digest alone
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, _MadeFile | str])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}
    return {name: _MadeFile(one) if isinstance(one, str) else one for name, one in found.items()}


def _whole(path: Path, size_bytes: int, known: _MadeFile | None) -> _MadeFile | None:
    """What is known of a file that is there and as it was made; None where it must be made again."""
    if known is None or not path.exists() or path.stat().st_size != size_bytes:
        return None
    stamp = _stamp(path)
    if stamp == known.stamp:
        return known
    return _MadeFile(known.sha256, stamp) if _digest(path) == known.sha256 else None


def _make(path: Path, size_bytes: int, seed: int, tell: Callable[[str], None]) -> _MadeFile:
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
    stamp = _stamp(path)
    return _MadeFile(_digest(path), stamp)


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
        list_path = folder / "sha256.json"
        known = _known(list_path)
        for number, name in enumerate(names):
            path = folder / name
            made = _whole(path, size_bytes, known.get(name)) or _make(path, size_bytes, number, tell)
            if made != known.get(name):
                known[name] = made
                list_path.write_bytes(msgspec.json.format(msgspec.json.encode(known)))
            _fetch(path)
    except OSError as error:
        raise HostError(
            f"{folder}: cannot make the served files: {error}", "point OFFLOADBENCH_CACHE elsewhere"
        ) from error
    return folder, names
