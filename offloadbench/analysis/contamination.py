"""Whose CPU time is in the profile: processes that are not part of the benchmark spoil it."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

import numpy as np

from offloadbench import comms
from offloadbench.model import ProfileCounts
from offloadbench.packed import unpack_profile

# share of all sampled time, idle included, from which a stray process is worth a warning
NOTED_RATIO = 0.02
# how the warning of a trial begins
PREFIX = "contaminated: "
# share of busy weight from which shares of modules describe somebody else's work too
FOREIGN_RATIO = 0.15
# the idle task and kernel threads
_KERNEL = ("swapper*", "ksoftirqd*", "kworker*", "rcu*", "migration*", "napi/*", "kcompactd*", "kdamond*")


def is_own(comm: str) -> bool:
    """Whether a process of this name is part of the benchmark or of the kernel."""
    return any(fnmatchcase(comm, own) for own in (*comms.ROLES, *_KERNEL))


def names_server(names: Iterable[str]) -> bool:
    """Whether the server has a name of its own among these: in runs of early versions it was `python` like others."""
    return any(name in comms.ROLES for name in names)


def foreign_shares(counts: ProfileCounts) -> dict[str, float]:
    """Process name -> its share of all samples, for processes that are not the benchmark's own, largest first."""
    columns = unpack_profile(counts)
    total = float(np.sum(columns["count"].astype(np.int64)))
    if not total:
        return {}
    by_process = np.bincount(columns["process"].astype(np.int64), weights=columns["count"].astype(float))
    shares = {
        comm: float(by_process[index]) / total
        for index, comm in enumerate(counts.comms)
        if index < len(by_process) and not is_own(comm)
    }
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def warnings(counts: ProfileCounts) -> list[str]:
    """One sentence when processes of others took CPU time on the measured CPUs."""
    shares = foreign_shares(counts)
    if sum(shares.values()) <= NOTED_RATIO:
        return []
    names = ", ".join(f"{comm} {share:.1%}" for comm, share in list(shares.items())[:3])
    return [f"{PREFIX}other processes used {sum(shares.values()):.1%} of the measured CPUs ({names})"]
