"""What a device's statistics grew by between two moments: `ethtool -S`, and beside it what the kernel itself counts."""

from __future__ import annotations

import time
from dataclasses import dataclass

from offloadbench.base.errors import HostError
from offloadbench.kernel.counters import ethtool_statistics, link_statistics, queue_statistics, tcp_statistics
from offloadbench.kernel.netdev import nic
from offloadbench.model import DriverStatistics, folded


@dataclass(frozen=True, slots=True)
class Reading:
    """What one end of the traffic has counted at one moment.

    Attributes:
        driver: as ETHTOOL_GDRVINFO tells it.
        statistics: of the device, by the names that `DriverStatistics` uses; empty where there is no device to ask.
        tcp: see `tcp_statistics.NAMES`.
        at_s: monotonic clock of whoever asked.
        problem: why statistics are missing; "" when nothing is.
    """

    ifname: str
    driver: str
    statistics: dict[str, int]
    tcp: dict[str, int]
    at_s: float
    problem: str = ""


def read(ifname: str, namespace: str | None = None) -> Reading:
    """Everything about one device and its namespace now; a problem is kept, since no trial fails for a shy driver.

    Raises:
        HostError: there is no such device.
    """
    found: dict[str, int] = {}
    problem = ""
    driver = nic.driver_info(ifname, namespace)[0]
    source = ethtool_statistics.EthtoolStatistics(ifname, namespace)
    try:
        found |= link_statistics.read(ifname, namespace)
        found |= queue_statistics.read(ifname, namespace)
        found |= source.read()
    except (OSError, HostError) as error:
        problem = f"{ifname}: no statistics of the driver: {error}"
    finally:
        source.close()
    return Reading(ifname, driver, found, tcp_statistics.read(namespace), time.monotonic(), problem)


def between(first: Reading, last: Reading) -> DriverStatistics:
    """What the statistics of a device grew by. One that came or went in between is left out."""
    return difference(
        first.ifname,
        first.driver,
        first.statistics,
        last.statistics,
        interval_s=last.at_s - first.at_s,
        problem=first.problem or last.problem,
    )


def tcp_between(first: Reading, last: Reading) -> dict[str, int]:
    """What TCP's counters grew by, of those that both readings have."""
    return {name: value - first.tcp[name] for name, value in last.tcp.items() if name in first.tcp}


def difference(
    ifname: str, driver: str, first: dict[str, int], last: dict[str, int], *, interval_s: float, problem: str = ""
) -> DriverStatistics:
    """Two readings of one device, name -> value, as growth."""
    growth = {name: value - first[name] for name, value in last.items() if name in first}
    return DriverStatistics(
        ifname=ifname,
        driver=driver,
        interval_s=round(interval_s, 6),
        growth={name: value for name, value in growth.items() if value},
        unmoved=sorted({folded(name) for name, value in growth.items() if not value}),
        problem=problem,
    )
