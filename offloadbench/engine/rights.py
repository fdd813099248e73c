"""What each way of measuring asks of the kernel, checked before anything is touched."""

from __future__ import annotations

from offloadbench.base.errors import HostError, ProfilerError
from offloadbench.bed import lab_bed, pair
from offloadbench.kernel.system import capabilities, netns

FEATURES = {"net_admin": "sets features, MTU, addresses and sysctls"}
NAMESPACES = {"sys_admin": "makes and enters network namespaces"}


def for_run(nic: str, peer: str, *, profile: bool, capture: bool) -> None:
    """Raise unless this process may measure the NIC with this load side.

    Raises:
        HostError: a capability is missing; the message names it and what it is for.
        ProfilerError: only the profile is not allowed.
    """
    _outside_user_namespaces("run")
    own_namespaces = nic in lab_bed.NAMES or peer.startswith(pair.PREFIX)
    needs = FEATURES | (NAMESPACES if own_namespaces else {}) | ({"net_raw": "--capture"} if capture else {})
    capabilities.require("run", needs)
    if own_namespaces:
        _for_named_namespaces()
    if profile:
        _for_profile()


def for_namespaces(what: str) -> None:
    """Raise HostError unless this process may make network namespaces and links, as `lab up` does."""
    _outside_user_namespaces(what)
    capabilities.require(what, FEATURES | NAMESPACES)
    _for_named_namespaces()


def for_probe(*, own_namespaces: bool) -> None:
    """Raise HostError unless this process may probe first flights, on a lab link or past its own TCP."""
    needs = {"net_admin": "sets routes, rules and neighbours", "net_raw": "speaks TCP past the kernel's own"}
    capabilities.require("probe initcwnd", needs | (NAMESPACES if own_namespaces else {}))
    if own_namespaces:
        _for_named_namespaces()


def for_sysctls(what: str, namespace: str | None) -> None:
    """Raise HostError unless this process may write net.* values, as `tune` does."""
    capabilities.require(what, {"net_admin": "sets sysctls"} | (NAMESPACES if namespace else {}))


def _outside_user_namespaces(what: str) -> None:
    if not capabilities.in_first_user_namespace():
        # net/core/net-sysfs.c, store_rps_map: the machine's own CAP_NET_ADMIN, not that of a user namespace
        raise HostError(
            f"{what} cannot keep the two ends apart in a user namespace: steering packets to CPUs is the machine's own",
            "run it on the machine, or in a container that has no user namespace of its own",
        )


def _for_named_namespaces() -> None:
    if not capabilities.may_write(netns.RUN_NETNS):
        raise HostError(
            f"{netns.RUN_NETNS} cannot be written to: it holds the names of network namespaces",
            "use sudo, or add CAP_DAC_OVERRIDE",
        )


def _for_profile() -> None:
    if not capabilities.may_profile():
        raise ProfilerError(
            "the kernel profile needs CAP_PERFMON (before Linux 5.8: CAP_SYS_ADMIN)",
            "use sudo, add the capability, or run --no-profile",
        )
    if not capabilities.may_see_addresses():
        raise ProfilerError(
            "the kernel profile needs the addresses of /proc/kallsyms, which CAP_SYSLOG shows",
            "add it (and kernel.kptr_restrict may be 1 at most), or run --no-profile",
        )
