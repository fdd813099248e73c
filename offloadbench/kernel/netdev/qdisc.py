"""Queueing disciplines that make a device's way out a long line: a rate, a delay, loss and a queue (tc-netem(8)).

Three of them, one inside the other. netem takes a super-packet for one packet: it would lose it whole, and let all its
segments leave at once. So a token bucket comes first, which cuts what is longer than its bucket into segments before it
hands them on (tbf_segment in net/sched/sch_tbf.c); its own rate is far above every line's. Then netem with the rate:
it knows when the packet before ends, to the nanosecond, and a late timer is caught up. Then netem with delay and loss:
what is lost has taken its time on the line.

Set up by tc(8): pyroute2 0.9 sends a netem's rate as an estimator's (TCA_RATE), which the kernel refuses. Read by
rtnetlink: starting tc takes a slow machine half a second, and a count must be of the moment that its rate is taken for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sh
from pyroute2 import IPRoute

from offloadbench.base.errors import HostError
from offloadbench.kernel.system import netns
from offloadbench.model import EmulatedLink

# A bucket that holds a frame of 1514 bytes and no super-packet: the kernel weighs one as its segments, each with its
# headers, which makes the smallest 1568.
_CUTTER = ["tbf", "rate", "200gbit", "burst", "1540", "limit", "1gb"]
_NO_LIMIT_PACKETS = 1_000_000
_FULL_FRAME_BYTES = 1514
_CUTTER_HANDLE, _RATE_HANDLE, _DELAY_HANDLE = 1, 2, 3
_UNKNOWN = "qdisc kind is unknown"


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


def emulate(ifname: str, link: EmulatedLink, frame_overhead_bytes: int, namespace: str | None) -> None:
    """Make the device's way out one direction of the link.

    netem sorts packets by the time at which they are due, so that under jitter one may overtake another (sch_netem.c,
    tfifo_enqueue). It counts a queue in packets: here those of full size.

    Args:
        frame_overhead_bytes: what every frame takes on the line besides what the kernel counts.

    Raises:
        MissingError: the kernel lacks a queueing discipline.
        HostError: it refuses one, or tc(8) is missing.
    """
    rate = ["netem", "rate", f"{link.line_rate_bits_per_s}bit", str(frame_overhead_bytes)]
    # netem spreads evenly around the delay that it is given (tabledist without a table)
    delay = ["netem", "delay", f"{(link.rtt_s + link.jitter_s) / 2 * 1e6:.0f}us"]
    delay += [f"{link.jitter_s / 2 * 1e6:.0f}us"] if link.jitter_s else []
    delay += ["limit", str(_NO_LIMIT_PACKETS)]
    loss = ["loss", "random", f"{link.loss_ratio * 100:.6f}%"] if link.loss_ratio else []
    add = ["qdisc", "add", "dev", ifname]
    _tc([*add, "root", "handle", f"{_CUTTER_HANDLE}:", *_CUTTER], namespace)
    limit = ["limit", str(link.queue_bytes // (_FULL_FRAME_BYTES + frame_overhead_bytes) or _NO_LIMIT_PACKETS)]
    _tc([*add, "parent", f"{_CUTTER_HANDLE}:1", "handle", f"{_RATE_HANDLE}:", *rate, *limit], namespace)
    _tc([*add, "parent", f"{_RATE_HANDLE}:1", "handle", f"{_DELAY_HANDLE}:", *delay, *loss], namespace)


def _tc(words: list[str], namespace: str | None) -> str:
    try:
        with netns.entered(namespace):
            return str(sh.tc(*words))
    except sh.CommandNotFound as error:
        raise HostError("tc is not installed", "apt-get install iproute2") from error
    except sh.ErrorReturnCode as error:
        reason = error.stderr.decode(errors="replace").strip().replace("\n", " ")
        if _UNKNOWN in reason:
            kind = "netem" if "netem" in words else "tbf"
            raise MissingError(f"this kernel has no {kind}", f"modprobe sch_{kind}, or use --wire tap") from error
        raise HostError(f"tc {' '.join(words)}: {reason}", "use --wire tap") from error


@dataclass(frozen=True, slots=True)
class QdiscCounts:
    """What one queueing discipline counted."""

    packets: int
    l2_bytes: int
    drops: int


def read(ifnames: Sequence[str], namespace: str | None) -> list[Totals]:
    """The lines' own counters, all of one moment.

    Raises:
        KeyError: one of these devices is gone, or is no line.
    """
    with netns.entered(namespace), IPRoute() as ipr:
        places = {message["index"]: message.get_attr("IFLA_IFNAME") for message in ipr.link("dump")}
        messages = list(ipr.get_qdiscs())
    found: dict[str, dict[int, QdiscCounts]] = {}
    for message in messages:
        stats = message.get_attr("TCA_STATS2")
        basic, queue = stats.get_attr("TCA_STATS_BASIC"), stats.get_attr("TCA_STATS_QUEUE")
        found.setdefault(places[message["index"]], {})[message["handle"] >> 16] = QdiscCounts(
            basic["packets"], basic["bytes"], queue["drops"]
        )
    return [totals(found[ifname]) for ifname in ifnames]


def totals(found: Mapping[int, QdiscCounts]) -> Totals:
    """Of one line: what the inner one drops, its parents count too.

    Args:
        found: handle (its major number) -> what that discipline counted.
    """
    whole, lost = found[_CUTTER_HANDLE], found[_DELAY_HANDLE].drops
    return Totals(whole.packets, whole.l2_bytes, lost, found[_RATE_HANDLE].drops - lost)
