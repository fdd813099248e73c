"""Routes from rtnetlink messages as pyroute2 hands them over."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from offloadbench.kernel.netdev import route


class Message(dict[str, Any]):
    """A message of pyroute2: header fields as items, attributes by name."""

    def __init__(self, header: dict[str, Any], **attributes: Any) -> None:
        super().__init__(header)
        self.attributes = attributes

    def get_attr(self, name: str) -> Any:
        return self.attributes.get(name)


class Netlink:
    """Stands for IPRoute: two links, and routes by family."""

    def __init__(self) -> None:
        metrics = Message({"attrs": [("RTAX_INITCWND", 40), ("RTAX_MTU", 1400)]})
        self.routes = [
            _route(socket.AF_INET, 0, RTA_OIF=2, RTA_GATEWAY="192.0.2.1"),
            _route(socket.AF_INET, 24, RTA_OIF=2, RTA_DST="192.0.2.0"),
            _route(socket.AF_INET, 24, RTA_DST="198.51.100.0", RTA_METRICS=metrics),
            _route(socket.AF_INET, 32, kind=2, RTA_OIF=2, RTA_DST="192.0.2.2", RTA_METRICS=metrics),
            _route(socket.AF_INET6, 0, RTA_OIF=2, RTA_METRICS=Message({"attrs": [("RTAX_INITRWND", 5)]})),
        ]

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def link(self, command: str) -> list[Message]:
        assert command == "dump"
        return [Message({"index": 1}, IFLA_IFNAME="lo"), Message({"index": 2}, IFLA_IFNAME="eth0")]

    def route(self, command: str, family: int, table: int) -> list[Message]:
        assert (command, table) == ("dump", 254)
        return [message for message in self.routes if message["family"] == family]


def _route(family: int, length: int, kind: int = 1, **attributes: Any) -> Message:
    return Message({"family": family, "dst_len": length, "type": kind}, **attributes)


def test_default_routes_and_those_with_an_initial_window_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "IPRoute", Netlink)
    found = route.read()
    assert [(one.family, one.destination, one.ifname, one.initcwnd, one.initrwnd) for one in found] == [
        ("inet", "default", "eth0", None, None),
        ("inet", "198.51.100.0/24", "", 40, None),
        ("inet6", "default", "eth0", None, 5),
    ]
    assert found[0].gateway == "192.0.2.1"
    assert [one.metrics for one in found] == [{}, {"mtu": 1400}, {}]
