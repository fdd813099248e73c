"""A route to one neighbour, with the initial window that TCP starts with there."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from offloadbench.changes.benchmark_network import distrust_address
from offloadbench.changes.change import Ipv4, NamespacedChange, NicName, Tell
from offloadbench.kernel.netdev import route


class HostRoute(NamespacedChange, frozen=True, kw_only=True, tag="route"):
    """The route's destination; the rest is needed to make it only."""

    address: Ipv4
    ifname: NicName | None = None
    source: Ipv4 | None = None
    initcwnd: Annotated[int, Meta(ge=1, le=2**32 - 1)] | None = None

    def apply(self) -> None:
        """Make it, in place of an earlier one."""
        assert self.ifname is not None
        assert self.source is not None
        assert self.initcwnd is not None
        route.set_host_route(self.address, self.ifname, self.source, self.initcwnd, self.namespace)

    def undo(self, tell: Tell) -> None:
        if self.reachable() and route.remove_host_route(self.address, self.namespace):
            tell(f"route to {self.address} removed")

    @property
    def command(self) -> str:
        return self.typed(f"ip route del {self.address}")

    def distrust(self, run_id: str) -> str:
        del run_id
        return distrust_address(self.address)
