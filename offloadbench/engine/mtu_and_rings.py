"""MTU and rings for the length of a run: set before its first trial, read back, put back after its last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from offloadbench.base.errors import FeatureError
from offloadbench.base.settings import AXES, axis_title
from offloadbench.bed import lab_bed
from offloadbench.bed.local import LocalEnd
from offloadbench.bed.testbed import Bed, Remember
from offloadbench.engine.options import RunOptions
from offloadbench.kernel.netdev import link, rings
from offloadbench.kernel.system import sysctl

NAMES = tuple(setting.field for setting in AXES if not setting.of_link)


def apply(bed: Bed, options: RunOptions, remember: Remember) -> None:
    """Set what the options ask for, and wait for the link, which a driver may have reset for it.

    Raises:
        FeatureError: a driver refuses a value.
        TrafficError: the link does not come back.
    """
    if not any(getattr(options, name) for name in NAMES):
        return
    if options.mtu_bytes:
        _check_load_side(bed, options.mtu_bytes)
        for end in (bed.dut, bed.peer):
            if isinstance(end, LocalEnd):
                before = link.read(end.ifname, end.namespace).mtu_bytes
                remember("mtu", ifname=end.ifname, namespace=end.namespace, mtu_bytes=before, asked=options.mtu_bytes)
                link.set_mtu(end.ifname, options.mtu_bytes, end.namespace)
    wanted = {"rx": options.rx_ring, "tx": options.tx_ring}
    wanted = {name: count for name, count in wanted.items() if count}
    if wanted:
        ifname, namespace = bed.dut.ifname, bed.dut.namespace
        found = rings.read(ifname, namespace)
        was = {"rx": found.rx, "tx": found.tx}
        remember("rings", ifname=ifname, namespace=namespace, rings=was, asked=wanted)
        rings.write(ifname, wanted, namespace)
    bed.settle()


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


def told(nic: str, asked: Sequence[Mapping[str, Any]]) -> list[str]:
    """What runs would set beside the cases, as lines: present value -> values.

    Args:
        asked: of each run, MTU, ring or sysctl -> value; none where it stays as found.
    """
    values: dict[str, list[str]] = {}
    for one in asked:
        for name, value in one.items():
            if value and str(value) not in values.setdefault(name, []):
                values[name].append(str(value))
    return [
        f"  {axis_title(name)}: {_present(nic, name)} -> {', '.join(found)}" for name, found in values.items() if found
    ]


def asked_of(options: RunOptions) -> dict[str, Any]:
    """What `told` takes of a run."""
    return {name: getattr(options, name) for name in NAMES} | options.sysctls


def _present(nic: str, name: str) -> str:
    if nic in lab_bed.NAMES:
        return "as built"
    if name not in NAMES:
        return sysctl.read(name) or "absent"
    if name == "mtu_bytes":
        return str(link.read(nic).mtu_bytes)
    return str(getattr(rings.read(nic), name.removesuffix("_ring")))
