"""Receive packet steering (Documentation/networking/scaling.rst): which CPUs run a NIC's receive path.

/sys/class/net shows the namespace in which sysfs was mounted, so another namespace's file is reached through
`ip netns exec`, which mounts its own.
"""

from __future__ import annotations

from pathlib import Path

import sh

from offloadbench.errors import HostError


def set_rps_cpus(ifname: str, cpus: frozenset[int], namespace: str | None) -> None:
    """Let these CPUs run the receive path of the NIC's first queue; an empty set turns steering off."""
    path = Path(f"/sys/class/net/{ifname}/queues/rx-0/rps_cpus")
    mask = cpu_mask(cpus)
    if namespace is None:
        path.write_text(mask)
        return
    try:
        sh.ip("netns", "exec", namespace, "tee", str(path), _in=mask)
    except sh.ErrorReturnCode as error:
        raise HostError(
            f"{ifname}: cannot set rps_cpus: {error.stderr.decode(errors='replace').strip()}",
            "a kernel with CONFIG_RPS is needed to keep the load side's work off the tested CPUs",
        ) from error


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
