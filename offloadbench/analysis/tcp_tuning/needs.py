"""What TCP needs to fill a path: window, scale factor, buffers, slow start. Arithmetic only, nothing is read or set.

Sizes are bytes, times seconds, rates bits per second. Sources: Documentation/networking/ip-sysctl.rst,
include/net/tcp.h, net/ipv4/tcp_input.c and tcp_output.c, RFC 5681, RFC 6928, RFC 7323.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from offloadbench.analysis.sender import theory

UNSCALED_WINDOW_BYTES = 65_535
MAX_WINDOW_SCALE = 14
MAX_WINDOW_BYTES = UNSCALED_WINDOW_BYTES << MAX_WINDOW_SCALE
DEFAULT_INITCWND = 10
_PAGE_BYTES = 4096
# sysctls of buffer sizes are C ints
MAX_BUFFER_BYTES = (2**31 - 1) // _PAGE_BYTES * _PAGE_BYTES
# RFC 9438: Cubic's C, segments / s^3, and beta
_CUBIC_C, _CUBIC_BETA = 0.4, 0.7
# a receiver acknowledges every second full segment at once (RFC 5681, 4.2); one alone waits for the delayed ACK
_LEAST_SEGMENTS = 2
# tcp_sndbuf_expand() gives twice the congestion window: Cubic's recovery may have 1.7 windows on the way
_RECOVERY_FACTOR = 2

RMEM, WMEM = "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"
# tcp_rmem (since 4.20) and tcp_wmem as the kernel sets them where memory is not short (tcp_init, net/ipv4/tcp.c)
KERNEL_BYTES = {RMEM: (4096, 131_072, 6 << 20), WMEM: (4096, 16_384, 4 << 20)}
# a default or minimum beyond it is one that was meant as a maximum
HUGE_BYTES = 1 << 20
RMEM_MAX, WMEM_MAX = "net.core.rmem_max", "net.core.wmem_max"
WINDOW_SCALING, MODERATE_RCVBUF = "net.ipv4.tcp_window_scaling", "net.ipv4.tcp_moderate_rcvbuf"
ADV_WIN_SCALE = "net.ipv4.tcp_adv_win_scale"
TUNED = (WINDOW_SCALING, MODERATE_RCVBUF, RMEM, WMEM, RMEM_MAX, WMEM_MAX)


def bdp_bytes(bandwidth_bits_per_s: float, rtt_s: float) -> int:
    """Bandwidth-delay product, rounded up to a byte: 100 Mbit/s x 2 s is 25,000,000 bytes.

    It is what must be on the way, unacknowledged, for the path to be full.
    """
    # a picobyte less, since 0.04 s is not a binary number
    return max(1, math.ceil(bandwidth_bits_per_s * rtt_s / 8 - 1e-6))


def window_scale(window_bytes: int) -> int:
    """The least shift count n, 0 to 14, with 65535 x 2^n >= the window (RFC 7323, 2.2); 14 where none is enough."""
    return next((n for n in range(MAX_WINDOW_SCALE) if UNSCALED_WINDOW_BYTES << n >= window_bytes), MAX_WINDOW_SCALE)


def announced_window_scale(tcp_rmem_max_bytes: int, rmem_max_bytes: int) -> int:
    """The shift count that Linux puts into its SYN: from the larger of the two limits (tcp_select_initial_window)."""
    space = min(max(tcp_rmem_max_bytes, rmem_max_bytes, 1), MAX_WINDOW_BYTES)
    return min(max(space.bit_length() - 16, 0), MAX_WINDOW_SCALE)


def connection_rate_bits_per_s(window_bytes: float, rtt_s: float) -> float:
    """The most that one connection carries: a window a round trip (RFC 9293, 3.8.6)."""
    return window_bytes * 8 / rtt_s


def reno_recovery_s(segments: float, rtt_s: float) -> float:
    """From one loss to the full window: Reno wins half of it back by a segment a round trip (RFC 5681, 3.1)."""
    return segments / 2 * rtt_s


def cubic_recovery_s(segments: float, rtt_s: float) -> float:
    """The same of Cubic: K seconds, and never slower than Reno (RFC 9438, 4.2)."""
    return min(reno_recovery_s(segments, rtt_s), math.cbrt(segments * (1 - _CUBIC_BETA) / _CUBIC_C))


def window_ratio(kernel: tuple[int, int], adv_win_scale: int | None = None) -> float:
    """What part of a receive buffer is offered as window; the rest pays for sk_buffs and unused page space (truesize).

    Before 6.6: tcp_adv_win_scale n takes 1/2^n of the buffer away (n > 0) or leaves 1/2^-n of it (n <= 0); its default
    was 2 before 3.4 and is 1 since. Since 6.6 the value is ignored: every socket measures payload per truesize
    (scaling_ratio). A half is what new sockets assume since 6.10 and in stable updates before (commit 697a6c8cec03; the
    first of these kernels took a quarter, for good where SO_RCVBUF was set); full segments come to more.

    Args:
        kernel: major and minor version.
        adv_win_scale: the value found; None for the default of that version.
    """
    if kernel >= (6, 6):
        return 0.5
    scale = adv_win_scale if adv_win_scale is not None else (1 if kernel >= (3, 4) else 2)
    return 1 - 2.0**-scale if scale > 0 else 2.0**scale


def receive_buffer_bytes(window_bytes: int, ratio: float) -> int:
    """The receive buffer (sk_rcvbuf, tcp_rmem's third value) that a window needs, in whole pages."""
    return _whole_pages(window_bytes / ratio)


def send_buffer_bytes(window_bytes: int) -> int:
    """The send buffer (sk_sndbuf, tcp_wmem's third value) for a congestion window of this size, in whole pages.

    Twice the window (see `_RECOVERY_FACTOR`), and what sk_buffs cost beside their payload in super-packets.
    """
    return _whole_pages(window_bytes * _RECOVERY_FACTOR / theory.payload_ratio())


def growth_rounds(window_bytes: int, initcwnd: int, mss_bytes: int) -> int:
    """Round trips until slow start, doubling from initcwnd, has a congestion window of this size (RFC 5681, 3.1).

    Linux counts acknowledged segments, not ACKs, so delayed ACKs do not slow it; HyStart may end it earlier. 64 KB from
    initcwnd 1 are 6 round trips.
    """
    segments = math.ceil(window_bytes / mss_bytes)
    return max(0, (math.ceil(segments / initcwnd) - 1).bit_length())


def delivery_rounds(size_bytes: int, initcwnd: int, mss_bytes: int, window_bytes: int = MAX_WINDOW_BYTES) -> int:
    """Round trips until so many bytes have been sent and acknowledged, if nothing is lost.

    Args:
        window_bytes: where growth ends.
    """
    left, cwnd, rounds = math.ceil(size_bytes / mss_bytes), initcwnd, 0
    ceiling = max(1, window_bytes // mss_bytes)
    while left > 0:
        if cwnd >= ceiling:
            return rounds + math.ceil(left / ceiling)
        left -= cwnd
        cwnd *= 2
        rounds += 1
    return rounds


@dataclass(frozen=True, slots=True)
class PathTarget:
    """The path to fill, and where from.

    Attributes:
        kernel: major and minor version of the machine that is tuned.
        adv_win_scale: net.ipv4.tcp_adv_win_scale as found; None: the kernel's default.
        size_bytes: of the transfer whose round trips are counted.
        streams: connections that share the path.
    """

    bandwidth_bits_per_s: int
    rtt_s: float
    kernel: tuple[int, int]
    adv_win_scale: int | None = None
    initcwnd: int = DEFAULT_INITCWND
    mss_bytes: int = theory.MSS_BYTES
    size_bytes: int = 65_536
    streams: int = 1


@dataclass(frozen=True, slots=True)
class SlowStart:
    """How long the start takes from one initial window.

    Attributes:
        window_rounds, window_s: until the window fills the path.
        size_rounds, size_s: until a transfer of `Target.size_bytes` is acknowledged; size_s is the line's time and one
            round trip where the line takes longer to send it than the rounds last.
        burst_bytes: what leaves at once, and the queue of the bottleneck must take.
    """

    initcwnd: int
    window_rounds: int
    window_s: float
    size_rounds: int
    size_s: float
    burst_bytes: int


@dataclass(frozen=True, slots=True)
class Needs:
    """What filling the path takes.

    Attributes:
        window_bytes: of one connection: its share of the product, at least two segments, unless no connection can
            have such a window.
        connections: how many such windows the path needs.
        tcp_rmem_max_bytes, tcp_wmem_max_bytes: the third values, for buffers that the kernel tunes itself.
        rmem_max_bytes, wmem_max_bytes: for programs that call setsockopt: SO_RCVBUF and SO_SNDBUF are doubled.
    """

    bdp_bytes: int
    window_bytes: int
    window_scale: int
    connections: int
    window_ratio: float
    tcp_rmem_max_bytes: int
    tcp_wmem_max_bytes: int
    rmem_max_bytes: int
    wmem_max_bytes: int
    unscaled_bits_per_s: float
    slow_start: tuple[SlowStart, ...]


def needs(target: PathTarget) -> Needs:
    """Everything that the path asks for; `slow_start` holds the initcwnd asked for and, beside it, 1, 10, 20 and 40."""
    product = bdp_bytes(target.bandwidth_bits_per_s, target.rtt_s)
    ratio = window_ratio(target.kernel, target.adv_win_scale)
    most = max(1, min(MAX_WINDOW_BYTES, math.floor(MAX_BUFFER_BYTES * ratio)))
    window = min(max(-(-product // target.streams), _LEAST_SEGMENTS * target.mss_bytes), most)
    receive, send = receive_buffer_bytes(window, ratio), send_buffer_bytes(window)
    return Needs(
        bdp_bytes=product,
        window_bytes=window,
        window_scale=window_scale(window),
        connections=max(target.streams, -(-product // window)),
        window_ratio=ratio,
        tcp_rmem_max_bytes=receive,
        tcp_wmem_max_bytes=send,
        rmem_max_bytes=-(-receive // 2),
        wmem_max_bytes=-(-send // 2),
        unscaled_bits_per_s=connection_rate_bits_per_s(UNSCALED_WINDOW_BYTES, target.rtt_s),
        slow_start=tuple(
            _slow_start(target, window, initcwnd) for initcwnd in sorted({1, 10, 20, 40, target.initcwnd})
        ),
    )


def changes(needed: Needs, found: Mapping[str, str]) -> dict[str, str]:
    """The sysctls to set: name -> value, in the order of `TUNED`. A value that is large enough already is left alone.

    A line that has to be written for its maximum is written whole: its minimum and default are put right as well.

    Args:
        found: present values as /proc/sys shows them; a name that is missing is not tuned.
    """
    wanted = {}
    for name in (WINDOW_SCALING, MODERATE_RCVBUF):
        if found.get(name) == "0":
            wanted[name] = "1"
    for name, maximum_bytes in ((RMEM, needed.tcp_rmem_max_bytes), (WMEM, needed.tcp_wmem_max_bytes)):
        if name in found and int(found[name].split()[2]) < maximum_bytes:
            wanted[name] = repaired(name, found[name], maximum_bytes)
    for name, maximum_bytes in ((RMEM_MAX, needed.rmem_max_bytes), (WMEM_MAX, needed.wmem_max_bytes)):
        if name in found and int(found[name]) < maximum_bytes:
            wanted[name] = str(maximum_bytes)
    return wanted


def repaired(name: str, triple: str, maximum_bytes: int = 0) -> str:
    """Minimum, default and maximum of tcp_rmem or tcp_wmem in their order: the kernel's own where they were mistaken.

    The largest value that was given stays the maximum, or `maximum_bytes` where that is more. A value that needs no
    repair comes back as it is.
    """
    least, default, most = (int(value) for value in triple.split())
    kernel_least, kernel_default, kernel_most = KERNEL_BYTES[name]
    highest = max(least, default, most, maximum_bytes)
    if default > HUGE_BYTES or default >= max(most, maximum_bytes):
        default = min(default, kernel_default)
        highest = highest if highest > default else kernel_most
    if least > HUGE_BYTES or least > default:
        least = min(kernel_least, default)
    return f"{least} {default} {highest}"


def _slow_start(target: PathTarget, window_bytes: int, initcwnd: int) -> SlowStart:
    window_rounds = growth_rounds(window_bytes, initcwnd, target.mss_bytes)
    size_rounds = delivery_rounds(target.size_bytes, initcwnd, target.mss_bytes, window_bytes)
    return SlowStart(
        initcwnd=initcwnd,
        window_rounds=window_rounds,
        window_s=window_rounds * target.rtt_s,
        size_rounds=size_rounds,
        size_s=max(size_rounds * target.rtt_s, target.size_bytes * 8 / target.bandwidth_bits_per_s + target.rtt_s),
        burst_bytes=initcwnd * target.mss_bytes,
    )


def _whole_pages(size_bytes: float) -> int:
    return min(math.ceil(size_bytes / _PAGE_BYTES) * _PAGE_BYTES, MAX_BUFFER_BYTES)
