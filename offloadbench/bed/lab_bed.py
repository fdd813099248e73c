"""The lab link: two network namespaces of this machine, joined by an emulated cable or by a veth pair."""

from __future__ import annotations

import os
import socket
from typing import Any

from offloadbench.base import setting
from offloadbench.base.errors import HostError, OffloadbenchError
from offloadbench.bed import cpus
from offloadbench.bed.local import (
    DUT_ADDRESS,
    PEER_ADDRESS,
    PREFIX_LENGTH,
    LoadSide,
    LocalEnd,
    buffer_limits,
    dut_namespace,
    make_namespace,
    peer_namespace,
)
from offloadbench.bed.testbed import Cable
from offloadbench.changes.change import ChangeLog
from offloadbench.kernel.netdev import features, link, steering
from offloadbench.kernel.system import netns
from offloadbench.model import PeerReport, WireDirection, WireReport
from offloadbench.model.emulated_link import link_part
from offloadbench.roles.ends import Role
from offloadbench.roles.messages import CountWire, DirectionTotals, OpenWire, WireCounted, WireReady

# NETIF_F_ALL_TSO (include/linux/netdev_features.h), as ethtool names them
_ALL_TSO = (
    "tx-tcp-segmentation",
    "tx-tcp6-segmentation",
    "tx-tcp-ecn-segmentation",
    "tx-tcp-mangleid-segmentation",
)
_DISCARD_PORT = 9
# frames a TAP may hold before it drops; a NIC's ring and its driver's queue together
TAP_QUEUE_FRAMES = 16384
LAB, LAB_VETH = setting.LAB, setting.LAB_VETH
NAMES = (LAB, LAB_VETH)


class Lab:
    """The lab as a `Bed`."""

    def __init__(self, nic_name: str, cable: Cable, run_id: str, changes: ChangeLog) -> None:
        emulated = nic_name == LAB
        self.kind = nic_name
        self.nic_name = nic_name
        self.peer_name = ""
        self.placement = cpus.place(with_wire=emulated)
        self.push_back = not emulated
        self.cable = cable if emulated else Cable(sysctls=cable.sysctls)
        self.namespaces = dut, peer = dut_namespace(run_id), peer_namespace(run_id)
        # tracepoints know a NIC by its name only, whatever its namespace: no other run may have the same
        dut_ifname, peer_ifname = f"ob{run_id}d", f"ob{run_id}p"
        self.dut = LocalEnd("device under test", DUT_ADDRESS, dut_ifname, dut, self.placement.dut)
        self.peer = LocalEnd("load side", PEER_ADDRESS, peer_ifname, peer, self.placement.peer)
        self._load_side = LoadSide(self.placement.peer)
        self._wire: Role | None = None
        self._mark: WireCounted | None = None
        self.problems: list[str] = []
        self.settings: dict[str, Any] = {"push_back": self.push_back}
        try:
            self._build(emulated, changes)
        except BaseException:
            self.close()
            raise

    def _build(self, emulated: bool, changes: ChangeLog) -> None:
        for namespace in self.namespaces:
            make_namespace(namespace, self.cable.sysctls, changes)
        self.settings |= buffer_limits(*self.namespaces)
        if emulated:
            self._start_wire()
        else:
            dut, peer = self.namespaces
            link.create_veth(self.dut.ifname, dut, self.peer.ifname, peer)
        for end in (self.dut, self.peer):
            link.configure(end.ifname, end.address, PREFIX_LENGTH, end.namespace, TAP_QUEUE_FRAMES)
        # both kinds of link run a receiver's stack in the context of whoever writes the frame; steering moves it
        # to the CPUs of the end it belongs to, as a NIC's interrupt does
        steering.set_rps_cpus(self.dut.ifname, self.placement.dut, self.dut.namespace)
        steering.set_rps_cpus(self.peer.ifname, self.placement.peer, self.peer.namespace)
        if not emulated:
            self._unburden_sender()

    def _unburden_sender(self) -> None:
        """Let the load side of a veth pair merge and poll on its own CPUs, so that the sender is the limit."""
        try:
            features.write_wanted(self.peer.ifname, {"rx-gro": True}, self.peer.namespace)
            steering.poll_on(self.peer.ifname, self.placement.peer, self.peer.namespace)
            self._begin_polling()
            self.settings["peer_receive"] = f"GRO on, threaded NAPI, polled every {steering.POLL_INTERVAL_NS} ns"
        except OffloadbenchError as error:
            self.settings["peer_receive"] = "woken by the sender"
            self.problems.append(f"the load side's wake-ups are charged to the device under test: {error.message}")

    def _begin_polling(self) -> None:
        """Let the load side's thread look from the beginning.

        veth hands packets to it only while their sender has no TSO (veth_skb_is_eligible_for_gro, drivers/net/veth.c).
        The first case without TSO would set it going, and case tso would cost 0.18 CPU seconds per GB after that one
        and 0.23 before it (Linux 6.18, 36 trials each).
        """
        ifname, namespace = self.dut.ifname, self.dut.namespace
        had = [name for name, bit in features.read(ifname, namespace).items() if name in _ALL_TSO and bit.wanted]
        features.write_wanted(ifname, dict.fromkeys(had, False), namespace)
        try:
            with netns.entered(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as primer:
                # the request for the neighbour's address is a packet already
                primer.sendto(b"", (self.peer.address, _DISCARD_PORT))
        finally:
            features.write_wanted(ifname, dict.fromkeys(had, True), namespace)

    def _start_wire(self) -> None:
        wire_end = LocalEnd("wire", "", "", self.dut.namespace, self.placement.wire)
        self._wire = wire_end.launch("offloadbench.bed.wire", "the wire")
        dut, peer = self.namespaces
        order = OpenWire(((dut, self.dut.ifname), (peer, self.peer.ifname)), link_part(self.cable))
        problem = self._wire.request(order, WireReady).problem
        if problem:
            self.problems.append(problem)

    def settle(self) -> None:
        """Neither a TAP nor a veth pair resets its link when a feature changes."""

    def check(self) -> None:
        """Both ends are this machine."""

    def mark(self) -> None:
        self._load_side.mark()
        if self._wire:
            self._mark = self._wire.request(CountWire(), WireCounted)

    def report(self) -> WireReport | None:
        if not self._wire:
            return None
        first, last = self._mark, self._wire.request(CountWire(), WireCounted)
        assert first is not None
        interval_ns = last.t_ns - first.t_ns
        return WireReport(
            interval_s=interval_ns * 1e-9,
            asleep_ratio=(last.asleep_ns - first.asleep_ns) / interval_ns,
            behind_s=(last.behind_ns - first.behind_ns) * 1e-9,
            late_max_s=last.late_max_s,
            late_p99_s=last.late_p99_s,
            to_peer=_difference(first.to_peer, last.to_peer),
            to_dut=_difference(first.to_dut, last.to_dut),
        )

    def peer_report(self) -> PeerReport | None:
        return self._load_side.report()

    def close(self) -> None:
        if self._wire:
            self._wire.close()
            self._wire = None
        for namespace in self.namespaces:
            netns.remove(namespace)


def _difference(first: DirectionTotals, last: DirectionTotals) -> WireDirection:
    before = vars(first)
    return WireDirection(**{name: value - before[name] for name, value in vars(last).items()})


def require_tun() -> None:
    """Raise HostError unless TAP devices can be made here."""
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        raise HostError(
            f"/dev/net/tun: {error.strerror}: the lab link needs TAP devices",
            "modprobe tun, or use --nic lab-veth",
        ) from error
