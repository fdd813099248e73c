"""Wake-up latency: clock samples that fell due while a halted CPU was being woken, taken out of its busy time.

The timer of cpu-clock may come due between the interrupt that wakes a halted CPU (on a virtual machine: the host must
first run it again) and the moment in which interrupts are on again. Such a sample lands on the first instruction after
that, in the softirq entry, in the context of the idle task. Some of that time was the interrupt's handler at work. The
rest was before the first instruction, and the idle clock counts it as idle: kernel/time/tick-sched.c stops that clock
when the interrupt enters.

No sample tells which of the two it was, but their sums are known for every trial: what the profile counts as busy more
than the idle clock does, at most all of these samples. On the lab link of a virtual machine 12 to 41 % more were
counted without this, and the samples of the softirq entry were always enough.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from offloadbench.analysis.profile.attribution import AT_REST, OTHER, WAKE, Rules
from offloadbench.analysis.trial import metrics
from offloadbench.definitions.name_tables import base_name
from offloadbench.model import Trial

CLOCK_QUANTITY = "kernel_cpu_time_ns"
# perf(1) names the idle task of every CPU so, perf script swapper/0 and so on
_IDLE_TASK = "swapper"


def take_out(rows: pd.DataFrame, trials: Sequence[Trial], cpus: int, rules: Rules) -> pd.DataFrame:
    """The rows with the wake-up latency of each trial in a leaf of its own.

    Whole samples are moved, spread evenly over the seconds and CPUs that have them; a row of which only some are moved
    becomes two. Trials without an idle clock stay as they are.

    Args:
        rows: see `attribution.attribute`; `trial` is the place among `trials`.
        cpus: how many were measured.
    """
    waking = of_softirq_entry(rows, rules)
    excess = _excess_ns(rows, trials, cpus, waking)
    weight, samples = (rows[name].to_numpy() for name in ("weight", "samples"))
    trial = rows["trial"].to_numpy()
    moved = np.zeros(len(rows), dtype=np.int64)
    for place in np.flatnonzero(excess > 0):
        chosen = np.flatnonzero(waking & (trial == place))
        whole = float(weight[chosen].sum())
        part = min(1.0, excess[place] / whole) if whole else 0.0
        ends = np.rint(np.cumsum(samples[chosen]) * part).astype(np.int64)
        moved[chosen] = np.diff(ends, prepend=0)
    return _split(rows, moved) if moved.any() else rows


def of_softirq_entry(rows: pd.DataFrame, rules: Rules) -> npt.NDArray[np.bool_]:
    """Which rows are clock samples on the softirq entry in the context of the idle task."""

    def of(column: str, chosen: list[str]) -> npt.NDArray[np.bool_]:
        return rows[column].isin(chosen).to_numpy()

    entries = [name for name in rows["symbol"].cat.categories if base_name(name) in rules.softirq_entry]
    idle_tasks = [name for name in rows["comm"].cat.categories if name.partition("/")[0] == _IDLE_TASK]
    return of("symbol", entries) & of("comm", idle_tasks) & of("quantity", [CLOCK_QUANTITY])


def _excess_ns(
    rows: pd.DataFrame, trials: Sequence[Trial], cpus: int, waking: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """By trial: busy time of the profile less that of the idle clock; 0 without an idle clock."""
    busy = (rows["quantity"] == CLOCK_QUANTITY).to_numpy() & ~rows["leaf"].isin(AT_REST).to_numpy()
    sampled = np.bincount(rows["trial"], rows["weight"] * (busy | waking), minlength=len(trials))
    # a profile has one event that counts time: perf records cpu-clock where it has no others
    clocked = [metrics.busy_s(one.samples, cpus) * 1e9 if one.samples else np.inf for one in trials]
    return np.asarray(sampled - np.array(clocked), dtype=float)


def _split(rows: pd.DataFrame, moved: npt.NDArray[np.int64]) -> pd.DataFrame:
    """The rows with `moved` samples of each in the leaf of wake-up latency, in the order in which they were."""
    samples = rows["samples"].to_numpy()
    some = (moved > 0) & (moved < samples)
    place = np.repeat(np.arange(len(rows)), 1 + some)
    second = np.diff(place, prepend=-1) == 0
    # of a row that is split, the first half stays
    woken = (moved[place] == samples[place]) & (moved[place] > 0) | second
    found = rows.iloc[place].reset_index(drop=True)
    left = np.where(some[place], np.where(second, moved[place], samples[place] - moved[place]), samples[place])
    found["weight"] = rows["weight"].to_numpy()[place] * left // samples[place]
    found["samples"] = left
    waking = dict.fromkeys(("leaf", "module", "caller", "caller_module", "method"), WAKE) | {"floor": OTHER}
    for column, value in waking.items():
        known = found[column].cat.categories
        if value not in known:
            found[column] = found[column].cat.set_categories(sorted([*known, value]))
        found.loc[woken, column] = value
    return found
