"""What a device's own statistics grew by between two moments: `ethtool -S`, and the kernel's qstats beside it."""

from __future__ import annotations

import time

from offloadbench.errors import HostError
from offloadbench.kernel import ethtool_statistics, nic, queue_statistics
from offloadbench.model import DriverStatistics, folded


class DeviceStatistics:
    """The statistics of one device over a window that begins when this is made."""

    def __init__(self, ifname: str, namespace: str | None) -> None:
        self._ifname = ifname
        self._namespace = namespace
        self._driver = nic.driver_info(ifname, namespace)[0]
        self._source = ethtool_statistics.EthtoolStatistics(ifname, namespace)
        self._problem = ""
        self._first = self._read()
        self._opened_s = time.monotonic()

    def _read(self) -> dict[str, int]:
        """Every statistic; a problem is kept, since a trial does not fail because its driver is shy."""
        try:
            return self._source.read() | queue_statistics.read(self._ifname, self._namespace)
        except (OSError, HostError) as error:
            self._problem = f"{self._ifname}: no statistics of the driver: {error}"
            return {}

    def difference(self) -> DriverStatistics:
        """What grew since the beginning. A statistic that came or went in between is left out."""
        last = self._read()
        interval_s = time.monotonic() - self._opened_s
        return difference(self._ifname, self._driver, self._first, last, interval_s=interval_s, problem=self._problem)

    def close(self) -> None:
        self._source.close()


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
