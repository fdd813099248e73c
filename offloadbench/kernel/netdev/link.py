"""Links, addresses and routes by rtnetlink (pyroute2.IPRoute)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from offloadbench.base.errors import FeatureError, HostError, TrafficError
from offloadbench.kernel.netdev import tunnels
from offloadbench.kernel.system import netns

# IFF_UP of include/uapi/linux/if.h
_UP = 1


@dataclass(frozen=True, slots=True)
class GsoLimits:
    """Limits of the super-packets that sockets may build for this NIC; they enter a socket when it connects.

    max_segs 1 means no super-packets at all.
    """

    max_segs: int
    max_size_bytes: int
    tso_max_segs: int


@dataclass(frozen=True, slots=True)
class Link:
    """What rtnetlink tells about one link.

    Attributes:
        operstate: RFC 2863's, in capitals; UNKNOWN where the driver does not say, as a TAP's.
        carrier_changes: how often the carrier came or went since the link was made.
        other_limits: what else bounds a GSO or GRO packet, by its name in ip(8), bytes.
    """

    index: int
    ifname: str
    mtu_bytes: int
    kind: str
    qdisc: str
    up: bool
    gso: GsoLimits
    operstate: str = ""
    carrier_changes: int = 0
    other_limits: dict[str, int] = field(default_factory=dict)


_OTHER_LIMITS = {
    "gso_ipv4_max_size": "IFLA_GSO_IPV4_MAX_SIZE",
    "gro_max_size": "IFLA_GRO_MAX_SIZE",
    "gro_ipv4_max_size": "IFLA_GRO_IPV4_MAX_SIZE",
}


def _find(ipr: Any, ifname: str) -> Any:
    try:
        links = ipr.link("get", ifname=ifname)
    except NetlinkError as error:
        raise HostError(f"no NIC named {ifname!r}", "see `ip link` for the names") from error
    return links[0]


def read(ifname: str, namespace: str | None = None) -> Link:
    """One link.

    Raises:
        HostError: there is no such NIC.
    """
    return from_message(message(ifname, namespace))


def name_of(index: int, namespace: str | None = None) -> str:
    """The name of the link with this index; "" where there is none."""
    with netns.entered(namespace), IPRoute() as ipr:
        try:
            return str(ipr.link("get", index=index)[0].get_attr("IFLA_IFNAME"))
        except NetlinkError:
            return ""


def message(ifname: str, namespace: str | None = None) -> Any:
    """One link's RTM_NEWLINK message.

    Raises:
        HostError: there is no such NIC.
    """
    with netns.entered(namespace), IPRoute() as ipr:
        return _find(ipr, ifname)


def from_message(message: Any) -> Link:
    """A link as an RTM_NEWLINK message (rtnetlink(7)) describes it."""
    limits = {name: message.get_attr(attribute) for name, attribute in _OTHER_LIMITS.items()}
    return Link(
        index=message["index"],
        ifname=message.get_attr("IFLA_IFNAME"),
        mtu_bytes=message.get_attr("IFLA_MTU"),
        kind=_kind(message),
        qdisc=message.get_attr("IFLA_QDISC") or "",
        up=bool(message["flags"] & _UP),
        gso=GsoLimits(
            max_segs=message.get_attr("IFLA_GSO_MAX_SEGS") or 0,
            max_size_bytes=message.get_attr("IFLA_GSO_MAX_SIZE") or 0,
            tso_max_segs=message.get_attr("IFLA_TSO_MAX_SEGS") or 0,
        ),
        operstate=message.get_attr("IFLA_OPERSTATE") or "",
        carrier_changes=message.get_attr("IFLA_CARRIER_CHANGES") or 0,
        other_limits={name: value for name, value in limits.items() if value is not None},
    )


# kinds whose IFLA_LINK names the device below; a veth's names its other end
_ON_TOP_OF_ONE = frozenset({"vlan", "macvlan", "macvtap", "ipvlan", "macsec"})
# kinds whose members send for them; a netvsc, which has no kind, is the master of its virtual function
_ON_TOP_OF_MEMBERS = frozenset({"bond", "team", "bridge", "failover", ""})


@dataclass(frozen=True, slots=True)
class Lower:
    """A device below another."""

    ifname: str
    upper: str
    kind: str


@dataclass(frozen=True, slots=True)
class Below:
    """What a device sends through, the nearest first; `problem` says what cannot be seen from here."""

    devices: list[Lower]
    problem: str = ""

    @property
    def leaves(self) -> list[str]:
        """Names of those that send through no other: the NICs."""
        uppers = {device.upper for device in self.devices}
        return [device.ifname for device in self.devices if device.ifname not in uppers]


def below(ifname: str, namespace: str | None = None) -> Below:
    """The devices that a VLAN, bond, team, bridge or tunnel sends through; none for a NIC.

    Raises:
        HostError: there is no such NIC.
    """
    found: list[Lower] = []
    problems: list[str] = []
    with netns.entered(namespace), IPRoute() as ipr:
        waiting = [_find(ipr, ifname)]
        links = list(ipr.link("dump"))
        seen = {waiting[0]["index"]}
        while waiting:
            upper = waiting.pop(0)
            under, problem = _under(ipr, upper, links, namespace)
            problems += [problem] if problem else []
            # a route may lead a tunnel back to a device above it
            new = [other for other in under if other["index"] not in seen]
            seen |= {other["index"] for other in new}
            name = upper.get_attr("IFLA_IFNAME")
            found += [Lower(other.get_attr("IFLA_IFNAME"), name, _kind(other)) for other in new]
            waiting += new
    return Below(found, "; ".join(problems))


def _under(ipr: Any, upper: Any, links: list[Any], namespace: str | None) -> tuple[list[Any], str]:
    """The links directly below one, and why there may be none."""
    name, kind = upper.get_attr("IFLA_IFNAME"), _kind(upper)
    if kind in tunnels.KINDS:
        indexes, problem = tunnels.under(ipr, upper, kind, namespace)
        return [other for other in links if other["index"] in indexes], problem
    if kind in _ON_TOP_OF_ONE:
        elsewhere = upper.get_attr("IFLA_LINK_NETNSID") is not None
        under = [other for other in links if not elsewhere and other["index"] == upper.get_attr("IFLA_LINK")]
        problem = "" if under else f"{name}: the device below it lies in another namespace and cannot be asked"
        return under, problem
    if kind in _ON_TOP_OF_MEMBERS:
        return [other for other in links if other.get_attr("IFLA_MASTER") == upper["index"]], ""
    return [], ""


def _kind(message: Any) -> str:
    info = message.get_attr("IFLA_LINKINFO")
    return (info.get_attr("IFLA_INFO_KIND") if info else None) or ""


def set_gso_max_segs(ifname: str, max_segs: int, namespace: str | None = None) -> None:
    """Limit the segments of a super-packet (IFLA_GSO_MAX_SEGS), and read it back.

    Raises:
        FeatureError: the kernel took another value, or none.
    """
    with netns.entered(namespace), IPRoute() as ipr:
        index = _find(ipr, ifname)["index"]
        try:
            ipr.link("set", index=index, gso_max_segs=max_segs)
        except NetlinkError as error:
            raise FeatureError(
                f"{ifname}: gso_max_segs {max_segs} refused: {error.args[-1]}",
                "CAP_NET_ADMIN and Linux 4.16 are needed",
            ) from error
    taken = read(ifname, namespace).gso.max_segs
    if taken != max_segs:
        raise FeatureError(f"{ifname}: gso_max_segs is {taken} after asking for {max_segs}", "see `ip -d link`")


def set_mtu(ifname: str, mtu_bytes: int, namespace: str | None = None) -> None:
    """Set the MTU, and read it back. A driver may reset its link for it.

    Raises:
        FeatureError: the driver refuses it, or takes another.
    """
    with netns.entered(namespace), IPRoute() as ipr:
        message = _find(ipr, ifname)
        try:
            ipr.link("set", index=message["index"], mtu=mtu_bytes)
        except NetlinkError as error:
            least, most = message.get_attr("IFLA_MIN_MTU") or 0, message.get_attr("IFLA_MAX_MTU") or 0
            raise FeatureError(
                f"{ifname}: MTU {mtu_bytes} refused: {error.args[-1]}",
                f"the driver takes {least} to {most or 'any'}" if least else "see `ip -d link`",
            ) from error
    taken = read(ifname, namespace).mtu_bytes
    if taken != mtu_bytes:
        raise FeatureError(f"{ifname}: the MTU is {taken} after asking for {mtu_bytes}", "see `ip -d link`")


def create_veth(ifname: str, namespace: str, peer_ifname: str, peer_namespace: str) -> None:
    """A veth pair with one end in each namespace."""
    with netns.entered(namespace), IPRoute() as ipr:
        ipr.link("add", ifname=ifname, kind="veth", peer={"ifname": peer_ifname, "net_ns_fd": peer_namespace})


def create_bridge(ifname: str, ports: Iterable[str], namespace: str) -> None:
    """A bridge of links that are there, all of them up.

    Raises:
        HostError: this kernel has no bridge.
    """
    with netns.entered(namespace), IPRoute() as ipr:
        try:
            # its queries for multicast listeners would be packets among the measured ones
            ipr.link("add", ifname=ifname, kind="bridge", br_mcast_snooping=0)
        except NetlinkError as error:
            raise HostError(f"a bridge cannot be made: {error.args[-1]}", "modprobe bridge") from error
        bridge = _find(ipr, ifname)["index"]
        for port in ports:
            ipr.link("set", index=_find(ipr, port)["index"], master=bridge, state="up")
        ipr.link("set", index=bridge, state="up")


def configure(
    ifname: str, address: str, prefix_length: int, namespace: str | None, tx_queue_length: int | None = None
) -> None:
    """Give a link its address and bring it and the loopback up."""
    queue = {} if tx_queue_length is None else {"txqlen": tx_queue_length}
    with netns.entered(namespace), IPRoute() as ipr:
        index = _find(ipr, ifname)["index"]
        ipr.addr("add", index=index, address=address, prefixlen=prefix_length)
        ipr.link("set", index=index, state="up", **queue)
        ipr.link("set", index=_find(ipr, "lo")["index"], state="up")


def deconfigure(ifname: str, address: str, namespace: str | None, *, up: bool) -> bool:
    """Take an address of `configure` away again, and take the link down unless it was up.

    Returns:
        False where the link does not have it: then it is not of `configure`, and stays as it is.
    """
    with netns.entered(namespace), IPRoute() as ipr:
        index = _find(ipr, ifname)["index"]
        found = [one for one in ipr.addr("dump", index=index) if one.get_attr("IFA_ADDRESS") == address]
        # down first: the address is what a second attempt knows it by
        if found and not up:
            ipr.link("set", index=index, state="down")
        for one in found:
            ipr.addr("del", index=index, address=address, prefixlen=one["prefixlen"])
    return bool(found)


def addresses(ifname: str, namespace: str | None = None) -> dict[str, int]:
    """Address -> prefix length, IPv4 and IPv6."""
    with netns.entered(namespace), IPRoute() as ipr:
        messages = ipr.addr("dump", index=_find(ipr, ifname)["index"])
        return {one.get_attr("IFA_LOCAL") or one.get_attr("IFA_ADDRESS"): one["prefixlen"] for one in messages}


def wait_for_carrier(ifname: str, namespace: str | None, timeout_s: float) -> None:
    """Return when the link has its carrier, which a driver drops when it resets the NIC.

    Raises:
        TrafficError: it has none after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    with netns.entered(namespace), IPRoute() as ipr:
        while not (found := _find(ipr, ifname)).get_attr("IFLA_CARRIER"):
            if time.monotonic() > deadline:
                if not found["flags"] & _UP:
                    raise TrafficError(
                        f"{ifname} was still down after {timeout_s:.0f} s", f"ip link set dev {ifname} up"
                    )
                raise TrafficError(f"{ifname} has no carrier within {timeout_s:.0f} s", "is the cable plugged in?")
            time.sleep(0.05)


def default_route_nics() -> set[str]:
    """Names of the NICs that a default route of the first namespace leaves by."""
    with IPRoute() as ipr:
        indexes = {
            route.get_attr("RTA_OIF")
            for family in (2, 10)
            for route in ipr.route("dump", family=family)
            if route["dst_len"] == 0 and route["type"] == 1 and route.get_attr("RTA_OIF")
        }
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in ipr.link("dump")}
    return {names[index] for index in indexes if index in names}
