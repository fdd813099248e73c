"""Where the kernel and its modules lie: the MMAP and MMAP2 records that perf makes up from /proc/modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from offloadbench.kernel.trace.perfdata.byteorder import I8, U8

KERNEL_NAME = "[kernel.kallsyms]"
NOT_MAPPED = -1
_ADDRESSES = 1 << 64


@dataclass(frozen=True, slots=True)
class KernelMapping:
    """A range of kernel addresses.

    Attributes:
        page_offset: what perf adds to `address - start` when it prints an address in a module.
        name: as perf prints it: `[kernel.kallsyms]`, or `[tun]` for a module.
        path: of the module's file, as recorded.
    """

    start: int
    size_bytes: int
    page_offset: int
    name: str
    path: str


def kernel_mapping(start: int, size_bytes: int, page_offset: int, path: str) -> KernelMapping:
    """A mapping from the fields of its record; one that wraps around ends with the last address."""
    return KernelMapping(start, min(size_bytes, _ADDRESSES - start), page_offset, _name(path), path)


def _name(path: str) -> str:
    """perf's short name of a kernel object: no folders, no suffixes, `-` as `_` (kmod_path__parse)."""
    # the kernel itself is named with the symbol that its range begins at: [kernel.kallsyms]_text
    if path.startswith("["):
        return path[: path.rfind("]") + 1]
    stem, dot, _ = PurePosixPath(path).name.partition(".ko")
    return f"[{stem.replace('-', '_')}]" if dot else stem


def locate(mappings: Sequence[KernelMapping], addresses: U8) -> I8:
    """Index of the mapping that holds each address, shape (n,); `NOT_MAPPED` where none does.

    Modules go before the kernel, whose recorded range may reach over them.
    """
    kernel = [index for index, mapping in enumerate(mappings) if mapping.name == KERNEL_NAME]
    modules = [index for index, mapping in enumerate(mappings) if mapping.name != KERNEL_NAME]
    found = np.full(addresses.shape, NOT_MAPPED, dtype=np.int64)
    for group in (kernel, modules):
        group.sort(key=lambda index: mappings[index].start)
        starts = np.array([mappings[index].start for index in group], dtype=np.uint64)
        sizes = np.array([mappings[index].size_bytes for index in group], dtype=np.uint64)
        row = np.searchsorted(starts, addresses, side="right") - 1
        inside = np.flatnonzero(row >= 0)
        inside = inside[addresses[inside] - starts[row[inside]] < sizes[row[inside]]]
        found[inside] = np.array(group, dtype=np.int64)[row[inside]]
    return found
