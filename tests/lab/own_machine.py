"""Mounts of a test process's own: named namespaces and tracefs, which processes that go on at a time would share."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

from offloadbench.kernel.system.netns import RUN_NETNS

_CLONE_NEWNS = 0x00020000


def leave_shared_mounts() -> None:
    """Give this process, and what it starts from now on, mounts of its own and an empty /run/netns.

    Namespaces that a test makes have names here only, and go with the last process that knows them, even where the
    tests are killed; tracefs is mounted and unmounted for these processes alone (mount_namespaces(7)).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNS)")
    # what is unmounted outside goes here too: else a namespace that is removed there would live on
    subprocess.run(["mount", "--make-rslave", "/"], check=True)
    RUN_NETNS.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "offloadbench-tests", str(RUN_NETNS)], check=True)


def shares_mounts(pid: int) -> bool:
    """Whether a process sees our /run/netns, in whatever namespace it is; False for one that has ended."""
    try:
        return Path(f"/proc/{pid}/root{RUN_NETNS}").stat().st_dev == RUN_NETNS.stat().st_dev
    except OSError:
        return False


def runs_of_ours() -> list[int]:
    """Pids of processes that carry a run's marker, and were started by this process or by one that it has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            marked = b"OFFLOADBENCH_RUN=" in (folder / "environ").read_bytes()
        except OSError:
            continue
        if marked and int(folder.name) != os.getpid() and shares_mounts(int(folder.name)):
            found.append(int(folder.name))
    return found
