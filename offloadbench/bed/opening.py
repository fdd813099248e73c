"""Which bed a NIC and a load side make, and whether they can."""

from __future__ import annotations

from offloadbench.bed import lab, pair
from offloadbench.bed.base import Bed, Cable, Remember, Wire
from offloadbench.bed.netem import Netem
from offloadbench.errors import HostError, UsageError
from offloadbench.kernel import link, processes, qdisc, tcpdiag

_HINT = "name a load side: --peer nic:eth2 (a second port, cabled to it); or use --nic lab"


def check(nic: str, peer: str, wire: Wire, *, force: bool) -> None:
    """Raise unless this machine can be the bed.

    Raises:
        UsageError: the load side does not fit the NIC, or a NIC is in use.
        HostError: a NIC or a device is missing.
    """
    if nic in lab.NAMES:
        if peer:
            raise UsageError(f"--peer {peer}: {nic} is its own load side", "leave --peer out, or name a real --nic")
        if nic == lab.LAB and wire != "netem":
            lab.require_tun()
        return
    link.read(nic)
    _check_unused(nic, force=force)
    if not peer:
        raise HostError(f"{nic}: no load side is named, so nothing could receive what it sends", _HINT)
    if not peer.startswith(pair.PREFIX):
        raise UsageError(f"--peer {peer}: unknown kind of load side", _HINT)
    second = peer.removeprefix(pair.PREFIX)
    if second == nic:
        raise UsageError(f"--peer {peer} is the NIC under test", "name the port that it is cabled to")
    link.read(second)
    # it would leave its network for the length of the run, whatever is forced
    _check_unused(second, force=False)


def _check_unused(nic: str, *, force: bool) -> None:
    """Refuse a NIC whose loss would cut somebody off."""
    if force:
        return
    if nic in link.default_route_nics():
        raise UsageError(
            f"{nic} carries the default route: toggling it may cut this machine off",
            "use a NIC of its own for the test link, or --force",
        )
    own = link.addresses(nic)
    for connection in tcpdiag.connections():
        if connection.local[0] in own and any(
            processes.name(pid).startswith("sshd") for pid in processes.holding_socket(connection.inode)
        ):
            raise UsageError(f"{nic} carries an ssh session: {connection.name}", "log in by another NIC, or --force")


def build(nic: str, peer: str, cable: Cable, run_id: str, remember: Remember) -> Bed:
    """The bed, standing; `check` has found nothing against it."""
    if nic == lab.LAB and cable.wire != "tap":
        return _emulated(cable, run_id, remember)
    if nic in lab.NAMES:
        return lab.Lab(nic, cable, run_id, remember)
    return pair.Pair(nic, peer.removeprefix(pair.PREFIX), cable, run_id, remember)


def _emulated(cable: Cable, run_id: str, remember: Remember) -> Bed:
    """The lab by netem, or by TAPs where the kernel has none and the user left it open."""
    try:
        return Netem(lab.LAB, cable, run_id, remember)
    except qdisc.MissingError as error:
        if cable.wire == "netem":
            raise
        bed = lab.Lab(lab.LAB, cable, run_id, remember)
        bed.problems.append(f"{error.message}: the cable is a process between two TAPs (--wire tap)")
        return bed
