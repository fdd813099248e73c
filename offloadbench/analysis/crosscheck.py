"""Do the samples add up? Their weights against a plain count of the same event, window and CPUs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offloadbench.model import ProfileCounts
from offloadbench.runfile import unpack_profile

# a larger gap is a warning in the result
NOTED_RATIO = 0.02


@dataclass(frozen=True, slots=True)
class Check:
    """One event: the sum of its samples' weights beside its count, both in its unit.

    Attributes:
        gap_ratio: what the samples miss (negative) or have too much, of the count.
    """

    event: str
    quantity: str
    sampled: float
    counted: float

    @property
    def gap_ratio(self) -> float:
        return self.sampled / self.counted - 1


def check(counts: ProfileCounts) -> list[Check]:
    """Every event that was counted too. A time clock runs on idle CPUs as well, and so do its samples."""
    columns = unpack_profile(counts)
    sums = np.bincount(
        columns["event"].astype(np.int64), weights=columns["weight"].astype(float), minlength=len(counts.events)
    )
    return [
        Check(event.name, event.quantity, float(total), counts.counted[event.name])
        for event, total in zip(counts.events, sums, strict=True)
        if counts.counted.get(event.name)
    ]


def warnings(counts: ProfileCounts) -> list[str]:
    """One sentence per event whose samples and count are apart."""
    found = [
        f"the samples of {one.event} sum to {one.sampled:.4g}, a plain count says {one.counted:.4g} "
        f"({one.gap_ratio:+.1%}): shares by module may be off"
        for one in check(counts)
        if abs(one.gap_ratio) > NOTED_RATIO
    ]
    return [*found, f"the plain count beside the samples is doubtful: {counts.counting}"] if counts.counting else found
