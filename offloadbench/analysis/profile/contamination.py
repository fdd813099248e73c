"""Whose CPU time it was: processes that are not part of the benchmark spoil a trial.

With a profile every sample tells its process and what it did. Without one the kernel's own accounts give a lower bound:
the time that the measured CPUs spent in user and system mode, less all CPU time of the run's own processes. That bound
counts for own work the softirqs on top of the own processes, which ticks do not count as system time.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from offloadbench.analysis.profile.attribution import foreign_rows, names_server, verdicts_for
from offloadbench.base.sentence import Quantity, Sentence, amount, join, say
from offloadbench.definitions import catalog
from offloadbench.files.packed_columns import unpack_profile
from offloadbench.model import ForeignUse, Profile, Run, Trial

# share of all sampled time, idle included, from which a stray process is worth a warning
NOTED_RATIO = 0.02
# how the warning of a trial begins
PREFIX = "contaminated: "
ALL_OTHERS = "all processes of others"
# share of busy weight from which shares of modules describe somebody else's work too
FOREIGN_RATIO = 0.15
_PROFILE = "linux"
_NAMED = 3
# the kernel charges user and system time by a tick of 100 to 1,000 Hz; the slowest is the noisiest
_TICK_S = 0.01


UNKNOWN = ForeignUse(ratio=math.nan, by_process={}, profiled=False)


def foreign(run: Run, trial: Trial) -> ForeignUse:
    """What others took in a trial: as recorded, or derived from its profile, or else from the kernel's accounts.

    Returns:
        A ratio of NaN where nothing tells.
    """
    return trial.foreign or derived(run, trial)


def derived(run: Run, trial: Trial) -> ForeignUse:
    """What others took in a trial, whatever is recorded of it."""
    if trial.profile is not None and trial.profile.samples:
        return _by_samples(run, trial)
    return _by_accounts(run, trial)


def _by_samples(run: Run, trial: Trial) -> ForeignUse:
    counts = trial.profile
    assert counts is not None
    if not names_server(counts):
        return UNKNOWN
    columns = unpack_profile(counts)
    rows = foreign_rows(counts, verdicts_for(run, _linux()), columns)
    samples = columns["count"].astype(np.int64)
    sums = np.bincount(columns["process"][rows].astype(np.int64), samples[rows], minlength=len(counts.comms))
    total = float(samples.sum())
    found: dict[str, float] = {}
    for comm, taken in zip(counts.comms, sums.tolist(), strict=True):
        if taken:
            found[comm] = found.get(comm, 0.0) + taken / total
    return ForeignUse(ratio=min(sum(found.values()), 1.0), by_process=_sorted(found), profiled=True)


@cache
def _linux() -> Profile:
    return catalog.profile(_PROFILE)


def _by_accounts(run: Run, trial: Trial) -> ForeignUse:
    use, samples = trial.cpu_use, trial.samples
    if use is None or samples is None or not samples.t_s or use.interval_s <= 0:
        return UNKNOWN
    cpus = len(run.bed.dut_cpus)
    available_s = sum(samples.interval_s) * cpus
    ticked = sum(sum(samples.counters[name]) for name in ("cpu_user_s", "cpu_system_s")) / available_s
    own = use.own_s / (use.interval_s * cpus)
    # ticks are samples: two standard deviations of a share are left to chance
    noise = 2 * math.sqrt(min(ticked, 1.0) * max(0.0, 1 - ticked) * _TICK_S / available_s)
    others = {name: seconds / (use.interval_s * cpus) for name, seconds in use.others_s.items()}
    return ForeignUse(ratio=min(max(0.0, ticked - own - noise), 1.0), by_process=_sorted(others), profiled=False)


def _sorted(shares: dict[str, float]) -> dict[str, float]:
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def noted(found: ForeignUse) -> bool:
    """Whether it is worth a warning."""
    return found.ratio > NOTED_RATIO


def warnings(run: Run, trial: Trial) -> list[str]:
    """One sentence when processes of others took CPU time on the measured CPUs."""
    text = sentence(run, trial)
    return [f"{PREFIX}{text}"] if text else []


def sentence(run: Run, trial: Trial) -> Sentence:
    """What others took of the measured CPUs, where it is worth a warning; "" otherwise.

    Its figures have the names that the table `doubts` has them under.
    """
    found = foreign(run, trial)
    if not noted(found):
        return say("")
    most = list(found.by_process.items())[:_NAMED]
    taken = amount(ALL_OTHERS, Quantity(found.ratio, _tenths))
    if found.profiled:
        names = [say("{comm} {share}", comm=comm, share=amount(comm, Quantity(share, _tenths))) for comm, share in most]
        return say("other processes used {taken} of the measured CPUs ({names})", taken=taken, names=join(", ", names))
    # how much of its time each of them spent there is not known
    busy = join(", ", [comm for comm, share in most if share > NOTED_RATIO])
    could = say(" (busy ones that may run there: {names})", names=busy) if busy else ""
    return say("other processes used at least {taken} of the measured CPUs{could}", taken=taken, could=could)


def _tenths(ratio: float) -> str:
    return f"{ratio:.1%}"
