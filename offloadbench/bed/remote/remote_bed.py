"""The bed whose load side is another host: this machine is the device under test, with all its CPUs.

The load host is told what to run by an agent (see agent.py); nothing is installed there, and nothing is changed but the
sysctls that were asked for, which are put back (see sysctls.py).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from offloadbench.base.errors import OffloadbenchError, TrafficError
from offloadbench.bed import cpus, reach
from offloadbench.bed.local import LocalEnd
from offloadbench.bed.remote import addresses, clock
from offloadbench.bed.remote.counted import reading
from offloadbench.bed.remote.host_sysctls import HostSysctls
from offloadbench.bed.remote.sealed_connection import AgentConnection
from offloadbench.bed.testbed import Cable
from offloadbench.kernel.counters.device_statistics import Reading
from offloadbench.kernel.netdev import link
from offloadbench.kernel.system import processes
from offloadbench.model import PeerReport, WireReport
from offloadbench.roles.ends import Role

_RECONNECT_S = 30.0
_PAUSE_S = 2.0


class LoadHost(Protocol):
    """How a load host is reached.

    Attributes:
        where: names it in messages.
        nic, address: of the load host on the test link; empty where they are to be found out.
    """

    @property
    def where(self) -> str: ...
    @property
    def nic(self) -> str: ...
    @property
    def address(self) -> str: ...

    def connect(self) -> AgentConnection:
        """Reach an agent there, the first time or again.

        Raises:
            TrafficError: it cannot be reached.
        """

    def close(self) -> None:
        """Give up what is kept beside the connections. Safe to call twice."""


@dataclass(frozen=True, slots=True)
class RemoteEnd:
    """The `End` whose roles are processes of another host."""

    name: str
    address: str
    ifname: str
    bed: RemoteBed
    namespace: str | None = None
    server_cpus: frozenset[int] = frozenset()

    def launch(self, module: str, title: str, cpus: frozenset[int] | None = None) -> Role:
        del cpus  # of this machine; the load host is the load's alone
        return self.bed.connection.launch(module, title, os.environ.get(processes.MARKER, ""))

    def missing(self, tools: Iterable[str]) -> list[str]:
        return list(self.bed.connection.ask("missing", list(tools)))

    def available_memory_bytes(self) -> int:
        return int(self.bed.connection.ask("memory"))

    def is_folder(self, path: str) -> bool:
        return bool(self.bed.connection.ask("is_folder", path))

    def state(self, sysctls: Iterable[str]) -> dict[str, str | int]:
        return dict(self.bed.connection.ask("state", self.ifname, list(sysctls)))

    def counted(self) -> Reading:
        return reading(self.ifname, self.bed.connection.ask("counted", self.ifname))


class RemoteBed:
    """This machine's NIC and a load host, as a `Bed`.

    Args:
        connection: to an agent at the load host.
        sysctls: to be set on both ends.
    """

    kind = "remote"

    def __init__(
        self, nic_name: str, peer_name: str, host: LoadHost, connection: AgentConnection, sysctls: HostSysctls
    ) -> None:
        self.nic_name, self.peer_name = nic_name, peer_name
        self.placement = cpus.whole()
        self.push_back = True
        self.cable = Cable(sysctls=sysctls.values)
        self.problems: list[str] = []
        self.connection = connection
        self._sysctls = sysctls
        self._host = host
        self._mark: dict[str, Any] = {}
        try:
            found = addresses.find(nic_name, connection, host.nic, host.address)
            self.dut = LocalEnd("device under test", found.dut_address, nic_name, None, self.placement.dut)
            self.peer = RemoteEnd("load side", found.address, found.ifname, self)
            self.settings = self._describe()
            sysctls.set_here()
            self.settle()
        except BaseException:
            self.close()
            raise

    def _describe(self) -> dict[str, Any]:
        offset = clock.estimate(lambda: self.connection.ask("clock"))
        return {
            "load_host": {"where": self.connection.where, **self.connection.about},
            "load_nic": {
                "ifname": self.peer.ifname,
                "address": self.peer.address,
                **self.connection.ask("nic", self.peer.ifname),
            },
            "dut_address": self.dut.address,
            "clock_offset_s": offset.offset_s,
            "clock_uncertainty_s": offset.uncertainty_s,
        }

    def settle(self) -> None:
        """Reach the load host again if it was lost, and wait for the link, which a toggle may have reset."""
        if self.connection.lost:
            self._reconnect()
        self._sysctls.set_there(self.peer, self.connection.ask)
        link.wait_for_carrier(self.dut.ifname, None, reach.LINK_TIMEOUT_S)
        # a firewall at one of the two must not look like a dead link: the load goes one way only
        deadline_s = time.monotonic() + reach.LINK_TIMEOUT_S
        while problem := self.connection.ask("reaches", self.dut.address):
            try:
                reach.wait_for_answer(self.dut, self.peer.address, timeout_s=0.0)
                return
            except TrafficError as error:
                if time.monotonic() > deadline_s:
                    raise TrafficError(f"{error.message}; nor the other way: {problem}", error.hint) from error

    def _reconnect(self) -> None:
        self.connection.close()
        deadline_s = time.monotonic() + _RECONNECT_S
        while True:
            try:
                self.connection = self._host.connect()
                return
            except OffloadbenchError as error:
                if time.monotonic() > deadline_s:
                    raise TrafficError(f"the load side cannot be reached again: {error.message}", error.hint) from error
                time.sleep(_PAUSE_S)

    def check(self) -> None:
        """Raise TrafficError when the load host is gone."""
        self.connection.check()

    def mark(self) -> None:
        self._mark = self.connection.ask("cpu")

    def report(self) -> WireReport | None:
        """There is no emulated cable."""
        return None

    def peer_report(self) -> PeerReport | None:
        first, last = self._mark, self.connection.ask("cpu")
        offset = clock.estimate(lambda: self.connection.ask("clock"))
        return PeerReport(
            interval_s=(last["t_ns"] - first["t_ns"]) * 1e-9,
            cpus=last["cpus"],
            cpu_busy_s=last["busy_s"] - first["busy_s"],
            cpu_stolen_s=last["stolen_s"] - first["stolen_s"],
            clock_offset_s=offset.offset_s,
            clock_uncertainty_s=offset.uncertainty_s,
        )

    def close(self) -> None:
        self._sysctls.put_back()
        self.connection.close()
        self._host.close()
