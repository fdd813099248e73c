"""The MTU of a NIC."""

from __future__ import annotations

import shlex
from typing import Annotated

from msgspec import Meta

from offloadbench.changes.change import NicChange, SettingSeen, Tell
from offloadbench.kernel.netdev import link

MtuBytes = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class MtuValue(NicChange, frozen=True, kw_only=True, tag="mtu"):
    """The MTU as found and as asked for; None in journals that do not say so."""

    mtu_bytes: MtuBytes
    asked: MtuBytes | None = None

    @classmethod
    def of(cls, ifname: str, namespace: str | None, asked: int) -> MtuValue:
        """What is asked of a NIC, with what is found there.

        Raises:
            HostError: no such NIC.
        """
        found = link.read(ifname, namespace).mtu_bytes
        return cls(ifname=ifname, namespace=namespace, mtu_bytes=found, asked=asked)

    def apply(self) -> None:
        assert self.asked is not None
        link.set_mtu(self.ifname, self.asked, self.namespace)

    def undo(self, tell: Tell) -> None:
        if not self.nic_is_gone(tell) and self._now() != self.mtu_bytes:
            link.set_mtu(self.ifname, self.mtu_bytes, self.namespace)
            tell(f"{self.ifname}: MTU put back to {self.mtu_bytes}")

    @property
    def command(self) -> str:
        return self.typed(f"ip link set dev {shlex.quote(self.ifname)} mtu {self.mtu_bytes}")

    def settings(self) -> list[SettingSeen]:
        return [] if self.asked is None else [self.setting("MTU", self.mtu_bytes, self.asked, self._now())]

    def _now(self) -> int:
        return link.read(self.ifname, self.namespace).mtu_bytes
