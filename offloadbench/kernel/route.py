"""Routes by rtnetlink (pyroute2.IPRoute), read only: where packets leave, how TCP starts on each route."""

from __future__ import annotations

import socket

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from offloadbench.kernel import netns
from offloadbench.model import Route

_MAIN_TABLE = 254
_UNICAST = 1


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
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in ipr.link("dump")}
        messages = [
            message
            for family in (socket.AF_INET, socket.AF_INET6)
            for message in ipr.route("dump", family=family, table=_MAIN_TABLE)
            if message["type"] == _UNICAST
        ]
    routes = []
    for message in messages:
        metrics = message.get_attr("RTA_METRICS")
        route = Route(
            family="inet6" if message["family"] == socket.AF_INET6 else "inet",
            destination=f"{message.get_attr('RTA_DST')}/{message['dst_len']}" if message["dst_len"] else "default",
            gateway=message.get_attr("RTA_GATEWAY") or "",
            ifname=names.get(message.get_attr("RTA_OIF"), ""),
            initcwnd=metrics.get_attr("RTAX_INITCWND") if metrics is not None else None,
            initrwnd=metrics.get_attr("RTAX_INITRWND") if metrics is not None else None,
        )
        if route.destination == "default" or route.initcwnd or route.initrwnd:
            routes.append(route)
    return routes
