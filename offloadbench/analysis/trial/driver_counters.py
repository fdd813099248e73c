"""What a driver's statistics say of a window: did its offloads act, and did it drop or hold back packets?

Which counter shows what is data (profiles/drivers); a counter that does not exist says nothing, one that did not move
says much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from offloadbench.analysis.trial.trouble import troubles
from offloadbench.definitions import catalog
from offloadbench.model import Driver, DriverCounters, DriverStatistics, Trial, folded

Names = Callable[[DriverCounters], list[str]]


@dataclass(frozen=True, slots=True)
class Counted:
    """Counters of one meaning, over all devices.

    Attributes:
        names: those that exist, as the definitions write them.
        growth: their sum.
    """

    names: list[str]
    growth: int

    def __str__(self) -> str:
        what = ", ".join(self.names)
        return f"{what} grew by {self.growth:,}" if self.growth else f"{what} did not grow"


def _definitions(device: DriverStatistics) -> list[Driver]:
    own = catalog.driver(device.driver)
    return [*([own] if own else []), *(catalog.drivers()[name] for name in catalog.KERNEL_STATISTICS)]


def counted(statistics: Iterable[DriverStatistics], meaning: Names) -> Counted | None:
    """The counters of one meaning; None where no device has any.

    Of a device that counts under its driver's names and under the kernel's, the former: nothing is counted twice.
    """
    names: list[str] = []
    growth = 0
    for device in statistics:
        for driver in _definitions(device):
            found = [name for name in meaning(driver.counters) if _exists(device, name)]
            names += found
            growth += sum(value for name in found for value in _growth(device, name).values())
            if found:
                break
    return Counted(list(dict.fromkeys(names)), growth) if names else None


def _growth(device: DriverStatistics, wanted: str) -> dict[str, int]:
    """The statistics that a name of a definition means, of those that moved."""
    pattern = folded(wanted)
    return {name: value for name, value in device.growth.items() if folded(name) == pattern}


def _exists(device: DriverStatistics, wanted: str) -> bool:
    return folded(wanted) in device.unmoved or bool(_growth(device, wanted))


def drivers(trial: Trial) -> list[tuple[str, Driver | None]]:
    """The drivers of a trial by the kernel's name, with what is known of them."""
    names = dict.fromkeys(device.driver for device in trial.statistics)
    return [(name, catalog.driver(name)) for name in names]


def segmentation_ratio(trial: Trial) -> float | None:
    """Frames on the wire per packet handed to the driver, where the driver counts one and the link the other."""
    wire = counted(trial.statistics, lambda counters: counters.wire_packets)
    if wire is None or trial.samples is None:
        return None
    handed = sum(trial.samples.counters["tx_packets"])
    interval_s = max(device.interval_s for device in trial.statistics)
    if not handed or interval_s <= 0:
        return None
    # the two readings of the driver lie just outside the window
    return wire.growth * (sum(trial.samples.interval_s) / interval_s) / handed


def warnings(statistics: Iterable[DriverStatistics]) -> list[str]:
    """What a reader of the trial must know: the cloud held back, the NIC dropped, hung or was reset (see `trouble`)."""
    return [trouble.text for trouble in troubles(statistics)]
