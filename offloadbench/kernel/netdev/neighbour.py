"""Neighbours by rtnetlink (pyroute2.IPRoute), and what TCP remembers of them (ip-tcp_metrics(8))."""

from __future__ import annotations

import errno
import socket
import time

import sh
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from offloadbench.base.errors import HostError
from offloadbench.kernel.system import netns

_PERMANENT = 0x80
_DISCARD_PORT = 9
_RESOLVE_S = 3.0


def set_static(address: str, mac: str, ifname: str, namespace: str | None) -> None:
    """Nobody is asked for this address: it is at this MAC."""
    with netns.entered(namespace), IPRoute() as ipr:
        ipr.neigh(
            "replace", dst=address, lladdr=mac, ifindex=ipr.link_lookup(ifname=ifname)[0], state=_PERMANENT
        )  # fmt: skip


def remove(address: str, ifname: str, namespace: str | None) -> bool:
    """Undo `set_static`; False when there is none."""
    with netns.entered(namespace), IPRoute() as ipr:
        found = ipr.link_lookup(ifname=ifname)
        try:
            if found:
                ipr.neigh("del", dst=address, ifindex=found[0])
        except NetlinkError as error:
            if error.code not in (errno.ENOENT, errno.ESRCH):
                raise
            return False
        return bool(found)


def mac_of(ifname: str, namespace: str | None) -> str:
    """A NIC's own address."""
    with netns.entered(namespace), IPRoute() as ipr:
        return str(ipr.link("get", ifname=ifname)[0].get_attr("IFLA_ADDRESS"))


def resolve(address: str, ifname: str, namespace: str | None) -> str:
    """The MAC of a neighbour, asked for as the kernel asks.

    Raises:
        HostError: nobody answers.
    """
    until_s = time.monotonic() + _RESOLVE_S
    with netns.entered(namespace), IPRoute() as ipr, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        index = ipr.link_lookup(ifname=ifname)[0]
        asking.setblocking(False)
        asking.sendto(b"", (address, _DISCARD_PORT))
        while time.monotonic() < until_s:
            for entry in ipr.neigh("dump", family=socket.AF_INET, ifindex=index):
                if entry.get_attr("NDA_DST") == address and entry.get_attr("NDA_LLADDR"):
                    return str(entry.get_attr("NDA_LLADDR"))
            time.sleep(0.01)
    raise HostError(f"{address} does not answer on {ifname}", f"see `ip neigh show dev {ifname}`")


def remembered(address: str, namespace: str | None) -> str:
    """What TCP has kept of earlier connections to this address: one line, "" where that is nothing."""
    try:
        with netns.entered(namespace):
            return str(sh.ip("tcp_metrics", "show", address)).strip()
    except sh.ErrorReturnCode:
        # ESRCH: not known
        return ""


def forget(address: str, namespace: str | None) -> None:
    """Let the next connection to this address start without memories."""
    if remembered(address, namespace):
        with netns.entered(namespace):
            sh.ip("tcp_metrics", "delete", address)
