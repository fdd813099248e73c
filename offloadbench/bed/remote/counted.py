"""What another host has counted, from what `host_facts.counted` brought of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from offloadbench.kernel.counters import ethtool_statistics, link_statistics, tcp_statistics
from offloadbench.kernel.counters.device_statistics import Reading


def reading(ifname: str, told: Mapping[str, Any]) -> Reading:
    """A reading of one host."""
    by_kernel = {
        link_statistics.PREFIX + name: int(value)
        for name, value in told["link"].items()
        if name in link_statistics.NAMES
    }
    statistics = ethtool_statistics.printed(told["ethtool"]) | by_kernel
    return Reading(ifname, str(told["driver"]), statistics, tcp_statistics.parse(*told["tcp"]), time.monotonic())


def of_several(told: Iterable[Mapping[str, Any]]) -> Reading:
    """TCP's counters of several hosts, added up; which NICs lead to this machine is not asked."""
    total: dict[str, int] = {}
    for host in told:
        for name, value in tcp_statistics.parse(*host["tcp"]).items():
            total[name] = total.get(name, 0) + value
    return Reading("", "", {}, total, time.monotonic())
