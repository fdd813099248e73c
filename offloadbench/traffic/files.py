"""The files that a server serves: made once, kept in a cache, checked before every run.

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


def _known_digests(path: Path) -> dict[str, str]:
    """Name -> SHA-256 of the files made before; empty when the list is missing or damaged: they are made again."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


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
        digests_path = folder / "sha256.json"
        digests = _known_digests(digests_path)
        for number, name in enumerate(names):
            path = folder / name
            if path.exists() and path.stat().st_size == size_bytes and _digest(path) == digests.get(name):
                continue
            free = shutil.disk_usage(folder).free
            if free < size_bytes * 1.1:
                raise HostError(
                    f"{folder}: {format_bytes(free)} free; a served file needs {format_bytes(size_bytes)}",
                    "free space, or point OFFLOADBENCH_CACHE elsewhere",
                )
            tell(f"making {path} ({format_bytes(size_bytes)})")
            _write(path, size_bytes, seed=number)
            digests[name] = _digest(path)
            digests_path.write_text(json.dumps(digests, indent=1))
    except OSError as error:
        raise HostError(
            f"{folder}: cannot make the served files: {error}", "point OFFLOADBENCH_CACHE elsewhere"
        ) from error
    return folder, names
