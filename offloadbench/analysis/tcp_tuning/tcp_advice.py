"""What a machine's buffers and TCP switches cost on a path: pure, from values that were read. Advice, no verdict.

A judge takes what was found and the path, if one is known; without a path it tells what is wrong on any, in bytes a
round trip.

Sources are named with each finding: Documentation/networking/ip-sysctl.rst, the kernel's TCP, RFCs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from offloadbench.analysis.sender import theory
from offloadbench.analysis.tcp_tuning import needs
from offloadbench.analysis.tcp_tuning.kernel_defaults import version
from offloadbench.analysis.tcp_tuning.needs import (
    RMEM,
    RMEM_MAX,
    UNSCALED_WINDOW_BYTES,
    WMEM,
    WMEM_MAX,
    Needs,
    PathTarget,
)
from offloadbench.base.units import format_bytes, format_rate, format_seconds
from offloadbench.model import Route

TCP_MEM = "net.ipv4.tcp_mem"
RMEM_DEFAULT, WMEM_DEFAULT = "net.core.rmem_default", "net.core.wmem_default"
IDLE_RESTART = "net.ipv4.tcp_slow_start_after_idle"
SACK, TIMESTAMPS, DSACK = "net.ipv4.tcp_sack", "net.ipv4.tcp_timestamps", "net.ipv4.tcp_dsack"
RECOVERY, EARLY_RETRANS = "net.ipv4.tcp_recovery", "net.ipv4.tcp_early_retrans"
CONGESTION_CONTROL, QDISC = "net.ipv4.tcp_congestion_control", "net.core.default_qdisc"
READ = (
    *needs.TUNED,
    needs.ADV_WIN_SCALE,
    TCP_MEM,
    RMEM_DEFAULT,
    WMEM_DEFAULT,
    IDLE_RESTART,
    CONGESTION_CONTROL,
    QDISC,
    SACK,
    TIMESTAMPS,
    DSACK,
    RECOVERY,
    EARLY_RETRANS,
)

_IP_SYSCTL = "Documentation/networking/ip-sysctl.rst"


@dataclass(frozen=True, slots=True)
class Found:
    """A machine's parameters.

    Attributes:
        release: as `uname -r` prints it.
        sysctls: those of `READ` that exist here.
        qdiscs: root queueing discipline of each NIC that a default route leaves by.
    """

    release: str
    sysctls: Mapping[str, str]
    routes: Sequence[Route]
    qdiscs: Mapping[str, str]
    memory_bytes: int
    page_bytes: int = 4096


@dataclass(frozen=True, slots=True)
class ParameterAdvice:
    """One parameter.

    Attributes:
        level: note where something is to be gained.
        found: what is set.
        cost: what that costs on the path, computed; empty when nothing.
        command: changes it; empty when nothing needs doing.
    """

    name: str
    level: Literal["ok", "note"]
    found: str
    source: str
    cost: str = ""
    command: str = ""


Judge = Callable[[Found, PathTarget | None], Iterator[ParameterAdvice]]


def one_connection(window_bytes: float, target: PathTarget | None) -> str:
    """What a window allows: a rate on a known path, else bytes a round trip."""
    if target is None:
        return f"at most {window_bytes:,.0f} B a round trip on one connection"
    reached = needs.connection_rate_bits_per_s(window_bytes, target.rtt_s)
    return f"at most {format_rate(reached)} of {format_rate(target.bandwidth_bits_per_s)} on one connection"


def set_line(name: str, value: object) -> str:
    """The line that sets a sysctl."""
    return f"sysctl -w {name}='{value}'"


def settings(found: Found, target: PathTarget | None) -> dict[str, str]:
    """Sysctl -> the one value that every advice on it together comes to; what may stay is absent."""
    wanted = {
        name: repaired
        for name in (RMEM, WMEM)
        if (repaired := needs.repaired(name, found.sysctls[name])) != found.sysctls[name]
    }
    return wanted | (needs.changes(needs.needs(target), found.sysctls) if target else {})


def _triple(found: Found, name: str) -> list[int]:
    return [int(value) for value in found.sysctls[name].split()]


def _ratio(found: Found) -> float:
    scale = found.sysctls.get(needs.ADV_WIN_SCALE)
    return needs.window_ratio(version(found.release)[:2], int(scale) if scale is not None else None)


def _window_scaling(found: Found, target: PathTarget | None) -> Iterator[ParameterAdvice]:
    name, source = "window scaling", "RFC 7323, 2; tcp_window_scaling"
    if found.sysctls.get(needs.WINDOW_SCALING) != "0":
        shift = needs.announced_window_scale(_triple(found, RMEM)[2], int(found.sysctls.get(RMEM_MAX, 0)))
        yield ParameterAdvice(name, "ok", f"on; this host announces 2^{shift} (both ends must have it on)", source)
        return
    cost = one_connection(UNSCALED_WINDOW_BYTES, target)
    yield ParameterAdvice(name, "note", "off", source, cost, set_line(needs.WINDOW_SCALING, 1))


def _autotuning(found: Found, target: PathTarget | None) -> Iterator[ParameterAdvice]:
    name, source = "receive autotuning", f"{_IP_SYSCTL}, tcp_moderate_rcvbuf"
    if found.sysctls.get(needs.MODERATE_RCVBUF) != "0":
        yield ParameterAdvice(name, "ok", "on", source)
        return
    default_bytes = _triple(found, RMEM)[1]
    cost = f"the window stays at tcp_rmem's second value: {one_connection(default_bytes * _ratio(found), target)}"
    yield ParameterAdvice(name, "note", "off", source, cost, set_line(needs.MODERATE_RCVBUF, 1))


class _Path(TypedDict):
    needed: Needs
    target: PathTarget
    wanted: Mapping[str, str]


def _buffers(found: Found, target: PathTarget | None) -> Iterator[ParameterAdvice]:
    """The largest buffers against the path; nothing to say without one."""
    if target is None:
        return
    needed = needs.needs(target)
    wanted = {name: settings(found, target)[name] for name in needs.changes(needed, found.sysctls)}
    path: _Path = {"needed": needed, "target": target, "wanted": wanted}
    receive, send = _triple(found, RMEM)[2], _triple(found, WMEM)[2]
    yield _buffer("tcp_rmem maximum", RMEM, receive, receive * _ratio(found), **path)
    yield _buffer("tcp_wmem maximum", WMEM, send, send * theory.payload_ratio(), **path)
    for name, ratio in ((RMEM_MAX, _ratio(found)), (WMEM_MAX, theory.payload_ratio())):
        if name in found.sysctls:
            limit_bytes = int(found.sysctls[name])
            # setsockopt(2) doubles what it is given, after the limit
            yield _buffer(name, name, limit_bytes, 2 * limit_bytes * ratio, **path)


def _buffer(
    title: str,
    name: str,
    limit_bytes: int,
    window_bytes: float,
    *,
    needed: Needs,
    target: PathTarget,
    wanted: Mapping[str, str],
) -> ParameterAdvice:
    core = name in (RMEM_MAX, WMEM_MAX)
    source = "net/core/sock.c, sk_setsockopt()" if core else f"{_IP_SYSCTL}; net/ipv4/tcp_input.c"
    text = f"{limit_bytes:,} B, good for {window_bytes:,.0f} B of the path's {needed.bdp_bytes:,} B"
    parallel = math.ceil(needed.bdp_bytes / max(1.0, window_bytes))
    if parallel > 1:
        text += f"; {parallel:,} connections in parallel fill it"
    if name not in wanted:
        return ParameterAdvice(title, "ok", text, source)
    if window_bytes < needed.window_bytes:
        cost = one_connection(window_bytes, target)
    else:
        cost = "nothing without loss; recovery, which may hold 1.7 windows, waits for buffer space"
    if core:
        cost += "; concerns only programs that set their buffers"
    return ParameterAdvice(title, "note", text, source, cost, set_line(name, wanted[name]))


def _defaults(found: Found, target: PathTarget | None) -> Iterator[ParameterAdvice]:
    """Minima and defaults; the line that puts one right is the one that the path asks for."""
    wanted = settings(found, target)
    for name in (RMEM, WMEM):
        title, source = name.rpartition(".")[2], f"{_IP_SYSCTL}: min, default, max"
        least, default, most = _triple(found, name)
        text = f"{default:,} B of at most {most:,} B"
        if default >= most:
            cost = f"sockets start with {default:,} B and autotuning has no room above it: were two values swapped?"
        elif default > needs.HUGE_BYTES:
            cost = _cost_of_default(found, default)
        else:
            cost = ""
        command = set_line(name, wanted[name]) if cost else ""
        yield ParameterAdvice(f"{title} default", "note" if cost else "ok", text, source, cost, command)
        if least > needs.HUGE_BYTES or least > default:
            text = f"{least:,} B, and the default is {default:,} B"
            cost = f"{least:,} B are granted to every socket even under memory pressure, which then saves nothing"
            yield ParameterAdvice(f"{title} minimum", "note", text, source, cost, set_line(name, wanted[name]))
    for default_name, max_name in ((RMEM_DEFAULT, RMEM_MAX), (WMEM_DEFAULT, WMEM_MAX)):
        most = int(wanted.get(max_name, found.sysctls.get(max_name, 0)))
        if int(found.sysctls.get(default_name, 0)) > most > 0:
            text = f"{found.sysctls[default_name]} B is more than {max_name} = {most} B"
            cost = "a program that asks for a larger buffer gets a smaller one"
            command = set_line(default_name, str(most))
            yield ParameterAdvice(default_name, "note", text, "net/core/sock.c, sk_setsockopt()", cost, command)


def _cost_of_default(found: Found, default_bytes: int) -> str:
    if TCP_MEM not in found.sysctls:
        return "every socket may fill it before autotuning has a say"
    pressure_bytes = _triple(found, TCP_MEM)[1] * found.page_bytes
    return (
        f"every socket may fill it before autotuning has a say: {pressure_bytes // default_bytes:,} stalled ones are "
        f"memory pressure for all of TCP ({format_bytes(pressure_bytes)})"
    )


def _tcp_mem(found: Found, target: PathTarget | None) -> Iterator[ParameterAdvice]:
    if TCP_MEM not in found.sysctls:
        return
    name, source = "tcp_mem", f"{_IP_SYSCTL}, tcp_mem: pages"
    _, pressure_pages, most_pages = _triple(found, TCP_MEM)
    most_bytes, pressure_bytes = most_pages * found.page_bytes, pressure_pages * found.page_bytes
    text = f"at most {most_pages:,} pages = {format_bytes(most_bytes)} of {format_bytes(found.memory_bytes)}"
    if most_bytes > found.memory_bytes:
        # tcp_init_mem(): a sixteenth of memory is pressure, 3/4 of that the minimum, twice the minimum the maximum
        limit = max(128, found.memory_bytes // found.page_bytes // 16)
        command = set_line(TCP_MEM, f"{limit // 4 * 3} {limit} {limit // 4 * 6}")
        cost = "more than the machine has, so TCP is never told to save: were bytes written where pages are counted?"
        yield ParameterAdvice(name, "note", text, source, cost, command)
        return
    if target is not None:
        needed = needs.needs(target)
        each_bytes = max(needed.tcp_rmem_max_bytes, needed.tcp_wmem_max_bytes)
        full = pressure_bytes // each_bytes
        text += f"; pressure begins when {full:,} connections of this path fill a buffer"
        if not full:
            cost = f"one full buffer of {format_bytes(each_bytes)} is pressure already, and windows shrink"
            yield ParameterAdvice(name, "note", text, source, cost, "more memory: tcp_mem is a share of it")
            return
    yield ParameterAdvice(name, "ok", text, source)


def _idle_restart(found: Found, target: PathTarget | None) -> Iterator[ParameterAdvice]:
    name, source = "slow start after idle", f"RFC 5681, 4.1; {_IP_SYSCTL}, tcp_slow_start_after_idle"
    if found.sysctls.get(IDLE_RESTART) != "1":
        yield ParameterAdvice(name, "ok", "off: an idle connection keeps its window", source)
    elif target is None:
        yield ParameterAdvice(name, "ok", "on: a connection that was idle starts again from initcwnd", source)
    else:
        start = next(start for start in needs.needs(target).slow_start if start.initcwnd == target.initcwnd)
        again = f"{start.window_rounds} RTT = {format_seconds(start.window_s)}"
        cost = f"after a long pause {again} until the window is full again"
        yield ParameterAdvice(
            name, "note" if start.window_rounds else "ok", "on", source, cost, set_line(IDLE_RESTART, 0)
        )


JUDGES: tuple[Judge, ...] = (_window_scaling, _autotuning, _buffers, _defaults, _tcp_mem, _idle_restart)
