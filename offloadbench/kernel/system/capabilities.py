"""What this process may do (capabilities(7)), and what it would need for more."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping
from pathlib import Path

from offloadbench.base.errors import HostError

# bits of include/uapi/linux/capability.h
_BITS = {
    "dac_override": 1,
    "net_admin": 12,
    "net_raw": 13,
    "ipc_lock": 14,
    "sys_admin": 21,
    "sys_nice": 23,
    "syslog": 34,
    "perfmon": 38,
}
# the kernel asks for these in the first user namespace only (kernel/events/core.c, kernel/kallsyms.c, mm/mlock.c)
_OF_THE_MACHINE = ("perfmon", "syslog", "ipc_lock")
_WHOLE_RANGE = ["0", "0", "4294967295"]


def effective() -> frozenset[str]:
    """Those of the capabilities that matter here which this process has, without `CAP_`, in lower case.

    In a user namespace, as of a rootless container, those that only the whole machine gives are left out.
    """
    match = re.search(r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    mask = int(match[1], 16) if match else 0
    held = {name for name, bit in _BITS.items() if mask >> bit & 1}
    return frozenset(held if in_first_user_namespace() else held.difference(_OF_THE_MACHINE))


def in_first_user_namespace() -> bool:
    """Whether user ids here are the machine's own."""
    try:
        return Path("/proc/self/uid_map").read_text().split() == _WHOLE_RANGE
    except OSError:
        return True


def title(name: str) -> str:
    """`net_admin` -> `CAP_NET_ADMIN`."""
    return f"CAP_{name.upper()}"


def require(what: str, needs: Mapping[str, str]) -> None:
    """Raise HostError that names every missing capability.

    Args:
        what: the command, for the message.
        needs: capability -> what it is for.
    """
    held = effective()
    missing = {name: why for name, why in needs.items() if name not in held}
    if missing:
        listed = ", ".join(f"{title(name)} ({why})" for name, why in missing.items())
        raise HostError(f"{what} needs {listed}", hint(missing))


def hint(missing: Mapping[str, str]) -> str:
    """How capabilities come to a process."""
    flags = " ".join(f"--cap-add {name.upper()}" for name in missing)
    if in_first_user_namespace():
        return f"use sudo; in a container {flags}"
    return f"this is a user namespace: run on the machine itself, or in a container of its root with {flags}"


def may_profile() -> bool:
    """Whether perf may sample the kernel on whole CPUs (Documentation/admin-guide/perf-security.rst)."""
    held = effective()
    # before Linux 5.8 there was no CAP_PERFMON
    if "perfmon" in held or ("sys_admin" in held and in_first_user_namespace()):
        return True
    try:
        return int(Path("/proc/sys/kernel/perf_event_paranoid").read_text()) <= 0
    except (OSError, ValueError):
        return False


def may_see_addresses() -> bool:
    """Whether /proc/kallsyms tells this process addresses (kernel.kptr_restrict)."""
    try:
        with Path("/proc/kallsyms").open() as lines:
            return any(line.split(maxsplit=1)[0].strip("0") for line in itertools.islice(lines, 1000))
    except OSError:
        return False


def may_write(folder: Path) -> bool:
    """Whether a file could be made in a folder, or the folder itself where it is missing."""
    while not folder.exists():
        folder = folder.parent
    # with the effective ids: access(2) itself would forget the capabilities of a process that is not root
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=True)
