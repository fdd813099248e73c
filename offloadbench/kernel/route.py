"""Routes by rtnetlink (pyroute2.IPRoute), read only: how TCP starts on each (RTAX_INITCWND, RTAX_INITRWND)."""

from __future__ import annotations

import socket

from pyroute2 import IPRoute

from offloadbench.kernel import netns
from offloadbench.model import Route

_MAIN_TABLE = 254
_UNICAST = 1


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
