"""An address that a NIC has for the length of the run."""

from __future__ import annotations

import shlex
from typing import Annotated

from msgspec import Meta

from offloadbench.changes.benchmark_network import distrust_address
from offloadbench.changes.change import Ipv4, NicChange, Tell
from offloadbench.kernel.netdev import link


class LinkAddress(NicChange, frozen=True, kw_only=True, tag="address"):
    """The address, and whether the NIC was up without it."""

    address: Ipv4
    up: bool
    # needed to make it only
    prefix_length: Annotated[int, Meta(ge=0, le=32)] | None = None

    @classmethod
    def of(cls, ifname: str, namespace: str | None, address: str, prefix_length: int) -> LinkAddress:
        """An address that a NIC is to have.

        Raises:
            HostError: no such NIC.
        """
        up = link.read(ifname, namespace).up
        return cls(ifname=ifname, namespace=namespace, address=address, up=up, prefix_length=prefix_length)

    def apply(self) -> None:
        assert self.prefix_length is not None
        link.configure(self.ifname, self.address, self.prefix_length, self.namespace)

    def undo(self, tell: Tell) -> None:
        if not self.nic_is_gone(tell) and link.deconfigure(self.ifname, self.address, self.namespace, up=self.up):
            tell(f"{self.ifname}: address {self.address} taken away")

    @property
    def command(self) -> str:
        return self.typed(f"ip address flush dev {shlex.quote(self.ifname)} to {self.address}")

    def distrust(self, run_id: str) -> str:
        del run_id
        return distrust_address(self.address)
