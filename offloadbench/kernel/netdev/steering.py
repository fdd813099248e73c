"""Which CPUs run a NIC's receive path (Documentation/networking/scaling.rst, napi.rst).

/sys/class/net shows the namespace in which sysfs was mounted, so another namespace's file is reached through
`ip netns exec`, which mounts its own.
"""

from __future__ import annotations

import os
from pathlib import Path

import sh

from offloadbench.base.errors import HostError

# how long the receiving NAPI waits before it looks again by itself
POLL_INTERVAL_NS = 50_000
# how many empty looks it takes before interrupts (here: wake-ups by the sender) are asked for again: the most that
# napi_defer_hard_irqs takes, a day and more
_EMPTY_POLLS = 2**31 - 1


def _write(ifname: str, attribute: str, value: str, namespace: str | None) -> None:
    path = Path(f"/sys/class/net/{ifname}/{attribute}")
    try:
        if namespace is None:
            path.write_text(value)
        else:
            sh.ip("netns", "exec", namespace, "tee", str(path), _in=value)
    except sh.ErrorReturnCode as error:
        reason = error.stderr.decode(errors="replace").strip()
        raise HostError(f"{ifname}: cannot set {attribute}: {reason}", "see `offloadbench doctor`") from error
    except OSError as error:
        raise HostError(f"{ifname}: cannot set {attribute}: {error.strerror}", "see `offloadbench doctor`") from error


def set_rps_cpus(ifname: str, cpus: frozenset[int], namespace: str | None) -> None:
    """Receive packet steering: let these CPUs run the receive path of the NIC's first queue."""
    _write(ifname, "queues/rx-0/rps_cpus", cpu_mask(cpus), namespace)


def poll_on(ifname: str, cpus: frozenset[int], namespace: str | None) -> None:
    """Receive in a kernel thread on these CPUs that looks every POLL_INTERVAL_NS instead of being woken.

    For the load side of a veth pair with GRO on. Without it, the sender's CPU either runs the receiver's stack or
    sends it a wake-up interrupt a packet; here that was 37 % of the sender's CPU time. Needs Linux 5.13.

    It begins to look with the first packet that it receives.

    Raises:
        HostError: this kernel has no threaded NAPI, or its thread may not be moved.
    """
    _write(ifname, "threaded", "1", namespace)
    _write(ifname, "gro_flush_timeout", str(POLL_INTERVAL_NS), namespace)
    _write(ifname, "napi_defer_hard_irqs", str(_EMPTY_POLLS), namespace)
    try:
        for pid in _threads(ifname):
            os.sched_setaffinity(pid, cpus)
    except PermissionError as error:
        raise HostError(f"{ifname}: its NAPI thread cannot be moved", "CAP_SYS_NICE is needed") from error


def _threads(ifname: str) -> list[int]:
    """Pids of the NAPI threads of a NIC; their names are cut to 15 characters (`napi/<ifname>-<id>`)."""
    prefix = f"napi/{ifname}-"[:15]
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text().startswith(prefix):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def cpu_mask(cpus: frozenset[int]) -> str:
    """The kernel's bitmap format: hexadecimal words of 32 CPUs, most significant first."""
    value = sum(1 << cpu for cpu in cpus)
    words = []
    while True:
        words.append(value & 0xFFFFFFFF)
        value >>= 32
        if not value:
            break
    return ",".join([f"{words[-1]:x}", *(f"{word:08x}" for word in reversed(words[:-1]))])
