"""The rule by which this machine's TCP says nothing to a connection that another program speaks for it."""

from __future__ import annotations

from offloadbench.changes.change import Ipv4, NamespacedChange, Port, Tell
from offloadbench.kernel.netdev.route import SilencedTcp


class ResetRule(NamespacedChange, frozen=True, kw_only=True, tag="rule"):
    """A rule against resets to a server's address and port, from a port of ours."""

    address: Ipv4
    port: Port
    local_port: Port

    def apply(self) -> None:
        self._silence.begin(self.namespace)

    def undo(self, tell: Tell) -> None:
        if self.reachable() and self._silence.end(self.namespace):
            tell(f"ip rule against resets to {self.address} removed")

    @property
    def command(self) -> str:
        return self.typed(self._silence.command)

    @property
    def _silence(self) -> SilencedTcp:
        return SilencedTcp(self.address, self.port, self.local_port)
