"""The needs of a path as a page to read, each figure with its formula, and as lines to type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from offloadbench.analysis.tcp_tuning import needs
from offloadbench.analysis.tcp_tuning.needs import (
    DEFAULT_INITCWND,
    MAX_BUFFER_BYTES,
    MAX_WINDOW_BYTES,
    UNSCALED_WINDOW_BYTES,
    Needs,
    PathTarget,
)
from offloadbench.base.units import format_rate, format_seconds

# tcp_rmem's default grew to 128 KiB, and the first window to 64 KB (commit a337531b942b)
_FULL_FIRST_WINDOW = (4, 20)
_PARALLEL = (4, 8)


def route_lines(target: PathTarget) -> list[str]:
    """The `ip route` lines for the initial windows of a path: at the sender, and at a receiver that would cap it.

    A receiver since 4.20 offers 64 KB at first whatever initrwnd says; before, ten segments and more only if told.
    """
    route = "ip route change default via GATEWAY dev NIC"
    lines = [f"{route} initcwnd {target.initcwnd}"]
    if target.kernel < _FULL_FIRST_WINDOW and target.initcwnd > DEFAULT_INITCWND:
        lines.append(f"{route} initrwnd {target.initcwnd}")
    return lines


def sysctl_lines(wanted: Mapping[str, str]) -> list[str]:
    """One `sysctl -w` line a value."""
    return [f"sysctl -w {name}='{value}'" for name, value in wanted.items()]


def page(target: PathTarget, needed: Needs, wanted: Mapping[str, str]) -> str:
    """The whole page.

    Args:
        wanted: the sysctls that this machine lacks (`tcp_tuning.changes`).
    """
    rate, rtt = format_rate(target.bandwidth_bits_per_s), f"{target.rtt_s * 1e3:g} ms"
    lines = [
        f"PATH  {rate}, RTT {rtt}, MSS {target.mss_bytes} B, kernel {target.kernel[0]}.{target.kernel[1]}",
        "",
        "WINDOW",
        f"  bandwidth-delay product  {needed.bdp_bytes:,} B = {rate} x {rtt} / 8",
        f"  window                   {needed.window_bytes:,} B: {_window_reason(target, needed)}",
        f"  window scale             {needed.window_scale}: 65,535 x 2^{needed.window_scale} = "
        f"{UNSCALED_WINDOW_BYTES << needed.window_scale:,} B; both ends must have scaling on (RFC 7323)",
        f"  without scaling          {UNSCALED_WINDOW_BYTES:,} B, so at most {format_rate(needed.unscaled_bits_per_s)}"
        + (" a connection: enough" if needed.window_scale == 0 else ""),
    ]
    if needed.connections > target.streams:
        ends = "the protocol's largest" if needed.window_bytes == MAX_WINDOW_BYTES else "the largest of such a buffer"
        count = "one is not enough" if target.streams == 1 else "too few streams"
        lines.append(
            f"  {count:<24} a window ends at {needed.window_bytes:,} B ({ends}): use {needed.connections:,} connections"
        )
    lines += _parallel(target)
    lines += [
        "",
        "BUFFERS (bytes)",
        f"  tcp_rmem, third value    {needed.tcp_rmem_max_bytes:,} = window / {needed.window_ratio:g}; "
        + _ratio_reason(target),
        f"  tcp_wmem, third value    {needed.tcp_wmem_max_bytes:,} = 2 x window / 0.98{_capped(needed)}: "
        "loss recovery may hold 1.7",
        "                           windows (tcp_sndbuf_expand), and every sk_buff costs 1,280 B beside its payload",
        f"  net.core.rmem_max        {needed.rmem_max_bytes:,}: half of that, since SO_RCVBUF is doubled",
        f"  net.core.wmem_max        {needed.wmem_max_bytes:,}: half of that, since SO_SNDBUF is doubled",
        "  The net.core values limit setsockopt only (rmem_max also enters the announced scale); buffers that the",
        "  kernel tunes end at tcp_rmem and tcp_wmem. A program that sets a buffer ends that tuning for its socket.",
        "  tcp_mem counts pages, not bytes, and is a share of the memory of all of TCP: it is not touched.",
        "",
        "SLOW START, the window doubles every round trip (RFC 5681)",
        f"  initcwnd   first burst   to the full window   {target.size_bytes:,} B acknowledged",
    ]
    for start in needed.slow_start:
        mark = "*" if start.initcwnd == target.initcwnd else " "
        grown = f"{start.window_rounds} RTT"
        by_rounds = start.size_s <= start.size_rounds * target.rtt_s
        sent = f"{f'{start.size_rounds} RTT':>6}" if by_rounds else "line rate"
        lines.append(
            f" {mark}{start.initcwnd:>8}{start.burst_bytes:>12,} B"
            f"   {grown:>6} = {format_seconds(start.window_s, 4):<12}{sent} = {format_seconds(start.size_s, 4)}"
        )
    lines += _burst(target, needed)
    lines += [
        "  cwnd itself cannot be set; the first one can, per route. 10 is the default (RFC 6928), and right unless you",
        "  know the bottleneck: its queue must take the first burst at once, or the start costs a loss.",
        "  initrwnd, of the receiver's route, can only lower the first window since Linux 4.20, which offers 64 KB.",
    ]
    if target.initcwnd * target.mss_bytes > UNSCALED_WINDOW_BYTES:
        lines.append(f"  initcwnd {target.initcwnd} is more than that first window takes: the rest waits a round trip.")
    lines += [
        "  A connection that paused starts again from initcwnd; net.ipv4.tcp_slow_start_after_idle=0 ends that, at the",
        "  risk of a burst into a path that has changed (RFC 5681, 4.1).",
        "",
        "TO DO",
    ]
    lines += [f"  {line}" for line in sysctl_lines(wanted)] or ["  nothing: no sysctl of this machine is too small"]
    lines += [f"  {line}" for line in route_lines(target)]
    lines.append("  Routes are set by hand, with all else that `ip route show` has of them; initrwnd at the receiver.")
    return "\n".join(lines) + "\n"


def _window_reason(target: PathTarget, needed: Needs) -> str:
    share = -(-needed.bdp_bytes // target.streams)
    if needed.window_bytes > share:
        return "two segments, since delayed ACKs answer every second one; the path holds less"
    if target.streams > 1:
        return f"a connection's share of {target.streams}; it carries at most window / RTT"
    return "a connection carries at most window / RTT"


def _capped(needed: Needs) -> str:
    return ", but the kernel ends there" if needed.tcp_wmem_max_bytes == MAX_BUFFER_BYTES else ""


def _parallel(target: PathTarget) -> list[str]:
    """What several connections would need each, where one needs more than a window without scaling."""
    if target.streams > 1 or needs.needs(target).window_bytes <= UNSCALED_WINDOW_BYTES:
        return []
    lines: list[str] = []
    for streams in _PARALLEL:
        each = needs.needs(replace(target, streams=streams))
        if each.connections > streams:
            continue
        lines.append(
            f"  {streams} streams                {each.window_bytes:,} B, tcp_rmem {each.tcp_rmem_max_bytes:,}, "
            f"tcp_wmem {each.tcp_wmem_max_bytes:,} (tune --streams {streams})"
        )
    if not lines:
        return []
    title = "PARALLEL STREAMS share the path: a window, and buffers, each of"
    return ["", title, *lines, "  One lost packet then reduces one stream's window, not all that is on the way."]


def _burst(target: PathTarget, needed: Needs) -> list[str]:
    """What the first flight does to a path that holds less."""
    burst_bytes = target.initcwnd * target.mss_bytes
    if burst_bytes <= max(needed.bdp_bytes, 1):
        return []
    leaves = format_seconds(burst_bytes * 8 / target.bandwidth_bits_per_s, 4)
    return [
        f"  The first burst of {burst_bytes:,} B is more than the path holds: it takes {leaves} to leave, and",
        "  what else uses the path waits behind it.",
    ]


def _ratio_reason(target: PathTarget) -> str:
    if target.kernel >= (6, 6):
        return "sockets measure it since 6.6 (scaling_ratio)"
    return "the rest pays for truesize (tcp_adv_win_scale)"
