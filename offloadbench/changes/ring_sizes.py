"""Descriptors in the rings of a NIC."""

from __future__ import annotations

import shlex
from typing import Annotated

import msgspec
from msgspec import Meta

from offloadbench.changes.change import NicChange, SettingSeen, Tell
from offloadbench.kernel.netdev import rings

Descriptors = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class RingPair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of the receive and the transmit ring."""

    rx: Descriptors
    tx: Descriptors


class RingSizes(NicChange, frozen=True, kw_only=True, tag="rings"):
    """The rings as found, and those asked for (`rx`, `tx`); None in journals that do not say so."""

    rings: RingPair
    asked: dict[str, Descriptors] | None = None

    @classmethod
    def of(cls, ifname: str, namespace: str | None, asked: dict[str, int]) -> RingSizes:
        """What is asked of a NIC, with what is found there.

        Raises:
            FeatureError: its driver has no rings that can be told.
        """
        found = rings.read(ifname, namespace)
        return cls(ifname=ifname, namespace=namespace, rings=RingPair(found.rx, found.tx), asked=asked)

    def apply(self) -> None:
        assert self.asked is not None
        rings.write(self.ifname, self.asked, self.namespace)

    def undo(self, tell: Tell) -> None:
        if not self.nic_is_gone(tell) and self._now() != self.rings:
            rings.write(self.ifname, {"rx": self.rings.rx, "tx": self.rings.tx}, self.namespace)
            tell(f"{self.ifname}: rings put back to rx {self.rings.rx}, tx {self.rings.tx}")

    @property
    def command(self) -> str:
        return self.typed(f"ethtool -G {shlex.quote(self.ifname)} rx {self.rings.rx} tx {self.rings.tx}")

    def settings(self) -> list[SettingSeen]:
        if self.asked is None:
            return []
        now = self._now()
        rows = (("rx", self.rings.rx, now.rx), ("tx", self.rings.tx, now.tx))
        return [self.setting(f"{name} ring", was, self.asked.get(name, was), count) for name, was, count in rows]

    def _now(self) -> RingPair:
        found = rings.read(self.ifname, self.namespace)
        return RingPair(found.rx, found.tx)
