"""Whether an emulated link carried what the trial gave it, or was the limit itself.

The process that emulates the link loses no link time by its own schedule as long as nothing waits for it. Once it is
the limit, though, everything in flight waits for it: the sender has nothing to send until it answers, the link runs
empty again and again, and hardly anything is ever behind schedule. What shows then is that it never sleeps while the
link is not full.
"""

from __future__ import annotations

from offloadbench.model import WireReport

# FCS 4, preamble and start delimiter 8, inter-frame gap 12 (IEEE 802.3)
_FRAME_OVERHEAD_BYTES = 24
# from here on the link is the limit, however little the emulator sleeps
_FULL_RATIO = 0.98
# Asleep less than this, with room on the link: the emulator was the busier of the two, and so the limit. Seen without
# TSO above what it can move: 0.02 to 0.05 on an idle machine, 0.07, 0.09 and above 0.10 where other work shared
# its CPU; on a full link of 0.9 Gbit/s 0.16 there.
SATURATED_RATIO = 0.20
# Less than this: it may have been. With TSO 64 packets hold all that may be in flight, and the time between two looks
# is a limit before all of it is work; seen: 0.20 to 0.27 at 20 Gbit/s.
NARROW_RATIO = 0.35


def used_ratio(wire: WireReport, line_rate_bits_per_s: int) -> float:
    """How full the fuller direction of the link was, from 0 to 1 (a little more where a window cuts frames)."""
    carried = max(
        direction.l2_bytes + direction.segments * _FRAME_OVERHEAD_BYTES for direction in (wire.to_peer, wire.to_dut)
    )
    return carried * 8 / wire.interval_s / line_rate_bits_per_s


def full(wire: WireReport | None, line_rate_bits_per_s: int) -> bool:
    """Whether the link itself was the limit."""
    if wire is None or not wire.interval_s or not line_rate_bits_per_s:
        return False
    return used_ratio(wire, line_rate_bits_per_s) >= _FULL_RATIO


def _asleep_less_than(ratio: float, wire: WireReport | None, line_rate_bits_per_s: int) -> str:
    """The figures, where the emulator slept less than this with room on the link; "" where not, or not known."""
    if wire is None or wire.asleep_ratio is None or not wire.interval_s or not line_rate_bits_per_s:
        return ""
    used = used_ratio(wire, line_rate_bits_per_s)
    if wire.asleep_ratio >= ratio or used >= _FULL_RATIO:
        return ""
    return f"idle {wire.asleep_ratio:.0%} of the time, the link {used:.0%} full"


def saturated(wire: WireReport | None, line_rate_bits_per_s: int) -> str:
    """Why throughput and CPU time of a trial are those of the emulator's limit; "" where they are not."""
    figures = _asleep_less_than(SATURATED_RATIO, wire, line_rate_bits_per_s)
    return f"the link emulator was the limit ({figures})" if figures else ""


def narrow(wire: WireReport | None, line_rate_bits_per_s: int) -> str:
    """A warning where the emulator may have been the limit; "" where it was not, or certainly was."""
    if saturated(wire, line_rate_bits_per_s):
        return ""
    figures = _asleep_less_than(NARROW_RATIO, wire, line_rate_bits_per_s)
    return f"the link emulator may have limited the throughput ({figures})" if figures else ""
