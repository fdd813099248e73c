"""MTU and rings for the length of a run: set before its first trial, read back, put back after its last."""

from __future__ import annotations

from offloadbench.base.errors import FeatureError
from offloadbench.bed.local import LocalEnd
from offloadbench.bed.testbed import Bed
from offloadbench.changes.change import ChangeLog
from offloadbench.changes.mtu_value import MtuValue
from offloadbench.changes.ring_sizes import RingSizes
from offloadbench.engine.options import RunOptions

NAMES = ("mtu_bytes", "rx_ring", "tx_ring")


def apply(bed: Bed, options: RunOptions, changes: ChangeLog) -> None:
    """Set what the options ask for, and wait for the link, which a driver may have reset for it.

    Raises:
        FeatureError: a driver refuses a value.
        TrafficError: the link does not come back.
    """
    asked = {name: getattr(options, name) for name in NAMES if getattr(options, name)}
    if not asked:
        return
    if options.mtu_bytes:
        _check_load_side(bed, options.mtu_bytes)
        for end in (bed.dut, bed.peer):
            if isinstance(end, LocalEnd):
                changes.make(MtuValue.of(end.ifname, end.namespace, options.mtu_bytes))
    wanted = {"rx": options.rx_ring, "tx": options.tx_ring}
    wanted = {name: count for name, count in wanted.items() if count}
    if wanted:
        changes.make(RingSizes.of(bed.dut.ifname, bed.dut.namespace, wanted))
    bed.settle()
    bed.settings |= asked


def _check_load_side(bed: Bed, mtu_bytes: int) -> None:
    """The smaller MTU of the two decides the size of segments: that of another host must be set there."""
    if isinstance(bed.peer, LocalEnd):
        return
    there = bed.settings.get("load_nic", {}).get("mtu_bytes", 0)
    if there < mtu_bytes:
        raise FeatureError(
            f"MTU {mtu_bytes}: {bed.peer.ifname} of the load side {bed.peer_name} has {there or 'one not known here'}",
            f"set it there: ip link set {bed.peer.ifname} mtu {mtu_bytes}",
        )
