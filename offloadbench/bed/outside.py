"""The bed whose far end is a host on which nothing of ours runs: an existing target, such as a NAS.

This machine is the device under test, with all its CPUs. Of the far end nothing can be asked: neither its CPU time nor
its settings are known.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from offloadbench.base.errors import HostError, TrafficError, UsageError
from offloadbench.bed import cpus, reach
from offloadbench.bed.local import LocalEnd, set_sysctls
from offloadbench.bed.testbed import Cable, Remember
from offloadbench.kernel.counters.device_statistics import Reading
from offloadbench.kernel.netdev import link, route
from offloadbench.kernel.system import resolver
from offloadbench.model import PeerReport, WireReport
from offloadbench.roles.ends import Role

PREFIX = "target:"


def peer_name(host: str, port: int) -> str:
    """How a bed names a far end: `target:192.0.2.9:3260`, `target:[2001:db8::9]:3260`.

    Raises:
        TrafficError: no such host.
    """
    address = resolver.addresses(host)[0]
    return f"{PREFIX}{f'[{address}]' if ':' in address else address}:{port}"


def parse(text: str) -> tuple[str, int]:
    """(address, port) of what `peer_name` has made.

    Raises:
        UsageError: it has not.
    """
    address, _, port = text.removeprefix(PREFIX).rpartition(":")
    if not address or not (port.isascii() and port.isdigit()):
        raise UsageError(f"--peer {text}: not a far end", "name an existing target: --set target=HOST[:PORT]/IQN")
    return address.strip("[]"), int(port)


@dataclass(frozen=True, slots=True)
class OutsideEnd:
    """The `End` that is not ours."""

    address: str
    name: str = "load side"
    ifname: str = ""
    namespace: str | None = None
    server_cpus: frozenset[int] = frozenset()

    def _nothing(self) -> HostError:
        return HostError(
            f"{self.address} is an existing target: nothing of ours runs there, so it serves nothing else",
            "--workloads iscsi-write, or name a load side by --peer",
        )

    def launch(self, module: str, title: str, cpus: frozenset[int] | None = None) -> Role:
        raise self._nothing()

    def missing(self, tools: Iterable[str]) -> list[str]:
        raise self._nothing()

    def available_memory_bytes(self) -> int:
        raise self._nothing()

    def is_folder(self, path: str) -> bool:
        raise self._nothing()

    def state(self, sysctls: Iterable[str]) -> dict[str, str | int]:
        """Nothing can be seen."""
        del sysctls
        return {}

    def counted(self) -> Reading:
        raise HostError(f"{self.address} is an existing target, where nothing of ours runs", "read them there")


class OutsideBed:
    """This machine's NIC and a far end that is not ours, as a `Bed`."""

    kind = "outside"

    def __init__(self, nic_name: str, peer_name: str, cable: Cable, remember: Remember) -> None:
        self.nic_name, self.peer_name = nic_name, peer_name
        self.placement = cpus.whole()
        self.push_back = True
        self.cable = Cable(sysctls=cable.sysctls)
        self.problems: list[str] = []
        address, self._port = parse(peer_name)
        check_way(nic_name, address)
        own = _source(address, self._port)
        self.dut = LocalEnd("device under test", own, nic_name, None, self.placement.dut)
        self.peer = OutsideEnd(address)
        self.settings: dict[str, Any] = {"dut_address": own, "target_address": address}
        if self.cable.sysctls:
            self.problems.append("the sysctls are set at this end only: the other is not ours")
            set_sysctls(self.cable.sysctls, None, remember)
        self.settle()

    def settle(self) -> None:
        """A driver may reset the link when a feature changes."""
        link.wait_for_carrier(self.dut.ifname, None, reach.LINK_TIMEOUT_S)
        reach.wait_for_answer(self.dut, self.peer.address, port=self._port)

    def check(self) -> None:
        """The far end is not ours to look at: the initiator notices its loss."""

    def mark(self) -> None:
        """Nothing of the far end can be read."""

    def report(self) -> WireReport | None:
        """There is no emulated cable."""
        return None

    def peer_report(self) -> PeerReport | None:
        """Not known."""
        return None

    def close(self) -> None:
        """The bed has no processes of its own."""


def check_way(nic: str, address: str) -> None:
    """Raise UsageError unless packets to the far end leave by the NIC under test."""
    way = route.to(address)
    if way.ifname != nic:
        raise UsageError(f"{address} is reached by {way.ifname}, not by {nic}", f"use --nic {way.ifname}")


def _source(address: str, port: int) -> str:
    """Our address on the way there."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as choosing:
        try:
            choosing.connect((address, port))
        except OSError as error:
            raise TrafficError(f"{address}: {error.strerror}", f"see `ip route get {address}`") from error
        return str(choosing.getsockname()[0])
