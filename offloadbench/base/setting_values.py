"""How the words of settings that are not of the emulated link are read, and how their values are told.

Imported by every `--help`: standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from offloadbench.base.errors import UsageError
from offloadbench.base.units import parse_percent

# IPv4 asks for 68 (RFC 791); below 576 no host need take a datagram whole (RFC 1122)
_LEAST_MTU_BYTES = 576
# what a header of IPv4 can say
_MOST_MTU_BYTES = 65535


def parse_mtu(value: int | str) -> int:
    """Bytes; 0 is as found."""
    size = _parse_whole(value)
    if size and not _LEAST_MTU_BYTES <= size <= _MOST_MTU_BYTES:
        raise UsageError(f"{value} is no MTU", f"use {_LEAST_MTU_BYTES} to {_MOST_MTU_BYTES}, or 0: as found")
    return size


def parse_descriptors(value: int | str) -> int:
    """Of a ring; 0 is as found."""
    count = _parse_whole(value)
    if count < 0:
        raise UsageError(f"{value} is no number of descriptors", "see `ethtool -g` for the most, or 0: as found")
    return count


def _parse_whole(value: int | str) -> int:
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,9}", value.strip()):
        raise UsageError(f"{value!r} is no whole number", "for example: 4096")
    return int(value)


def parse_precision(text: str | None) -> float:
    return parse_percent(text) if text else 0.0


def parse_sysctls(words: Iterable[str]) -> dict[str, str]:
    """`net.ipv4.tcp_sack=0` -> its name and value; only `net.` belongs to a network namespace.

    Raises:
        UsageError: a word is none of these.
    """
    values = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not re.fullmatch(r"net(\.[A-Za-z0-9_-]+)+", name):
            raise UsageError(f"--sysctl {word!r}", 'write --sysctl net.ipv4.tcp_wmem="4096 16384 67108864"')
        values[name] = value
    return values


def listed(text: str | None) -> list[str]:
    return [word for word in (text or "").split(",") if word]


def stems(words: list[str]) -> list[str]:
    """Names of workloads, of those by path too."""
    return [word.removesuffix(".toml").rpartition("/")[2] for word in words]


def form_found(value: int) -> str:
    return str(value or "as found")


def form_flag(on: bool) -> str:
    return "on" if on else "off"


def form_load_side(where: str) -> str:
    return where or "none"


def form_sysctls(values: Any) -> str:
    """Also of a damaged file, where they are none."""
    if not isinstance(values, Mapping):
        return str(values)
    return ", ".join(f"{name}={value}" for name, value in values.items()) or "none"
