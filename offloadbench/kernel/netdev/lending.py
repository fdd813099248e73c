"""A NIC lent to a network namespace for a while, and brought back as it was.

A NIC that changes namespaces goes down and loses addresses and routes (net/core/dev.c, __dev_change_net_namespace);
features, rings and MTU stay with it.
"""

from __future__ import annotations

import errno
import os
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from offloadbench.base.errors import HostError
from offloadbench.kernel.system import netns

_UP = 1
# what the kernel makes by itself when an address or a link comes up
_RTPROT_KERNEL = 2
_SCOPE_LINK = 253

# no control characters: these are written and read as text
_Word = Annotated[str, Meta(pattern=r"^[0-9A-Za-z_.:/]{1,64}\Z")]
_Number = Annotated[int, Meta(ge=0, le=2**32 - 1)]


class LentRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A route that leaves by the NIC, by its names in rtnetlink(7); `dst` is `default` or a network."""

    family: _Number
    dst: _Word
    gateway: _Word | None
    table: _Number
    priority: _Number | None
    proto: _Number
    # not in journals of older versions
    scope: _Number | None = None
    prefsrc: _Word | None = None
    metrics: dict[_Word, _Number | _Word] = msgspec.field(default_factory=dict)


class LentState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What moving takes from a NIC.

    Attributes:
        addresses: family, address, prefix length.
        broadcasts: address -> the one for broadcasts that goes with it.
    """

    up: bool
    addresses: list[tuple[_Number, _Word, _Number]]
    routes: list[LentRoute]
    broadcasts: dict[_Word, _Word] = msgspec.field(default_factory=dict)


def snapshot(ifname: str) -> LentState:
    """What moving takes from a NIC of this namespace: up or down, addresses, routes.

    Raises:
        HostError: there is no such NIC, or it is part of a bond or bridge.
    """
    with IPRoute() as ipr:
        message = _message(ipr, ifname)
        if message is None:
            raise HostError(f"no NIC named {ifname!r}", "see `ip link` for the names")
        if message.get_attr("IFLA_MASTER"):
            raise HostError(f"{ifname} belongs to a bond or bridge", "use a port that stands alone")
        index = message["index"]
        found = [one for one in ipr.addr("dump", index=index) if one["scope"] != _SCOPE_LINK]
        addresses = [(one["family"], _own(one), one["prefixlen"]) for one in found]
        broadcasts = {_own(one): one.get_attr("IFA_BROADCAST") for one in found if one.get_attr("IFA_BROADCAST")}
        routes = [
            LentRoute(
                family=one["family"],
                dst=f"{one.get_attr('RTA_DST')}/{one['dst_len']}" if one["dst_len"] else "default",
                gateway=one.get_attr("RTA_GATEWAY"),
                table=one.get_attr("RTA_TABLE") or one["table"],
                priority=one.get_attr("RTA_PRIORITY"),
                proto=one["proto"],
                scope=one["scope"],
                prefsrc=one.get_attr("RTA_PREFSRC"),
                metrics=_metrics(one),
            )
            for family in (2, 10)
            for one in ipr.route("dump", family=family)
            if one.get_attr("RTA_OIF") == index and one["proto"] != _RTPROT_KERNEL and one["type"] == 1
        ]
        return LentState(bool(message["flags"] & _UP), addresses, routes, broadcasts)


def _own(address: Any) -> str:
    return str(address.get_attr("IFA_LOCAL") or address.get_attr("IFA_ADDRESS"))


def _metrics(route: Any) -> dict[str, int | str]:
    """By their names in ip-route(8)."""
    found = route.get_attr("RTA_METRICS")
    return {} if found is None else {name.removeprefix("RTAX_").lower(): value for name, value in found["attrs"]}


def _message(ipr: Any, ifname: str) -> Any:
    try:
        return ipr.link("get", ifname=ifname)[0]
    except NetlinkError:
        return None


def lend(ifname: str, namespace: str) -> None:
    """Move a NIC of this namespace into the named one."""
    with IPRoute() as ipr:
        message = _message(ipr, ifname)
        try:
            ipr.link("set", index=message["index"], net_ns_fd=namespace)
        except NetlinkError as error:
            raise HostError(
                f"{ifname} cannot be moved to a network namespace: {error.args[-1]}",
                "devices made by software of another namespace cannot (NETIF_F_NETNS_LOCAL)",
            ) from error


def take_back(ifname: str, namespace: str, was: LentState) -> bool:
    """Bring the NIC back to this namespace, up or down, with addresses and routes as in `was` (see `snapshot`).

    Returns:
        Whether it was away. One that came back by itself, when its namespace ended, is put in order all the same.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    away = False
    try:
        if netns.exists(namespace):
            with netns.entered(namespace), IPRoute() as ipr:
                message = _message(ipr, ifname)
                if message is not None:
                    away = True
                    ipr.link("set", index=message["index"], net_ns_fd=home)
    finally:
        os.close(home)
    with IPRoute() as ipr:
        message = _message(ipr, ifname)
        if message is None:
            raise HostError(f"{ifname} is neither here nor in namespace {namespace}", "see `ip link` in each namespace")
        _put_in_order(ipr, message["index"], was)
    return away


def _put_in_order(ipr: Any, index: int, was: LentState) -> None:
    ipr.link("set", index=index, state="up" if was.up else "down")
    for family, address, prefix_length in was.addresses:
        broadcast = {"broadcast": was.broadcasts[address]} if address in was.broadcasts else {}
        _unless_there(ipr.addr, family=family, index=index, address=address, prefixlen=prefix_length, **broadcast)
    # those that others go through first
    for route in sorted(was.routes, key=lambda one: one.gateway is not None):
        set_values = {key: value for key, value in msgspec.structs.asdict(route).items() if value not in (None, {})}
        _unless_there(ipr.route, oif=index, **set_values)


def _unless_there(call: Any, **values: Any) -> None:
    try:
        call("add", **values)
    except NetlinkError as error:
        # a second attempt finds what the first has put back
        if error.code != errno.EEXIST:
            raise
