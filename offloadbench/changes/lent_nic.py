"""A NIC of the first namespace, lent to one that the run has made."""

from __future__ import annotations

import shlex

from offloadbench.changes.change import Change, NamespaceName, NicName, Tell, of_run
from offloadbench.kernel.netdev import lending
from offloadbench.kernel.netdev.lending import LentState


class LentNic(Change, frozen=True, kw_only=True, tag="lent_nic"):
    """The NIC, where it is, and what moving took from it."""

    ifname: NicName
    namespace: NamespaceName
    was: LentState

    @classmethod
    def of(cls, ifname: str, namespace: str) -> LentNic:
        """A NIC that is to be lent.

        Raises:
            HostError: no such NIC, or it is part of a bond or bridge.
        """
        return cls(ifname=ifname, namespace=namespace, was=lending.snapshot(ifname))

    def apply(self) -> None:
        lending.lend(self.ifname, self.namespace)

    def undo(self, tell: Tell) -> None:
        if lending.take_back(self.ifname, self.namespace, self.was):
            tell(f"{self.ifname} brought back from namespace {self.namespace}")

    @property
    def command(self) -> str:
        return f"ip netns exec {shlex.quote(self.namespace)} ip link set dev {shlex.quote(self.ifname)} netns 1"

    def distrust(self, run_id: str) -> str:
        return "" if of_run(self.namespace, run_id) else f"namespace {self.namespace} is not of run {run_id}"
