"""Offload features of a NIC: their wanted bits, since active ones are masked by dependencies."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from offloadbench.base.errors import RestoreError
from offloadbench.changes.change import NicChange, SettingSeen, Tell
from offloadbench.kernel.netdev import features
from offloadbench.kernel.netdev.features import Feature

FeatureName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:+-]{0,63}\Z")]


class FeatureBits(NicChange, frozen=True, kw_only=True, tag="features"):
    """The wanted bits of a NIC.

    Attributes:
        wanted: as found, of every feature that can change.
        asked: what is asked for; None in journals that do not say so.
        handed_down: what a device above may ask of this one.
    """

    wanted: dict[FeatureName, bool]
    asked: dict[FeatureName, bool] | None = None
    handed_down: dict[FeatureName, bool] = msgspec.field(default_factory=dict)

    @classmethod
    def of(
        cls,
        ifname: str,
        namespace: str | None,
        found: Mapping[str, Feature],
        asked: Mapping[str, bool],
        handed_down: Mapping[str, bool] | None = None,
    ) -> FeatureBits:
        """What is asked of a NIC whose features were found so; what is fixed or not known there is left out."""
        wanted = {bit: feature.wanted for bit, feature in found.items() if not feature.fixed}
        return cls(
            ifname=ifname,
            namespace=namespace,
            wanted=wanted,
            asked={bit: value for bit, value in asked.items() if bit in wanted},
            handed_down={bit: value for bit, value in (handed_down or {}).items() if bit in wanted},
        )

    def apply(self) -> None:
        if self.asked:
            features.write_wanted(self.ifname, self.asked, self.namespace)

    def undo(self, tell: Tell) -> None:
        if self.nic_is_gone(tell):
            return
        found = features.read(self.ifname, self.namespace)
        differing = {name: value for name, value in self.wanted.items() if found[name].wanted != value}
        if not differing:
            return
        features.write_wanted(self.ifname, differing, self.namespace)
        after = features.read(self.ifname, self.namespace)
        stuck = [name for name, value in differing.items() if after[name].wanted != value]
        if stuck:
            raise RestoreError(f"{self.ifname}: {', '.join(stuck)} did not go back")
        tell(f"{self.ifname}: features put back: {', '.join(sorted(differing))}")

    @property
    def command(self) -> str:
        bits = " ".join(f"{name} {'on' if value else 'off'}" for name, value in self.wanted.items())
        return self.typed(f"ethtool -K {shlex.quote(self.ifname)} {bits}")

    def settings(self) -> list[SettingSeen]:
        if self.asked is None:
            return []
        now, asked = features.read(self.ifname, self.namespace), self.handed_down | self.asked
        return [
            self.setting(name, was, asked.get(name, was), now[name].wanted)
            for name, was in self.wanted.items()
            if name in now
        ]
