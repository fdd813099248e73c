"""Whether the samples add up: their weights against a plain count of the same window and CPUs.

The timer of cpu-clock stands still while a hypervisor has the CPU, and the plain count goes on: where 24 % of a window
was taken away, its samples were 16 % short; with no steal the two are within 0.1 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from offloadbench.base.sentence import Quantity, Sentence, Source, say
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
    return [str(text) for text in sentences(counts, {})]


def sentences(counts: ProfileCounts, trial: Mapping[str, object]) -> list[Sentence]:
    """The same with their sources; `trial`: column -> value of its rows in the table `counts`."""
    found = [_apart(gap, {**trial, "event": gap.event}) for gap in gaps(counts) if gap.noted]
    if counts.counting:
        found.append(say("the plain count beside the samples is doubtful: {counting}", counting=counts.counting))
    return found


def _apart(gap: CountGap, where: Mapping[str, object]) -> Sentence:
    return say(
        "the samples of {event} add up to {gap} {direction} than a plain count of the same window ({sampled} against "
        "{counted}, idle included); shares of modules may be off",
        event=gap.event,
        gap=Quantity(gap.ratio, _size, Source("counts", "relative_gap", where)),
        direction="more" if gap.ratio > 0 else "less",
        sampled=Quantity(gap.sampled, _figure, Source("counts", "sampled", where)),
        counted=Quantity(gap.counted, _figure, Source("counts", "counted", where)),
    )


def _size(ratio: float) -> str:
    return f"{abs(ratio):.1%}"


def _figure(value: float) -> str:
    return f"{value:.4g}"
