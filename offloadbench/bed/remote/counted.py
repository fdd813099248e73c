"""What another host has counted, from what `host_facts.counted` brought of it."""

from __future__ import annotations

import time
from collections.abc import Iterable

from offloadbench.kernel.counters import ethtool_statistics, link_statistics, tcp_statistics
from offloadbench.kernel.counters.device_statistics import Reading
from offloadbench.roles.messages import CountedThere


def reading(ifname: str, there: CountedThere) -> Reading:
    """A reading of one host."""
    by_kernel = {
        link_statistics.PREFIX + name: value for name, value in there.link.items() if name in link_statistics.NAMES
    }
    statistics = ethtool_statistics.printed(there.ethtool) | by_kernel
    return Reading(ifname, there.driver, statistics, tcp_statistics.parse(*there.tcp), time.monotonic())


def of_several(hosts: Iterable[CountedThere]) -> Reading:
    """TCP's counters of several hosts, added up; which NICs lead to this machine is not asked."""
    total: dict[str, int] = {}
    for host in hosts:
        for name, value in tcp_statistics.parse(*host.tcp).items():
            total[name] = total.get(name, 0) + value
    return Reading("", "", {}, total, time.monotonic())
