"""What initial windows, congestion control and queueing discipline cost on a path; and every finding in one list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from offloadbench.analysis.sender import theory
from offloadbench.analysis.tcp_tuning import kernel_defaults, needs, tcp_advice_loss
from offloadbench.analysis.tcp_tuning.needs import DEFAULT_INITCWND, PathTarget
from offloadbench.analysis.tcp_tuning.tcp_advice import (
    CONGESTION_CONTROL,
    JUDGES,
    QDISC,
    Found,
    Judge,
    ParameterAdvice,
    set_line,
)
from offloadbench.base.units import format_rate, format_seconds
from offloadbench.model import Route

_IPROUTE = "ip-route(8); net/ipv4/tcp_input.c, tcp_init_cwnd()"
_TCP_PACES_ITSELF, _TCP_PACES_WELL = (4, 13, 0), (4, 20, 0)
# tcp_tso_autosize(): a packet holds about 1/1024 s of the pacing rate
_PACING_SHIFT = 10


def advice(found: Found, target: PathTarget | None = None) -> list[ParameterAdvice]:
    """Every parameter that exists here, judged.

    Args:
        target: the path to fill; without one only what is wrong on any path is told.
    """
    judges: tuple[Judge, ...] = (_versions, *JUDGES, *tcp_advice_loss.JUDGES, _routes, _congestion_control, _qdisc)
    return _each_once(finding for judge in judges for finding in judge(found, target))


def _each_once(findings: Iterable[ParameterAdvice]) -> list[ParameterAdvice]:
    """A command that serves several findings stands with the first of them."""
    first: dict[str, str] = {}
    told: list[ParameterAdvice] = []
    for finding in findings:
        if finding.command in first:
            told.append(replace(finding, command=f"the line of: {first[finding.command]}"))
            continue
        if finding.command:
            first[finding.command] = finding.name
        told.append(finding)
    return told


def _versions(found: Found, target: PathTarget | None) -> Iterator[ParameterAdvice]:
    del target
    for rule in kernel_defaults.rules(found.release):
        yield ParameterAdvice(
            f"initcwnd on this kernel ({rule.mark})",
            "ok" if rule.mark == "today" else "note",
            f"{rule.effect}; by version {found.release}, and distributions backport",
            rule.source,
            command="" if rule.mark == "today" else "see: offloadbench probe initcwnd --explain; a probe's result wins",
        )


def _routes(found: Found, target: PathTarget | None) -> Iterator[ParameterAdvice]:
    if not any(route.initcwnd or route.initrwnd for route in found.routes):
        yield ParameterAdvice(
            "route initcwnd", "ok", "no route sets initcwnd or initrwnd: the kernel's defaults", _IPROUTE
        )
    for route in found.routes:
        found_here = [
            *([_initcwnd(route, route.initcwnd, target)] if route.initcwnd else []),
            *([_initrwnd(route, route.initrwnd, target)] if route.initrwnd else []),
        ]
        wrong = {finding.found.split()[0] for finding in found_here if finding.level == "note"}
        command = _change(
            route,
            DEFAULT_INITCWND if "initcwnd" in wrong else route.initcwnd,
            None if "initrwnd" in wrong else route.initrwnd,
        )
        yield from (replace(one, command=command) if one.level == "note" else one for one in found_here)


def _initcwnd(route: Route, initcwnd: int, target: PathTarget | None) -> ParameterAdvice:
    name, text = f"route {route.destination}", f"initcwnd {initcwnd}"
    if initcwnd < DEFAULT_INITCWND:
        return ParameterAdvice(name, "note", text, f"{_IPROUTE}; RFC 6928", _later(initcwnd, target))
    if target is None:
        return ParameterAdvice(name, "ok", text, _IPROUTE)
    burst_bytes = initcwnd * target.mss_bytes
    product = needs.bdp_bytes(target.bandwidth_bits_per_s, target.rtt_s)
    if burst_bytes > max(product, DEFAULT_INITCWND * target.mss_bytes):
        cost = f"{burst_bytes:,} B leave at once on a path that holds {product:,} B: the bottleneck queues the rest or "
        return ParameterAdvice(name, "note", text, f"{_IPROUTE}; RFC 6928", cost + "drops it")
    return ParameterAdvice(name, "ok", text, _IPROUTE)


def _initrwnd(route: Route, initrwnd: int, target: PathTarget | None) -> ParameterAdvice:
    name, text = f"route {route.destination}", f"initrwnd {initrwnd}"
    source = "ip-route(8); net/ipv4/tcp_output.c, tcp_select_initial_window()"
    if initrwnd >= DEFAULT_INITCWND:
        return ParameterAdvice(name, "ok", text, source)
    cost = f"peers may start with {initrwnd} segments at most; for what they send, {_later(initrwnd, target)}"
    return ParameterAdvice(name, "note", text, source, cost)


def _later(initcwnd: int, target: PathTarget | None) -> str:
    """What starting below the default costs."""
    mss_bytes = target.mss_bytes if target else theory.MSS_BYTES
    size_bytes = target.size_bytes if target else 65_536
    more = needs.delivery_rounds(size_bytes, initcwnd, mss_bytes) - needs.delivery_rounds(
        size_bytes, DEFAULT_INITCWND, mss_bytes
    )
    seconds = f" = {format_seconds(more * target.rtt_s)}" if target else ""
    return f"{size_bytes:,} B take {more} RTT{seconds} longer than from {DEFAULT_INITCWND}"


def _change(route: Route, initcwnd: int | None, initrwnd: int | None) -> str:
    """The line that sets both windows: what `ip route change` is not told, it removes."""
    words = ["ip -6" if route.family == "inet6" else "ip", "route change", route.destination]
    for word, value in (
        ("via", route.gateway),
        ("dev", route.ifname),
        ("initcwnd", initcwnd),
        ("initrwnd", initrwnd),
    ):
        words += [word, str(value)] if value else []
    return f"{' '.join(words)}, and what else `ip route show` has of it"


def _congestion_control(found: Found, target: PathTarget | None) -> Iterator[ParameterAdvice]:
    algorithm = found.sysctls.get(CONGESTION_CONTROL, "")
    name = "default congestion control"
    if target is None or algorithm not in ("reno", "cubic"):
        yield ParameterAdvice(name, "ok", algorithm or "not told here", "Documentation/networking/ip-sysctl.rst")
        return
    segments = needs.needs(target).window_bytes / target.mss_bytes
    reno_s = needs.reno_recovery_s(segments, target.rtt_s)
    if algorithm == "reno":
        cost = f"{format_seconds(reno_s)} from one loss to the full window ({segments:,.0f} segments)"
        slow = reno_s > 1
        command = set_line(CONGESTION_CONTROL, "cubic") if slow else ""
        yield ParameterAdvice(name, "note" if slow else "ok", algorithm, "RFC 5681, 3.1", cost, command)
        return
    cubic_s = needs.cubic_recovery_s(segments, target.rtt_s)
    cost = f"{format_seconds(cubic_s)} from one loss to the full window ({segments:,.0f} segments)"
    yield ParameterAdvice(name, "ok", algorithm, "RFC 9438, 4.2", cost)


def _qdisc(found: Found, target: PathTarget | None) -> Iterator[ParameterAdvice]:
    """BBR needs pacing: by fq, or by TCP itself since 4.13 (commit 218af599fa63), well since 4.20."""
    bbr = found.sysctls.get(CONGESTION_CONTROL, "") == "bbr"
    for ifname, root in found.qdiscs.items():
        # under mq every queue has the default
        qdisc = found.sysctls.get(QDISC, root) if root == "mq" else root
        name, source = f"{ifname} qdisc", "tcp_bbr.c; commit 218af599fa63, 4.13; BBR quick start; tc-fq(8)"
        if not bbr or qdisc == "fq":
            yield ParameterAdvice(name, "ok", qdisc, source)
            continue
        yield ParameterAdvice(
            name, "note", qdisc, source, _unpaced(found, target), f"tc qdisc replace dev {ifname} root fq"
        )


def _unpaced(found: Found, target: PathTarget | None) -> str:
    """What BBR costs without fq."""
    kernel = kernel_defaults.version(found.release)
    if kernel < _TCP_PACES_ITSELF:
        return "BBR is not paced at all: whole windows leave as bursts"
    if kernel < _TCP_PACES_WELL:
        return "TCP's own pacing, which stands in for fq, did not work well with BBR before 4.20"
    cost = "each socket paces BBR by a timer of its own, once a packet"
    if target is None:
        return cost
    packet_bytes = min(target.bandwidth_bits_per_s // 8 >> _PACING_SHIFT, theory.SUPER_PACKET_BYTES)
    timers = target.bandwidth_bits_per_s / 8 / max(packet_bytes, 2 * target.mss_bytes)
    return f"{cost}: {timers:,.0f} times a second at {format_rate(target.bandwidth_bits_per_s)}"
