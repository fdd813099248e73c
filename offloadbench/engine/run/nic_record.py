"""The NIC under test as it was found, with the devices below it."""

from __future__ import annotations

from offloadbench.bed.testbed import Bed
from offloadbench.kernel.netdev import features, link, nic
from offloadbench.model import Nic


def describe_nic(bed: Bed) -> Nic:
    """The NIC under test of a bed."""
    return record(bed.nic_name, bed.dut.ifname, bed.dut.namespace, bed.cable.line_rate_bits_per_s)


def record(name: str, ifname: str, namespace: str | None, line_rate_bits_per_s: int) -> Nic:
    """A NIC under the name that the user has for it.

    Args:
        line_rate_bits_per_s: of an emulated cable; 0: the NIC's own speed.
    """
    found = features.read(ifname, namespace)
    about = nic.describe(ifname, namespace)
    state = link.read(ifname, namespace)
    below = link.below(ifname, namespace)
    return Nic(
        name=name,
        ifname=ifname,
        driver=about.driver,
        driver_version=about.driver_version,
        firmware=about.firmware,
        bus=about.bus,
        mtu_bytes=state.mtu_bytes,
        speed_bits_per_s=line_rate_bits_per_s or about.speed_bits_per_s,
        gso_max_segs=state.gso.max_segs,
        gso_max_size_bytes=state.gso.max_size_bytes,
        tso_max_segs=state.gso.tso_max_segs,
        qdisc=state.qdisc,
        features={name: [bit.active, bit.wanted, bit.fixed] for name, bit in found.items()},
        settings=about.settings,
        problems=[
            *about.problems,
            *nic.disagreements(ifname, found, namespace),
            *([below.problem] if below.problem else []),
        ],
        duplex=about.duplex,
        queues=about.queues,
        lowers=nic.describe_below(below, namespace),
        module=about.module,
    )


def read(ifname: str) -> Nic:
    """A NIC of this machine, without a bed."""
    return record(ifname, ifname, None, 0)
