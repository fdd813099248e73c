"""Whose CPU time is in the profile: processes that are not part of the benchmark spoil it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fnmatch import fnmatchcase

import numpy as np

from offloadbench.model import ProfileCounts, Trial
from offloadbench.packed import unpack_profile

# share of all sampled time, idle included, from which a stray process is worth a warning
NOTED_RATIO = 0.02
# how the warning of a trial begins
PREFIX = "contaminated: "
# share of busy weight from which shares of modules describe somebody else's work too
FOREIGN_RATIO = 0.15
# what the benchmark itself runs at the device under test
_SERVERS = ("ob-ftp-server", "ob-initiator")
# the idle task and kernel threads
_KERNEL = ("swapper*", "ksoftirqd*", "kworker*", "rcu*", "migration*", "napi/*", "kcompactd*", "kdamond*")


def is_own(comm: str) -> bool:
    """Whether a process of this name is part of the benchmark or of the kernel."""
    return any(fnmatchcase(comm, own) for own in (*_SERVERS, *_KERNEL))


def names_server(comms: Iterable[str]) -> bool:
    """Whether the server has a name of its own among these: in runs of early versions it was `python` like others."""
    return any(fnmatchcase(comm, server) for comm in comms for server in _SERVERS)


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


def foreign_ratio(trial: Trial) -> float:
    """CPU time of the measured CPUs that other processes took, of all of their time; NaN where it is not known."""
    if trial.profile is None or not names_server(trial.profile.comms):
        return math.nan
    return sum(foreign_shares(trial.profile).values())


def warnings(counts: ProfileCounts) -> list[str]:
    """One sentence when processes of others took CPU time on the measured CPUs."""
    shares = foreign_shares(counts)
    if sum(shares.values()) <= NOTED_RATIO:
        return []
    names = ", ".join(f"{comm} {share:.1%}" for comm, share in list(shares.items())[:3])
    return [f"{PREFIX}other processes used {sum(shares.values()):.1%} of the measured CPUs ({names})"]
