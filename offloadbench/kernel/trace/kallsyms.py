"""A snapshot of the kernel's text symbols, and where the running modules' .ko files lie."""

from __future__ import annotations

from pathlib import Path

import sh

from offloadbench.base.errors import ProfilerError


def snapshot() -> str:
    """/proc/kallsyms, text symbols only: lines of `address type name[\\t[module]]`.

    Raises:
        ProfilerError: the addresses are hidden.
    """
    lines = [line for line in Path("/proc/kallsyms").read_text().splitlines() if line[17:18] in "tTwW"]
    if not any(line[:16].strip("0") for line in lines[:1000]):
        raise ProfilerError(
            "/proc/kallsyms shows no addresses", "CAP_SYSLOG is needed, and sysctl kernel.kptr_restrict 0 or 1"
        )
    return "\n".join(lines) + "\n"


def ko_paths() -> dict[str, str]:
    """Loaded module -> path of its .ko (modinfo); a module that modinfo does not know is left out."""
    try:
        names = [line.split()[0] for line in Path("/proc/modules").read_text().splitlines()]
    except OSError:
        return {}
    paths = {}
    for name in names:
        try:
            paths[name] = str(sh.modinfo("-F", "filename", name)).strip()
        except (sh.ErrorReturnCode, sh.CommandNotFound):
            continue
    return paths
