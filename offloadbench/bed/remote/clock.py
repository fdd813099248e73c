"""How far the load host's clock is from ours, by round trips (the method of NTP, RFC 5905, section 8)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

ROUNDS = 15


@dataclass(frozen=True, slots=True)
class Offset:
    """The other clock minus ours (both monotonic), known to within `uncertainty_s` for certain."""

    offset_s: float
    uncertainty_s: float


def estimate(their_time_ns: Callable[[], int], rounds: int = ROUNDS) -> Offset:
    """From the quickest of some round trips: whatever its two ways took, the error is at most half of it."""
    trips = []
    for _ in range(rounds):
        asked_ns = time.monotonic_ns()
        theirs_ns = their_time_ns()
        answered_ns = time.monotonic_ns()
        trips.append((answered_ns - asked_ns, theirs_ns - (asked_ns + answered_ns) / 2))
    quickest_ns, offset_ns = min(trips)
    return Offset(offset_ns * 1e-9, quickest_ns * 0.5e-9)
