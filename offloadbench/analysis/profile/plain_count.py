"""Whether the samples add up: their weights against a plain count of the same window and CPUs.

The timer of cpu-clock stands still while a hypervisor has the CPU, and the plain count goes on: where 24 % of a window
was taken away, its samples were 16 % short; with no steal the two are within 0.1 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offloadbench.files.packed_columns import unpack_profile
from offloadbench.model import ProfileCounts

# beyond this the samples do not stand for what was counted
NOTED_RATIO = 0.02


@dataclass(frozen=True, slots=True)
class CountGap:
    """One event, sampled and counted; both in the event's unit, idle included."""

    event: str
    quantity: str
    sampled: float
    counted: float

    @property
    def ratio(self) -> float:
        """How much more was sampled than counted; negative when samples are missing."""
        return self.sampled / self.counted - 1

    @property
    def noted(self) -> bool:
        return abs(self.ratio) > NOTED_RATIO


def gaps(counts: ProfileCounts) -> list[CountGap]:
    """One for each event of a profile that was counted too; empty where nothing was counted."""
    if not any(counts.counted.get(event.name, 0) > 0 for event in counts.events):
        return []
    columns = unpack_profile(counts)
    sums = np.bincount(
        columns["event"].astype(np.int64), weights=columns["weight"].astype(float), minlength=len(counts.events)
    )
    return [
        CountGap(event.name, event.quantity, float(sampled), counts.counted[event.name])
        for event, sampled in zip(counts.events, sums, strict=True)
        if counts.counted.get(event.name, 0) > 0
    ]


def warnings(counts: ProfileCounts) -> list[str]:
    """One sentence per event whose samples and count are apart, and one when the count itself is doubtful."""
    found = [
        f"the samples of {gap.event} add up to {abs(gap.ratio):.1%} {'more' if gap.ratio > 0 else 'less'} than a plain "
        f"count of the same window ({gap.sampled:.4g} against {gap.counted:.4g}, idle included); shares of modules may "
        "be off"
        for gap in gaps(counts)
        if gap.noted
    ]
    return [*found, f"the plain count beside the samples is doubtful: {counts.counting}"] if counts.counting else found
