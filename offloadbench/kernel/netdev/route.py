"""Routes and rules by rtnetlink (pyroute2.IPRoute): where packets leave, how TCP starts there (RTAX_INITCWND)."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from offloadbench.base.errors import HostError
from offloadbench.kernel.system import netns
from offloadbench.model import Route

_MAIN_TABLE = 254
_UNICAST = 1
_LINK_SCOPE = 253
_STARTS = ("initcwnd", "initrwnd")
# behind `local`, which nothing can precede, and before all that a machine has of its own
_RULE_PRIORITY = 1


def _route(message: Any, names: dict[int, str]) -> Route:
    found = message.get_attr("RTA_METRICS")
    metrics = {} if found is None else {name.removeprefix("RTAX_").lower(): value for name, value in found["attrs"]}
    return Route(
        family="inet6" if message["family"] == socket.AF_INET6 else "inet",
        destination=f"{message.get_attr('RTA_DST')}/{message['dst_len']}" if message["dst_len"] else "default",
        gateway=message.get_attr("RTA_GATEWAY") or "",
        ifname=names.get(message.get_attr("RTA_OIF"), ""),
        initcwnd=metrics.get("initcwnd"),
        initrwnd=metrics.get("initrwnd"),
        metrics={name: value for name, value in metrics.items() if name not in _STARTS},
    )


def _names(ipr: Any) -> dict[int, str]:
    return {link["index"]: link.get_attr("IFLA_IFNAME") for link in ipr.link("dump")}


def leaves_by(address: str) -> str:
    """Name of the NIC by which packets to an IPv4 address leave; empty where there is no route."""
    with IPRoute() as ipr:
        try:
            index = ipr.route("get", dst=address)[0].get_attr("RTA_OIF")
        except NetlinkError:
            return ""
        return str(ipr.link("get", index=index)[0].get_attr("IFLA_IFNAME"))


def read(namespace: str | None = None) -> list[Route]:
    """Unicast routes of the main table, IPv4 before IPv6, that are a default route or set an initial window."""
    with netns.entered(namespace), IPRoute() as ipr:
        names = _names(ipr)
        messages = [
            message
            for family in (socket.AF_INET, socket.AF_INET6)
            for message in ipr.route("dump", family=family, table=_MAIN_TABLE)
            if message["type"] == _UNICAST
        ]
    routes = [_route(message, names) for message in messages]
    return [route for route in routes if route.destination == "default" or route.initcwnd or route.initrwnd]


def to(address: str, namespace: str | None = None) -> Route:
    """The route that packets to this address take, with all its metrics.

    Raises:
        HostError: there is none.
    """
    try:
        with netns.entered(namespace), IPRoute() as ipr:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            return _route(ipr.route("get", dst=address, family=family)[0], _names(ipr))
    except NetlinkError as error:
        raise HostError(f"no route to {address}: {error.args[-1]}", f"see `ip route get {address}`") from error


def set_host_route(address: str, ifname: str, source: str, initcwnd: int, namespace: str | None) -> None:
    """A route to this one neighbour that starts TCP with `initcwnd` segments; an earlier one is replaced."""
    with netns.entered(namespace), IPRoute() as ipr:
        ipr.route(
            "replace",
            dst=f"{address}/32",
            oif=ipr.link_lookup(ifname=ifname)[0],
            prefsrc=source,
            scope=_LINK_SCOPE,
            metrics={"initcwnd": initcwnd},
        )


def remove_host_route(address: str, namespace: str | None) -> bool:
    """Undo `set_host_route`; False when there is none."""
    with netns.entered(namespace), IPRoute() as ipr:
        return _removed(lambda: ipr.route("del", dst=f"{address}/32", scope=_LINK_SCOPE))


@dataclass(frozen=True, slots=True)
class SilencedTcp:
    """A connection to which this machine's own TCP says nothing: what it would send finds no route.

    Its resets of what another program on this machine speaks are what must not leave. Packet sockets need no route.
    """

    address: str
    port: int
    local_port: int

    def _rule(self) -> dict[str, Any]:
        return {
            "priority": _RULE_PRIORITY,
            "action": "blackhole",
            "dst": self.address,
            "dst_len": 32,
            "ip_proto": socket.IPPROTO_TCP,
            "sport_range": f"{self.local_port}:{self.local_port}",
            "dport_range": f"{self.port}:{self.port}",
        }

    def begin(self, namespace: str | None) -> None:
        """Add the rule.

        Raises:
            HostError: refused; ports in rules need Linux 4.17 and CONFIG_IP_MULTIPLE_TABLES.
        """
        try:
            with netns.entered(namespace), IPRoute() as ipr:
                ipr.rule("add", **self._rule())
        except NetlinkError as error:
            raise HostError(f"ip rule: {error.args[-1]}", "root, and Linux 4.17 with policy routing") from error

    def end(self, namespace: str | None) -> bool:
        """Remove the rule; False when there is none."""
        with netns.entered(namespace), IPRoute() as ipr:
            return _removed(lambda: ipr.rule("del", **self._rule()))

    @property
    def command(self) -> str:
        """What a person types to end it."""
        return (
            f"ip rule del priority {_RULE_PRIORITY} to {self.address} ipproto tcp "
            f"sport {self.local_port} dport {self.port} blackhole"
        )


def _removed(remove: Any) -> bool:
    try:
        remove()
    except NetlinkError as error:
        if error.code in (errno.ENOENT, errno.ESRCH):
            return False
        raise
    return True
