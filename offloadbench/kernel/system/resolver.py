"""Addresses of hosts."""

from __future__ import annotations

import socket

from offloadbench.base.errors import TrafficError


def addresses(host: str) -> list[str]:
    """Every address of a host, IPv4 before IPv6; of an address, itself.

    Raises:
        TrafficError: no such host.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise TrafficError(f"{host}: {words}", "write its address, or see resolv.conf(5)") from error
    ordered = sorted(found, key=lambda one: one[0] != socket.AF_INET)
    return list(dict.fromkeys(str(one[4][0]) for one in ordered))
