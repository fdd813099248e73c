"""Do the modules of a trial sum to its CPU time? Trial by trial, from run files.

    python -m tests.benchmarks.busy_time RUN.json...

Seconds of CPU time in the window: busy by the idle clock; by the profile with wake-up latency ("before") and without it
("after"), each with its difference from the clock; what steal leaves open of the clock's; and, of the busy time, the
share that no module can claim (irq-off skid) and that of interrupt handlers. The last line has the extremes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from offloadbench.analysis.profile.attributed_samples import Attributed, batches
from offloadbench.analysis.profile.attribution import IDLE, SHADOW, WAKE
from offloadbench.analysis.profile.wakeups import CLOCK_QUANTITY
from offloadbench.analysis.trial import metrics
from offloadbench.definitions import catalog
from offloadbench.files import run_file
from offloadbench.model import Run


@dataclass(frozen=True, slots=True)
class Sums:
    """CPU seconds of one trial."""

    name: str
    clock_s: float
    low_s: float
    high_s: float
    waking_s: float
    profile_s: float
    skid_s: float
    irq_s: float

    @property
    def before(self) -> float:
        return (self.profile_s + self.waking_s) / self.clock_s - 1

    @property
    def after(self) -> float:
        return self.profile_s / self.clock_s - 1

    @property
    def outside(self) -> float:
        """How far the profile lies outside the bounds of the clock's busy time; 0 inside."""
        return max(self.profile_s / self.high_s - 1, 1 - self.profile_s / self.low_s if self.low_s else 0.0, 0.0)

    def __str__(self) -> str:
        return (
            f"{self.name:<38}{self.clock_s:>7.2f}{self.profile_s + self.waking_s:>8.2f}{self.before:>+8.1%}"
            f"{self.waking_s:>8.2f}{self.profile_s:>8.2f}{self.after:>+7.1%}   {self.low_s:.2f} to {self.high_s:.2f}"
            f"{self.skid_s / self.profile_s:>8.1%}{self.irq_s / self.profile_s:>7.1%}"
        )


HEAD = f"{'trial':<38}{'clock':>7}{'before':>8}{'more':>8}{'waking':>8}{'after':>8}{'more':>7}"
HEAD += f"   {'bounds':<12}{'skid':>8}{'irq':>7}"


def sums(run: Run) -> Iterator[Sums]:
    """Of every trial that moved data and whose profile counts time."""
    for batch in batches(run, catalog.profile("linux")):
        yield from (_sums(item) for item in batch.items if metrics.payload_bytes(item.trial))


def _sums(item: Attributed) -> Sums:
    trial, cpus = item.trial, len(item.run.bed.dut_cpus)
    assert trial.samples is not None
    rows = item.rows[item.rows["quantity"] == CLOCK_QUANTITY]
    by_leaf = (rows.groupby("leaf", observed=True)["weight"].sum() / 1e9).to_dict()
    low, high = metrics.busy_bounds_s(trial.samples, cpus)
    return Sums(
        name=f"{item.run.nic.name}, {trial.workload}, {trial.case}, {trial.repeat}",
        clock_s=metrics.busy_s(trial.samples, cpus),
        low_s=low,
        high_s=high,
        waking_s=by_leaf.get(WAKE, 0.0),
        profile_s=sum(seconds for leaf, seconds in by_leaf.items() if leaf not in (IDLE, WAKE)),
        skid_s=by_leaf.get(SHADOW, 0.0),
        irq_s=by_leaf.get("irq", 0.0),
    )


def main(paths: list[str]) -> None:
    found = [one for path in paths for one in sums(run_file.load(path))]
    print(HEAD)
    for one in found:
        print(one)
    print(
        f"{len(found)} trials: before {min(one.before for one in found):+.1%} to "
        f"{max(one.before for one in found):+.1%}, "
        f"after {min(one.after for one in found):+.1%} to {max(one.after for one in found):+.1%}, at most "
        f"{max(one.outside for one in found):.1%} outside the bounds; skid at most "
        f"{max(one.skid_s / one.profile_s for one in found):.1%}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
