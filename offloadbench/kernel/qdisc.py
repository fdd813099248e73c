"""Queueing disciplines that make a device's way out a long line: a rate, a delay, loss and a queue (tc-netem(8)).

Three of them, one inside the other. netem takes a super-packet for one packet: it would lose it whole, and let all its
segments leave at once. So a token bucket comes first, which cuts what is longer than its bucket into segments before it
hands them on (tbf_segment in net/sched/sch_tbf.c); its own rate is far above every line's. Then netem with the rate:
it knows when the packet before ends, to the nanosecond, and a late timer is caught up. Then netem with delay and loss:
what is lost has taken its time on the line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from offloadbench.errors import HostError, UsageError
from offloadbench.kernel import link, netns

# A bucket of 1539 bytes holds a frame of 1514, and no super-packet: the kernel weighs one as its segments, each with
# its headers, which makes the smallest 1568. pyroute2 counts a bucket in whole microseconds of the rate, and the kernel
# that one as 15 units of 64 ns.
_CUTTER_BYTES_PER_S = 1_604_000_000
_CUTTER_BUCKET_BYTES = 1605
FASTEST_BITS_PER_S = 12 * 10**9
_NO_LIMIT_BYTES = 1 << 30
_NO_LIMIT_PACKETS = 1_000_000
_CUTTER, _RATE, _DELAY = 0x10000, 0x20000, 0x30000


@dataclass(frozen=True, slots=True)
class Line:
    """One direction of a line.

    Attributes:
        frame_overhead_bytes: what every frame takes on the line besides what the kernel counts.
        queue_packets: that may wait before it; 0: no limit.
    """

    rate_bits_per_s: int
    delay_s: float
    loss_ratio: float
    queue_packets: int
    frame_overhead_bytes: int


@dataclass(frozen=True, slots=True)
class Totals:
    """What a line has done since it stands.

    Attributes:
        packets, l2_bytes: that left it, without what was lost.
    """

    packets: int
    l2_bytes: int
    lost_packets: int
    overflow_packets: int


class MissingError(HostError):
    """This kernel has no netem, or no token bucket."""


def emulate(ifname: str, line: Line, namespace: str | None) -> None:
    """Make the device's way out the line.

    Raises:
        UsageError: the line is faster than the bucket can be.
        MissingError: the kernel lacks a queueing discipline.
        HostError: it refuses one.
    """
    if line.rate_bits_per_s > FASTEST_BITS_PER_S:
        raise UsageError(f"--line-rate: netem here ends at {FASTEST_BITS_PER_S // 10**9} Gbit/s", "use less")
    rate = {"rate": line.rate_bits_per_s // 8, "packet_overhead": line.frame_overhead_bytes}
    delay = {"delay": round(line.delay_s * 1e6), "loss": line.loss_ratio * 100, "limit": _NO_LIMIT_PACKETS}
    cutter = {"rate": _CUTTER_BYTES_PER_S, "burst": _CUTTER_BUCKET_BYTES, "limit": _NO_LIMIT_BYTES}
    index = link.read(ifname, namespace).index
    with netns.entered(namespace), IPRoute() as ipr:
        _add(ipr, "tbf", index, handle=_CUTTER, **cutter)
        _add(
            ipr, "netem", index, handle=_RATE, parent=_CUTTER + 1, limit=line.queue_packets or _NO_LIMIT_PACKETS, **rate
        )
        _add(ipr, "netem", index, handle=_DELAY, parent=_RATE + 1, **delay)


def _add(ipr: Any, kind: str, index: int, **values: Any) -> None:
    try:
        ipr.tc("add", kind, index, **values)
    except NetlinkError as error:
        if error.code == 2:
            raise MissingError(f"this kernel has no {kind}", f"modprobe sch_{kind}, or use --wire tap") from error
        raise HostError(f"{kind}: {error.args[-1]}", "use --wire tap") from error


def read(ifname: str, namespace: str | None) -> Totals:
    """The line's own counters; what the inner one drops, its parents count too."""
    index = link.read(ifname, namespace).index
    with netns.entered(namespace), IPRoute() as ipr:
        found = {message["handle"]: message.get_attr("TCA_STATS2") for message in ipr.get_qdiscs(index)}
    basic = found[_CUTTER].get_attr("TCA_STATS_BASIC")
    lost = found[_DELAY].get_attr("TCA_STATS_QUEUE")["drops"]
    return Totals(
        packets=basic["packets"],
        l2_bytes=basic["bytes"],
        lost_packets=lost,
        overflow_packets=found[_RATE].get_attr("TCA_STATS_QUEUE")["drops"] - lost,
    )
