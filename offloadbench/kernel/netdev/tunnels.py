"""What a tunnel sends through: the device that it is bound to, or the one that the route to its other end takes."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

import sh
from pyroute2.netlink.exceptions import NetlinkError

from offloadbench.kernel.system import netns

# kind of rtnetlink -> attributes of IFLA_INFO_DATA: the device below, the other end
_ATTRIBUTES: dict[str, tuple[str, tuple[str, ...]]] = {
    "vxlan": ("IFLA_VXLAN_LINK", ("IFLA_VXLAN_GROUP", "IFLA_VXLAN_GROUP6")),
    "geneve": ("", ("IFLA_GENEVE_REMOTE", "IFLA_GENEVE_REMOTE6")),
    "ipip": ("IFLA_IPIP_LINK", ("IFLA_IPIP_REMOTE",)),
    "sit": ("IFLA_IPIP_LINK", ("IFLA_IPIP_REMOTE",)),
    "ip6tnl": ("IFLA_IP6TNL_LINK", ("IFLA_IP6TNL_REMOTE",)),
    "gre": ("IFLA_GRE_LINK", ("IFLA_GRE_REMOTE",)),
    "gretap": ("IFLA_GRE_LINK", ("IFLA_GRE_REMOTE",)),
    "ip6gre": ("IFLA_GRE_LINK", ("IFLA_GRE_REMOTE",)),
    "ip6gretap": ("IFLA_GRE_LINK", ("IFLA_GRE_REMOTE",)),
    "erspan": ("", ()),
    "ip6erspan": ("", ()),
    "wireguard": ("", ()),
}
KINDS = frozenset(_ATTRIBUTES)
_WIREGUARD = "wireguard"


def under(ipr: Any, message: Any, kind: str, namespace: str | None) -> tuple[list[int], str]:
    """Indexes of the devices below a tunnel, and why there may be none.

    Args:
        ipr: an rtnetlink socket in the tunnel's namespace.
        message: the tunnel's RTM_NEWLINK message.
    """
    name, index = message.get_attr("IFLA_IFNAME"), message["index"]
    if message.get_attr("IFLA_LINK_NETNSID") is not None:
        return [], f"{name}: its packets leave in another namespace, whose devices cannot be asked"
    bound, _ = _ATTRIBUTES[kind]
    data = _data(message)
    # dev_get_iflink(): the device that a tunnel is bound to; 0 is none
    link = (data.get_attr(bound) if data is not None and bound else None) or message.get_attr("IFLA_LINK")
    if link and link != index:
        return [link], ""
    ends = list(_other_ends(message, kind, name, namespace))
    found: list[int] = []
    for end in ends:
        try:
            out = ipr.route("get", dst=end)[0].get_attr("RTA_OIF")
        except NetlinkError:
            continue
        if out and out != index and out not in found:
            found.append(out)
    if found:
        return found, ""
    what = f"no route leads to its other end ({', '.join(ends)})" if ends else "its other end is not told here"
    return [], f"{name}: what it sends through is not known, {what}"


def _data(message: Any) -> Any:
    info = message.get_attr("IFLA_LINKINFO")
    data = info.get_attr("IFLA_INFO_DATA") if info else None
    return data if hasattr(data, "get_attr") else None


def _other_ends(message: Any, kind: str, name: str, namespace: str | None) -> Iterator[str]:
    """Addresses that can be looked up in the routes: no multicast groups, and none that is unset."""
    data = _data(message)
    found = [data.get_attr(attribute) for attribute in _ATTRIBUTES[kind][1]] if data is not None else []
    if kind == _WIREGUARD:
        found += _endpoints(name, namespace)
    else:
        # the link-layer broadcast address of a tunnel over IP is its other end
        found.append(_from_bytes(message.get_attr("IFLA_BROADCAST") or ""))
    for text in found:
        try:
            address = ipaddress.ip_address(text or "")
        except ValueError:
            continue
        if not address.is_multicast and not address.is_unspecified:
            yield str(address)


def _from_bytes(text: str) -> str:
    """`c0:00:02:01`, as a hardware address is shown, or the address itself."""
    parts = text.split(":")
    if len(parts) in (4, 16) and all(re.fullmatch("[0-9a-f]{2}", part) for part in parts):
        return str(ipaddress.ip_address(bytes.fromhex("".join(parts))))
    return text


def _endpoints(name: str, namespace: str | None) -> list[str]:
    """Of a WireGuard device's peers, by wg(8): asking the kernel itself would bring its private key along."""
    try:
        with netns.entered(namespace):
            text = str(sh.wg("show", name, "endpoints"))
    except (sh.ErrorReturnCode, sh.CommandNotFound):
        return []
    ends = [line.split()[-1] for line in text.splitlines() if line.split()]
    return [end.rpartition(":")[0].strip("[]") for end in ends]
