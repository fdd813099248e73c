"""The network that benchmarks have for themselves (RFC 2544, 198.18.0.0/15): never a user's own."""

from __future__ import annotations

import ipaddress

_NETWORK = ipaddress.IPv4Network("198.18.0.0/15")


def distrust_address(address: str) -> str:
    """Why a run cannot have made this address its own; empty where it can."""
    try:
        own = ipaddress.IPv4Address(address) in _NETWORK
    except ValueError:
        own = False
    return "" if own else f"{address} is not of the network for benchmarks, {_NETWORK}"
