"""sysctl values. /proc/sys/net belongs to the network namespace of the thread that opens it."""

from __future__ import annotations

import errno
from pathlib import Path

from offloadbench.base.errors import RefusedError
from offloadbench.kernel.system import netns

# what decides how TCP, the queues and the profiler behave; recorded with every run
RECORDED = (
    "kernel.kptr_restrict",
    "kernel.perf_event_max_sample_rate",
    "kernel.perf_event_paranoid",
    "net.core.busy_poll",
    "net.core.default_qdisc",
    "net.core.netdev_budget",
    "net.core.netdev_max_backlog",
    "net.core.rmem_max",
    "net.core.wmem_max",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_limit_output_bytes",
    "net.ipv4.tcp_min_tso_segs",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_tso_rtt_log",
    "net.ipv4.tcp_tso_win_divisor",
    "net.ipv4.tcp_wmem",
)


def _path(name: str) -> Path:
    return Path("/proc/sys") / name.replace(".", "/")


def normal(value: str) -> str:
    """A value as the kernel gives it back: several numbers with one space between."""
    return " ".join(value.split())


def read(name: str, namespace: str | None = None) -> str | None:
    """The value, or None where this kernel (or this namespace) has no such sysctl."""
    with netns.entered(namespace):
        try:
            return normal(_path(name).read_text())
        except OSError:
            return None


def writable(name: str, namespace: str | None = None) -> bool:
    """Whether the value can be set here at all: a namespace shows some values of the machine read-only."""
    with netns.entered(namespace):
        try:
            return bool(_path(name).stat().st_mode & 0o200)
        except OSError:
            return False


def write(name: str, value: str, namespace: str | None = None) -> None:
    """Set a value.

    Raises:
        RefusedError: there is no such sysctl here, it is read-only, or it does not take the value.
    """
    try:
        with netns.entered(namespace):
            _path(name).write_text(value)
    except OSError as error:
        where = "" if namespace is None else " in a network namespace"
        hint = "see Documentation/networking/ip-sysctl.rst; values of the whole machine cannot be set in a namespace"
        if error.errno == errno.EROFS:
            hint = "a container has /proc/sys read-only: --security-opt systempaths=unconfined, or --privileged"
        raise RefusedError(f"sysctl {name} = {value!r}{where}: {error.strerror}", hint) from error


def recorded(namespace: str | None = None) -> dict[str, str]:
    """The values of `RECORDED` that exist here."""
    values = {name: read(name, namespace) for name in RECORDED}
    return {name: value for name, value in values.items() if value is not None}
