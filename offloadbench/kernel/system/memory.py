"""Memory that processes here may still take."""

from __future__ import annotations

from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")


def available_bytes() -> int:
    """What the machine has, or what the memory cgroups of this process leave of it (cgroup v2), page cache included."""
    return min([int(psutil.virtual_memory().available), *_left_by_cgroups(_own_cgroup())])


def _own_cgroup() -> Path:
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return _CGROUPS
    # 0::/path is the unified hierarchy's line (cgroups(7))
    path = next((line[3:] for line in lines if line.startswith("0::")), "/")
    return _CGROUPS / path.lstrip("/")


def _left_by_cgroups(folder: Path) -> list[int]:
    """Of each cgroup with a limit, from a process's own upwards: the limit less what cannot be reclaimed."""
    found = []
    for group in (folder, *folder.parents):
        try:
            limit = (group / "memory.max").read_text().strip()
            used = int((group / "memory.current").read_text())
            cached = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):
            continue
        if limit != "max":
            reclaimable = int(cached.get("inactive_file", 0)) + int(cached.get("active_file", 0))
            found.append(max(0, int(limit) - used + reclaimable))
        if group == _CGROUPS:
            break
    return found
