"""The limit of segments in a super-packet of a NIC (IFLA_GSO_MAX_SEGS)."""

from __future__ import annotations

import shlex
from typing import Annotated

from msgspec import Meta

from offloadbench.changes.change import NicChange, SettingSeen, Tell
from offloadbench.kernel.netdev import link

SegmentLimit = Annotated[int, Meta(ge=0, le=2**32 - 1)]


class GsoMaxSegs(NicChange, frozen=True, kw_only=True, tag="gso_max_segs"):
    """The limit as found and as asked for; None in journals that do not say so."""

    max_segs: SegmentLimit
    asked: SegmentLimit | None = None

    def apply(self) -> None:
        assert self.asked is not None
        link.set_gso_max_segs(self.ifname, self.asked, self.namespace)

    def undo(self, tell: Tell) -> None:
        if not self.nic_is_gone(tell) and self._now() != self.max_segs:
            link.set_gso_max_segs(self.ifname, self.max_segs, self.namespace)
            tell(f"{self.ifname}: gso_max_segs put back to {self.max_segs}")

    @property
    def command(self) -> str:
        return self.typed(f"ip link set dev {shlex.quote(self.ifname)} gso_max_segs {self.max_segs}")

    def settings(self) -> list[SettingSeen]:
        return [] if self.asked is None else [self.setting("gso_max_segs", self.max_segs, self.asked, self._now())]

    def _now(self) -> int:
        return link.read(self.ifname, self.namespace).gso.max_segs
