"""Two NICs of this machine, cabled back to back: the second one moves into a namespace of its own for the run.

Both stacks run on this machine, so its CPUs are divided: each NIC's interrupts go to the CPUs of its end.
"""

from __future__ import annotations

from typing import Any

from offloadbench.base.errors import HostError
from offloadbench.bed import cpus, reach
from offloadbench.bed.local import (
    DUT_ADDRESS,
    PEER_ADDRESS,
    PREFIX_LENGTH,
    LoadSide,
    LocalEnd,
    peer_namespace,
    set_sysctls,
)
from offloadbench.bed.testbed import Cable, Remember
from offloadbench.kernel.netdev import irq, lending, link
from offloadbench.kernel.system import netns, sysctl
from offloadbench.model import PeerReport, WireReport

PREFIX = "nic:"


def _interrupts(ifname: str) -> list[int]:
    """Of a NIC, or of those that a VLAN or a bond sends through."""
    nics = link.below(ifname).leaves or [ifname]
    return [number for nic in nics for number in irq.of_device(irq.device_of(nic))]


class PairBed:
    """The two NICs as a `Bed`."""

    kind = "pair"

    def __init__(self, nic_name: str, peer_nic: str, cable: Cable, run_id: str, remember: Remember) -> None:
        self.nic_name = nic_name
        self.peer_name = f"{PREFIX}{peer_nic}"
        self.placement = cpus.halve()
        self.push_back = True
        self.cable = Cable(sysctls=cable.sysctls)
        self.dut = LocalEnd("device under test", DUT_ADDRESS, nic_name, None, self.placement.dut)
        self.peer = LocalEnd("load side", PEER_ADDRESS, peer_nic, peer_namespace(run_id), self.placement.peer)
        self.problems: list[str] = []
        self.settings: dict[str, Any] = {}
        self._load_side = LoadSide(self.placement.peer)
        self._remember = remember
        self._build()

    def _build(self) -> None:
        namespace = self.peer.namespace
        assert namespace is not None
        interrupts = {end.ifname: _interrupts(end.ifname) for end in (self.dut, self.peer)}
        self._remember("namespace", namespace=namespace)
        netns.create(namespace)
        sysctl.write("net.ipv6.conf.all.disable_ipv6", "1", namespace)
        sysctl.write("net.ipv6.conf.default.disable_ipv6", "1", namespace)
        for where in (None, namespace):
            set_sysctls(self.cable.sysctls, where, self._remember)
        self._remember("lent_nic", ifname=self.peer.ifname, namespace=namespace, was=lending.snapshot(self.peer.ifname))
        lending.lend(self.peer.ifname, namespace)
        link.configure(self.peer.ifname, self.peer.address, PREFIX_LENGTH, namespace)
        state = link.read(self.dut.ifname)
        self._remember("address", ifname=self.dut.ifname, namespace=None, address=self.dut.address, up=state.up)
        link.configure(self.dut.ifname, self.dut.address, PREFIX_LENGTH, None)
        for end in (self.dut, self.peer):
            self._steer(end, interrupts[end.ifname])
        self.settle()

    def _steer(self, end: LocalEnd, numbers: list[int]) -> None:
        """Let the CPUs of an end serve its interrupts."""
        wanted = irq.cpu_list(end.server_cpus)
        if not numbers:
            self.problems.append(f"{end.ifname} has no interrupts of its own: its work is done where the kernel likes")
        for number in numbers:
            try:
                was = irq.affinity(number)
                self._remember("irq_affinity", irq=number, cpus=was)
                irq.set_affinity(number, wanted)
            except HostError as error:
                self.problems.append(f"{end.ifname}: {error.message}")
        if numbers:
            self.settings[f"{end.ifname}_interrupts"] = f"{len(numbers)} on CPU {wanted}"

    def settle(self) -> None:
        """A driver may reset the link when a feature changes."""
        for end in (self.dut, self.peer):
            link.wait_for_carrier(end.ifname, end.namespace, reach.LINK_TIMEOUT_S)
        reach.wait_for_answer(self.dut, self.peer.address)

    def check(self) -> None:
        """Both ends are this machine."""

    def mark(self) -> None:
        self._load_side.mark()

    def report(self) -> WireReport | None:
        return None

    def peer_report(self) -> PeerReport | None:
        return self._load_side.report()

    def close(self) -> None:
        """The bed has no processes of its own."""
