"""Whether a sender was read as often as it should have been, and what prevented it."""

from __future__ import annotations

from collections.abc import Sequence

from offloadbench.model import TcpTrace

# below this share of its ticks a trace may hide short waits
WANTED_RATIO = 0.99


def warnings(traces: Sequence[TcpTrace]) -> list[str]:
    """One sentence on the trace that lacks most; none where every one has 99 % of its ticks."""
    followed = [trace for trace in traces if trace.ticks_due]
    if not followed:
        return []
    worst = min(followed, key=lambda trace: trace.ticks_taken / trace.ticks_due)
    taken = worst.ticks_taken / worst.ticks_due
    if taken >= WANTED_RATIO:
        return []
    reasons = []
    if worst.missed_asleep:
        reasons.append(
            f"{worst.missed_asleep} because its CPU was in the kernel for another thread, which a kernel without full "
            "preemption does not interrupt (preempt=full, or a CPU of its own)"
        )
    if worst.missed_reading:
        reasons.append(
            f"{worst.missed_reading} because the sender held its socket's lock, as it does all the time that it "
            "spends in send (smaller writes)"
        )
    return [f"the sender was read at {taken:.1%} of its ticks only; missed: {'; '.join(reasons)}"]
