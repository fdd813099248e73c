"""Served files put out of memory on purpose, and a server that may not lock them there."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import pytest

from offloadbench.roles.ends import ProcessRole, python_role
from tests.unit.loopback import LoopbackEnd


def evict(paths: list[Path]) -> None:
    """Ask the kernel to forget what its page cache holds of these files; locked pages stay (posix_fadvise(2))."""
    for path in paths:
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
            os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(number)


def resident_bytes(paths: list[Path]) -> int:
    """How much of them the page cache holds, by fincore(1)."""
    told = subprocess.run(
        ["fincore", "--bytes", "--noheadings", "--output", "RES", *map(str, paths)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return sum(map(int, told.stdout.split()))


def require_disk(path: Path) -> None:
    """Skip where the file lies in memory anyway (tmpfs): nothing can be evicted there."""
    evict([path])
    if resident_bytes([path]):
        pytest.skip(f"{path} lies in a file system that cannot be evicted")


class UnlockingEnd(LoopbackEnd):
    """An end whose roles may not lock memory: RLIMIT_MEMLOCK of 0, and no CAP_IPC_LOCK to exceed it."""

    def launch(self, module: str, title: str, cpus: frozenset[int] | None = None) -> ProcessRole:
        del cpus

        def start(stdin: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
            without = ["setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"] if os.geteuid() == 0 else []
            limited = ["prlimit", "--memlock=0:0", *without, *python_role(module)]
            return subprocess.Popen(limited, stdin=stdin, stdout=stdout, stderr=stderr)

        self.roles.append(ProcessRole(title, start))
        return self.roles[-1]


def memory_can_be_locked() -> bool:
    """Whether this process may lock the few files of a test."""
    return os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] >= 1 << 20
