"""A neighbour that nobody is asked for."""

from __future__ import annotations

import shlex
from typing import Annotated

from msgspec import Meta

from offloadbench.changes.benchmark_network import distrust_address
from offloadbench.changes.change import Ipv4, NamespacedChange, NicName, Tell
from offloadbench.kernel.netdev import neighbour

MacAddress = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}\Z")]


class StaticNeighbour(NamespacedChange, frozen=True, kw_only=True, tag="neighbour"):
    """The neighbour's address and its NIC; its MAC is needed to make it only."""

    address: Ipv4
    ifname: NicName
    mac: MacAddress | None = None

    def apply(self) -> None:
        assert self.mac is not None
        neighbour.set_static(self.address, self.mac, self.ifname, self.namespace)

    def undo(self, tell: Tell) -> None:
        if self.reachable() and neighbour.remove(self.address, self.ifname, self.namespace):
            tell(f"{self.ifname}: neighbour {self.address} removed")

    @property
    def command(self) -> str:
        return self.typed(f"ip neigh del {self.address} dev {shlex.quote(self.ifname)}")

    def distrust(self, run_id: str) -> str:
        del run_id
        return distrust_address(self.address)
