"""What a tunnel sends through, from rtnetlink messages of every kind of tunnel."""

from __future__ import annotations

from typing import Any

import pytest
import sh
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.exceptions import NetlinkError

from offloadbench.kernel.netdev import tunnels


class Message:
    """Attributes by name, and the index."""

    def __init__(self, index: int = 5, **attributes: object) -> None:
        self._index = index
        self._attributes = {"IFLA_IFNAME": "tun9", **attributes}

    def __getitem__(self, name: str) -> int:
        assert name == "index"
        return self._index

    def get_attr(self, name: str) -> Any:
        return self._attributes.get(name)


class Routes:
    """Destination -> index of the device that it leaves by."""

    def __init__(self, **routes: int) -> None:
        self.routes = routes
        self.asked: list[str] = []

    def route(self, command: str, dst: str) -> list[Message]:
        assert command == "get"
        self.asked.append(dst)
        if dst not in self.routes:
            raise NetlinkError(101, "unreachable")
        return [Message(0, RTA_OIF=self.routes[dst])]


def _message(index: int = 5, data: dict[str, object] | None = None, **attributes: object) -> Message:
    info = Message(0, IFLA_INFO_DATA=Message(0, **(data or {})))
    return Message(index, IFLA_LINKINFO=info, **attributes)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("vxlan", _message(data={"IFLA_VXLAN_LINK": 3})),
        ("vxlan", _message(data={"IFLA_VXLAN_GROUP": "192.0.2.2"})),
        ("vxlan", _message(data={"IFLA_VXLAN_GROUP6": "2001:db8::2"})),
        ("geneve", _message(data={"IFLA_GENEVE_REMOTE": "192.0.2.2"})),
        ("gretap", _message(data={"IFLA_GRE_LINK": 0, "IFLA_GRE_REMOTE": "192.0.2.2"})),
        ("erspan", _message(IFLA_LINK=3)),
        ("gre", _message(IFLA_LINK=0, IFLA_BROADCAST="c0:00:02:02")),
        ("sit", _message(data={"IFLA_IPIP_REMOTE": "192.0.2.2"})),
        ("ip6tnl", _message(data={"IFLA_IP6TNL_REMOTE": "2001:db8::2"})),
    ],
)
def test_the_device_below_is_the_one_it_is_bound_to_or_its_route_takes(kind: str, message: Message) -> None:
    routes = Routes(**{"192.0.2.2": 3, "2001:db8::2": 3})
    assert tunnels.under(routes, message, kind, None) == ([3], "")


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (_message(data={"IFLA_VXLAN_GROUP": "239.1.1.1"}), "its other end is not told here"),
        (_message(data={"IFLA_VXLAN_GROUP": "198.51.100.9"}), "no route leads to its other end (198.51.100.9)"),
        (_message(data={"IFLA_VXLAN_GROUP": "192.0.2.9"}), "no route leads to its other end"),
        (_message(IFLA_LINK_NETNSID=1), "leave in another namespace"),
    ],
)
def test_a_way_that_cannot_be_seen_is_told(message: Message, told: str) -> None:
    # the second leads back into the tunnel itself
    found, problem = tunnels.under(Routes(**{"192.0.2.9": 5}), message, "vxlan", None)
    assert (found, told in problem) == ([], True)


def test_wireguard_is_asked_for_the_ends_of_its_peers_and_for_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def wg(*words: str) -> str:
        asked.append(words)
        return "KEY=\t192.0.2.2:51820\nOTHER=\t[2001:db8::2]:51820\nTHIRD=\t(none)\n"

    monkeypatch.setattr(sh, "wg", wg, raising=False)
    routes = Routes(**{"192.0.2.2": 3, "2001:db8::2": 4})
    assert tunnels.under(routes, _message(), "wireguard", None) == ([3, 4], "")
    assert asked == [("show", "tun9", "endpoints")]


@given(st.sampled_from(sorted(tunnels.KINDS - {"wireguard"})), st.text(), st.text())
def test_whatever_the_kernel_says_is_taken(kind: str, group: str, broadcast: str) -> None:
    message = _message(data={"IFLA_VXLAN_GROUP": group, "IFLA_GRE_REMOTE": group}, IFLA_BROADCAST=broadcast)
    found, problem = tunnels.under(Routes(), message, kind, None)
    assert (found, bool(problem)) == ([], True)
