"""What both ends counted in a window beside what is sampled every second: read before it opens and after it closes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from offloadbench.analysis.trial import tcp_trouble, trouble
from offloadbench.base.errors import OffloadbenchError
from offloadbench.kernel.counters import device_statistics
from offloadbench.kernel.counters.device_statistics import Reading
from offloadbench.kernel.netdev import nic
from offloadbench.kernel.system.kernel_log import KernelLog
from offloadbench.model import DriverStatistics
from offloadbench.roles.ends import End

# an end's TCP checksum errors at the device under test are judged from its samples, in every report
_SAMPLED = "Tcp.InCsumErrors"
_LINES, _LINE_LETTERS = 3, 160


@dataclass(frozen=True, slots=True)
class CountedWindow:
    """What was counted.

    Attributes:
        statistics, tcp: of the device under test and the NICs below it; peer_statistics, peer_tcp: of the peer.
        warnings: what a reader must know.
        interruptions: what made traffic stand still, so that the window's figures are not those of its case.
    """

    statistics: list[DriverStatistics] = field(default_factory=list)
    tcp: dict[str, int] = field(default_factory=dict)
    peer_statistics: list[DriverStatistics] = field(default_factory=list)
    peer_tcp: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    interruptions: list[str] = field(default_factory=list)


class WindowCounts:
    """Everything that both ends count, from now on.

    Args:
        devices: the device under test, and the NICs below it.

    Raises:
        HostError: a device of this machine is gone.
    """

    def __init__(self, dut: End, peer: End, devices: Iterable[str]) -> None:
        self._dut, self._peer = dut, peer
        self._problems: list[str] = []
        self._names = _log_names(dut, devices)
        self._log = KernelLog()
        self._first = [device_statistics.read(name, dut.namespace) for name in devices]
        self._peer_first = self._of_peer()

    def _of_peer(self) -> Reading | None:
        try:
            return self._peer.counted()
        except OffloadbenchError as error:
            self._problems.append(f"{self._peer.name}: its counters could not be read: {error.message}")
            return None

    def _of_dut(self, first: Reading) -> Reading | None:
        try:
            return device_statistics.read(first.ifname, self._dut.namespace)
        except OffloadbenchError as error:
            self._problems.append(f"{first.ifname}: its counters could not be read again: {error.message}")
            return None

    def finish(self) -> CountedWindow:
        """Read again, and judge the difference."""
        pairs = [(first, last) for first in self._first if (last := self._of_dut(first))]
        statistics = [device_statistics.between(first, last) for first, last in pairs]
        tcp = device_statistics.tcp_between(*pairs[0]) if pairs else {}
        peer_statistics: list[DriverStatistics] = []
        peer_tcp: dict[str, int] = {}
        first, last = self._peer_first, self._of_peer() if self._peer_first else None
        if first and last:
            peer_tcp = device_statistics.tcp_between(first, last)
            peer_statistics = [device_statistics.between(first, last)] if first.ifname else []
        found = trouble.troubles(statistics) + trouble.troubles(peer_statistics, of=f"{self._peer.name}, ")
        warnings = [one.text for one in found if not one.interrupts]
        warnings += tcp_trouble.warnings(tcp | {_SAMPLED: 0}, self._dut.name)
        warnings += tcp_trouble.warnings(peer_tcp, self._peer.name)
        return CountedWindow(
            statistics=statistics,
            tcp=tcp,
            peer_statistics=peer_statistics,
            peer_tcp=peer_tcp,
            warnings=[*warnings, *self._logged(), *dict.fromkeys(self._problems)],
            interruptions=[one.text for one in found if one.interrupts],
        )

    def _logged(self) -> list[str]:
        lines = self._log.naming(self._names)
        if not lines:
            return []
        quoted = "; ".join(f'"{line[:_LINE_LETTERS]}"' for line in lines[:_LINES])
        more = f", and {len(lines) - _LINES} more" if len(lines) > _LINES else ""
        return [f"the kernel logged in the window: {quoted}{more}"]

    def close(self) -> None:
        self._log.close()


def _log_names(end: End, devices: Iterable[str]) -> list[str]:
    """By what names the kernel's log speaks of these devices: those of a virtual one in a namespace mean nothing."""
    found = []
    for name in devices:
        bus = nic.driver_info(name, end.namespace)[3]
        found += [name, bus] if end.namespace is None or bus else []
    return found
