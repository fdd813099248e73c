"""What both ends counted beside what is sampled every second, and what the kernel logged of their NICs.

Read before traffic starts, at both sides of the window, and when traffic has ended: a NIC that hangs is reset seconds
later, which may be after the window, and traffic may end for what it did then.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from offloadbench.analysis.trial import tcp_trouble, trouble
from offloadbench.analysis.trial.trouble import DeviceTrouble
from offloadbench.base.errors import HostError, OffloadbenchError
from offloadbench.kernel.counters import device_statistics
from offloadbench.kernel.counters.device_statistics import Reading
from offloadbench.kernel.netdev import nic
from offloadbench.kernel.system.kernel_log import KernelLog
from offloadbench.model import DriverStatistics
from offloadbench.roles.ends import End

# an end's TCP checksum errors at the device under test are judged from its samples, in every report
_SAMPLED = "Tcp.InCsumErrors"
_LINES, _LINE_LETTERS = 3, 160
_BEFORE, _IN, _AFTER = "before the window opened", "in the window", "after the window closed"
# its end was not reached, so that what came later cannot be told apart
_SINCE = "since the window opened"


@dataclass(frozen=True, slots=True)
class CountedWindow:
    """What was counted.

    Attributes:
        statistics, tcp: of the device under test and the NICs below it; peer_statistics, peer_tcp: of the peer.
        warnings: what a reader must know.
        interruptions: what made traffic stand still, so that the window's figures are not those of its case.
        outside: what made traffic stand still before the window or after it, which may be why a trial failed; `after`:
            those of them after it.
        logged: what the kernel logged of the NICs.
    """

    statistics: list[DriverStatistics] = field(default_factory=list)
    tcp: dict[str, int] = field(default_factory=dict)
    peer_statistics: list[DriverStatistics] = field(default_factory=list)
    peer_tcp: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    interruptions: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Moment:
    """Attributes: logged: what the kernel has logged of the NICs since the moment before."""

    devices: dict[str, Reading]
    peer: Reading | None
    logged: list[str]


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
        devices = list(devices)
        self._names = _log_names(dut, devices)
        # the kernel's log is this machine's, and so are the ends in its namespaces
        if peer.namespace is not None:
            with contextlib.suppress(HostError):
                self._names += _log_names(peer, [peer.ifname])
        first = {name: device_statistics.read(name, dut.namespace) for name in devices}
        self._log = KernelLog()
        self._moments = [_Moment(first, self._of_peer(), [])]

    def open(self) -> None:
        """The window opens."""
        self._moments.append(self._moment())

    def shut(self) -> None:
        """The window closes."""
        self._moments.append(self._moment())

    def _moment(self) -> _Moment:
        first = self._moments[0]
        devices = {name: last for name in first.devices if (last := self._of_dut(name))}
        return _Moment(devices, self._of_peer() if first.peer else None, self._log.naming(self._names))

    def _of_peer(self) -> Reading | None:
        try:
            return self._peer.counted()
        except OffloadbenchError as error:
            self._problems.append(f"{self._peer.name}: its counters could not be read: {error.message}")
            return None

    def _of_dut(self, name: str) -> Reading | None:
        try:
            return device_statistics.read(name, self._dut.namespace)
        except OffloadbenchError as error:
            self._problems.append(f"{name}: its counters could not be read again: {error.message}")
            return None

    def finish(self, *, failed: bool) -> CountedWindow:
        """Judge what was counted until now.

        Args:
            failed: the trial has failed.
        """
        whens = [_BEFORE, _IN if len(self._moments) > 2 else _SINCE, _AFTER]
        self._moments.append(self._moment())
        counted = CountedWindow()
        outside: list[str] = []
        after: list[str] = []
        logged: list[str] = []
        for when, (first, last) in zip(whens, itertools.pairwise(self._moments), strict=False):
            if when in (_BEFORE, _AFTER):
                found = self._troubles(*_statistics(first, last))
                told = [f"{when}: {one.text}" for one in found if one.interrupts]
                outside += told
                after += told if when == _AFTER else []
            else:
                counted = self._window(when, first, last)
            # what a toggle let the driver say of a link that came back is no news
            if when != _BEFORE or outside or failed:
                logged += _quoted(when, last.logged)
        return dataclasses.replace(
            counted,
            warnings=[*counted.warnings, *dict.fromkeys(self._problems)],
            outside=outside,
            after=after,
            logged=logged,
        )

    def _window(self, when: str, first: _Moment, last: _Moment) -> CountedWindow:
        statistics, peer_statistics = _statistics(first, last)
        pairs = [(first.devices[name], reading) for name, reading in last.devices.items() if name in first.devices]
        tcp = device_statistics.tcp_between(*pairs[0]) if pairs else {}
        peer_tcp = device_statistics.tcp_between(first.peer, last.peer) if first.peer and last.peer else {}
        found = self._troubles(statistics, peer_statistics)
        warnings = [one.text for one in found if not one.interrupts]
        warnings += tcp_trouble.warnings(tcp | {_SAMPLED: 0}, self._dut.name)
        warnings += tcp_trouble.warnings(peer_tcp, self._peer.name)
        return CountedWindow(
            statistics=statistics,
            tcp=tcp,
            peer_statistics=peer_statistics,
            peer_tcp=peer_tcp,
            warnings=warnings,
            interruptions=[f"traffic stood still {when}: {one.text}" for one in found if one.interrupts],
        )

    def _troubles(self, ours: list[DriverStatistics], theirs: list[DriverStatistics]) -> list[DeviceTrouble]:
        return trouble.troubles(ours) + trouble.troubles(theirs, of=f"{self._peer.name}, ")

    def close(self) -> None:
        self._log.close()


def _statistics(first: _Moment, last: _Moment) -> tuple[list[DriverStatistics], list[DriverStatistics]]:
    """What grew between two moments: of the device under test and those below it, and of the peer's."""
    ours = [
        device_statistics.between(first.devices[name], reading)
        for name, reading in last.devices.items()
        if name in first.devices
    ]
    if first.peer is None or last.peer is None or not first.peer.ifname:
        return ours, []
    return ours, [device_statistics.between(first.peer, last.peer)]


def _quoted(when: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    quoted = "; ".join(f'"{line[:_LINE_LETTERS]}"' for line in lines[:_LINES])
    more = f", and {len(lines) - _LINES} more" if len(lines) > _LINES else ""
    return [f"the kernel logged {when}: {quoted}{more}"]


def _log_names(end: End, devices: Iterable[str]) -> list[str]:
    """By what names the kernel's log speaks of these devices: those of a virtual one in a namespace mean nothing."""
    found = []
    for name in devices:
        bus = nic.driver_info(name, end.namespace)[3]
        found += [name, bus] if end.namespace is None or bus else []
    return found
