"""The lab link with the kernel's own emulator: two namespaces, and a hop between them whose ways out are the cable.

The hop is a namespace of its own with a bridge between two veth pairs, so that no queueing discipline stands on the NIC
under test, which keeps its super-packets; they are cut at the hop (see kernel/netdev/qdisc.py). GRO is off there: it
would merge what the cable took apart.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from offloadbench.base.settings import NETEM_KIND
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
from offloadbench.bed.testbed import Cable, Remember
from offloadbench.bed.wire_frames import FRAME_OVERHEAD_BYTES
from offloadbench.kernel.counters import network_counters
from offloadbench.kernel.netdev import features, link, qdisc, steering
from offloadbench.kernel.system import netns
from offloadbench.model import PeerReport, WireDirection, WireReport

KIND = NETEM_KIND
# of a veth (ETH_MAX_MTU)
_MOST_MTU_BYTES = 65535


class Netem:
    """The lab as a `Bed`, by netem.

    Raises:
        MissingError: this kernel has no netem.
    """

    kind = KIND
    peer_name = ""
    # the hop takes packets as fast as the device under test sends them, and netem frees their socket at once
    push_back = False

    def __init__(self, nic_name: str, cable: Cable, run_id: str, remember: Remember) -> None:
        self.nic_name = nic_name
        self.placement = cpus.place()
        # netem draws its losses by itself
        self.cable = msgspec.structs.replace(cable, loss_seed=0)
        self.namespaces = dut, peer, hop = dut_namespace(run_id), peer_namespace(run_id), f"offloadbench-{run_id}-hop"
        self.dut = LocalEnd("device under test", DUT_ADDRESS, f"ob{run_id}d", dut, self.placement.dut)
        self.peer = LocalEnd("load side", PEER_ADDRESS, f"ob{run_id}p", peer, self.placement.peer)
        self._hop = hop
        self._load_side = LoadSide(self.placement.peer)
        self._counts: tuple[float, dict[str, dict[str, int]]] | None = None
        self.problems: list[str] = []
        self.settings: dict[str, Any] = {"push_back": self.push_back}
        try:
            self._build(remember)
        except BaseException:
            self.close()
            raise

    def _build(self, remember: Remember) -> None:
        dut, peer, hop = self.namespaces
        for namespace, sysctls in ((dut, self.cable.sysctls), (peer, self.cable.sysctls), (hop, {})):
            make_namespace(namespace, sysctls, remember)
        self.settings |= buffer_limits(dut, peer)
        for end in (self.dut, self.peer):
            assert end.namespace is not None
            link.create_veth(end.ifname, end.namespace, _port(end), hop)
            features.write_wanted(_port(end), {"rx-gro": False}, hop)
            # a veth drops what is larger than the MTU of the one that receives it: the hop takes whatever the ends send
            link.set_mtu(_port(end), _MOST_MTU_BYTES, hop)
            qdisc.emulate(_port(end), self.cable, FRAME_OVERHEAD_BYTES, hop)
        link.create_bridge("cable", [_port(self.dut), _port(self.peer)], hop)
        for end in (self.dut, self.peer):
            link.configure(end.ifname, end.address, PREFIX_LENGTH, end.namespace)
            # what an end sends is carried by the cable's CPUs, what it receives is work of its own
            steering.set_rps_cpus(_port(end), self.placement.wire, hop)
            steering.set_rps_cpus(end.ifname, end.server_cpus, end.namespace)

    def settle(self) -> None:
        """A veth pair does not reset its link when a feature changes."""

    def check(self) -> None:
        """Both ends are this machine."""

    def mark(self) -> None:
        self._load_side.mark()
        self._counts = self._read()

    def report(self) -> WireReport | None:
        if self._counts is None:
            return None
        (since_s, first), (now_s, last) = self._counts, self._read()
        to_peer, to_dut = (
            WireDirection(**{name: value - first[way][name] for name, value in last[way].items()})
            for way in ("to_peer", "to_dut")
        )
        return WireReport(
            interval_s=now_s - since_s,
            asleep_ratio=None,
            behind_s=None,
            late_max_s=None,
            late_p99_s=None,
            to_peer=to_peer,
            to_dut=to_dut,
        )

    def peer_report(self) -> PeerReport | None:
        return self._load_side.report()

    def _read(self) -> tuple[float, dict[str, dict[str, int]]]:
        """When, and the totals of both directions."""
        to_peer, to_dut = qdisc.read([_port(self.peer), _port(self.dut)], self._hop)
        now_s = time.monotonic()
        return now_s, {
            "to_peer": self._totals(self.dut, self.peer, to_peer),
            "to_dut": self._totals(self.peer, self.dut, to_dut),
        }

    def _totals(self, source: LocalEnd, target: LocalEnd, line: qdisc.Totals) -> dict[str, int]:
        sent = network_counters.nic(source.ifname, source.namespace)
        # a veth counts as dropped what the other end's CPU had no room for
        dropped = sent["tx_dropped"] + network_counters.nic(_port(target), self._hop)["tx_dropped"]
        return {
            "frames": int(sent["tx_packets"]),
            "segments": line.packets + line.lost_packets,
            "l2_bytes": line.l2_bytes,
            "dropped": int(dropped),
            "lost_segments": line.lost_packets,
            "overflow_segments": line.overflow_packets,
        }

    def close(self) -> None:
        """Remove the namespaces, and with them links and counters. Safe to call twice."""
        for namespace in self.namespaces:
            netns.remove(namespace)


def _port(end: LocalEnd) -> str:
    """The hop's side of an end's veth pair."""
    return f"{end.ifname}h"
