"""A NIC of the first namespace, lent to one that the run has made."""

from __future__ import annotations

import shlex

import msgspec

from offloadbench.changes.change import (
    Change,
    InterfaceIndex,
    NamespaceName,
    NicName,
    Tell,
    of_run,
    present_name,
)
from offloadbench.kernel.netdev import lending, link
from offloadbench.kernel.netdev.lending import LentState
from offloadbench.kernel.system import netns


class LentNic(Change, frozen=True, kw_only=True, tag="lent_nic"):
    """The NIC, where it is, and what moving took from it."""

    ifname: NicName
    namespace: NamespaceName
    was: LentState
    # it is the same in a namespace that has no other device yet; 0 in older journals
    index: InterfaceIndex = 0

    @classmethod
    def of(cls, ifname: str, namespace: str) -> LentNic:
        """A NIC that is to be lent.

        Raises:
            HostError: no such NIC, or it is part of a bond or bridge.
        """
        return cls(ifname=ifname, namespace=namespace, was=lending.snapshot(ifname), index=link.read(ifname).index)

    def apply(self) -> None:
        lending.lend(self.ifname, self.namespace)

    def undo(self, tell: Tell) -> None:
        if lending.take_back(self.ifname, self.namespace, self.was):
            tell(f"{self.ifname} brought back from namespace {self.namespace}")

    def at_present(self, tell: Tell) -> Change:
        if not netns.exists(self.namespace):
            return self
        return msgspec.structs.replace(self, ifname=present_name(self.ifname, self.index, self.namespace, tell))

    @property
    def command(self) -> str:
        return f"ip netns exec {shlex.quote(self.namespace)} ip link set dev {shlex.quote(self.ifname)} netns 1"

    def distrust(self, run_id: str) -> str:
        return "" if of_run(self.namespace, run_id) else f"namespace {self.namespace} is not of run {run_id}"
