"""What decides a first flight on kernels 2.6.18 and 2.6.18-*.el5, as data; and which of them does what."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

import msgspec

from offloadbench.base.errors import UsageError
from offloadbench.model import Frozen

# "let skbs grow over a page on fast peers" entered 2.6.18-121.el5; -128 (RHEL 5.3) was the first release with it
_FILLS_TO_GOAL = 121
# 5.5 (-194) still cuts at the window's edge, 5.6 (-238) cuts at multiples of the MSS
_CUTS_AT_MSS = 195
# x86_64 without netfilter, traffic control and DMA, as the executed vectors were built
_SK_BUFF_BYTES = 208
# el5 appended `peeked` for UDP, and padding; between -92 and -128
_SK_BUFF_PEEKED_BYTES = 216
_NAME = re.compile(r"2\.6\.18(\.\d+)?(-(?:(?P<build>\d+)[\w.+-]*\.)?el5[\w.+-]*)?")

Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0)]
# an IPv4 packet less its headers; 65535 scaled by 14; an int
LARGEST_MSS_BYTES, LARGEST_WINDOW_BYTES, LARGEST_SNDBUF_BYTES = 65495, 65535 << 14, 2**31 - 1
# net.ipv4.tcp_tso_win_divisor as every kernel has it by default
TSO_WIN_DIVISOR = 3


@dataclass(frozen=True, slots=True)
class Kernel:
    """The differences that matter here.

    Attributes:
        fills_to_goal: tcp_sendmsg pushes only skbs filled to the size goal (upstream 69d150673116, 2.6.25);
            otherwise after every page once a full segment is queued.
        cuts_at_mss: a window that is no multiple of the MSS cuts a TSO skb at an MSS boundary
            (upstream 0e3a4803aa06, 2.6.25); otherwise at the window's edge.
        sk_buff_bytes: sizeof(struct sk_buff), part of every skb's truesize.
    """

    name: str
    fills_to_goal: bool
    cuts_at_mss: bool
    sk_buff_bytes: int


def kernel(name: str) -> Kernel:
    """`2.6.18`, `2.6.18.8`, `2.6.18-274.7.1.el5`; `2.6.18-el5` is the last of them.

    Raises:
        UsageError: a kernel that is not modelled.
    """
    match = _NAME.fullmatch(name)
    if not match:
        raise UsageError(f"kernel {name!r} is not modelled", "2.6.18, 2.6.18-el5 or a full name like 2.6.18-274.el5")
    if match[2] is None:
        return Kernel(name, fills_to_goal=False, cuts_at_mss=False, sk_buff_bytes=_SK_BUFF_BYTES)
    build = int(match["build"]) if match["build"] else _CUTS_AT_MSS
    filling = build >= _FILLS_TO_GOAL
    return Kernel(
        name,
        fills_to_goal=filling,
        cuts_at_mss=build >= _CUTS_AT_MSS,
        sk_buff_bytes=_SK_BUFF_PEEKED_BYTES if filling else _SK_BUFF_BYTES,
    )


class IdleRestart(Frozen, frozen=True, kw_only=True):
    """An established connection that had nothing in flight for a while.

    Attributes:
        cwnd_before: congestion window when it fell silent, in segments.
    """

    cwnd_before: Positive
    idle_s: Annotated[float, msgspec.Meta(ge=0)]


class Scenario(Frozen, frozen=True, kw_only=True):
    """One server-side socket and what its application writes. Results beside these fields are never read.

    Attributes:
        label: a name only.
        initcwnd: the route's; 0 = not set.
        cached_rtt_ms: the RTT that an earlier connection left in the route's metrics; 0 = none.
        route_rtt_ms: `rtt` of the route, which counts until a connection has measured one; 0 = not set.
        tcp_no_metrics_save: connections leave nothing behind, so `cached_rtt_ms` does not exist.
        mss_bytes: payload of a full segment, after options.
        rwnd_bytes: the peer's window, which no ACK moves.
        writes_bytes: one send() each, in order; nothing follows.
        tcp_tso_win_divisor: the part of cwnd below which TSO waits; 0 = it waits below four segments.
        fin: the application closes after the last write, unless that sleeps.
        idle_restart: None = the first data of a new connection.
    """

    kernel: str
    tso: bool
    mss_bytes: Annotated[int, msgspec.Meta(ge=1, le=LARGEST_MSS_BYTES)]
    writes_bytes: list[Count]
    label: str = ""
    initcwnd: Count = 0
    cached_rtt_ms: Milliseconds = 0
    route_rtt_ms: Milliseconds = 0
    tcp_no_metrics_save: bool = False
    timestamps: bool = True
    rwnd_bytes: Annotated[int, msgspec.Meta(ge=0, le=LARGEST_WINDOW_BYTES)] = 65535
    sndbuf_bytes: Annotated[int, msgspec.Meta(ge=1, le=LARGEST_SNDBUF_BYTES)] = 16384
    nodelay: bool = False
    tcp_tso_win_divisor: Count = TSO_WIN_DIVISOR
    fin: bool = False
    idle_restart: IdleRestart | None = None
