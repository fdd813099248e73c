"""Which bed a NIC and a load side make, and whether they can."""

from __future__ import annotations

from collections.abc import Callable

from offloadbench.base import setting
from offloadbench.base.errors import HostError, TrafficError, UsageError
from offloadbench.bed import lab_bed, outside, pair
from offloadbench.bed.fleet import fleet_bed as fleet
from offloadbench.bed.netem import Netem
from offloadbench.bed.remote import addresses, ssh, wait
from offloadbench.bed.remote.host_sysctls import HostSysctls
from offloadbench.bed.remote.remote_bed import LoadHost, RemoteBed
from offloadbench.bed.testbed import Bed, Cable, Wire
from offloadbench.changes.change import ChangeLog
from offloadbench.kernel.netdev import link, qdisc
from offloadbench.kernel.system import processes
from offloadbench.kernel.tcp import sock_diag

_HINT = (
    "name a load side: --peer ssh://user@host (another host), --peer wait (one without ssh), --peer nic:eth2 "
    "(a second port, cabled to it), --fleet tcp://host:8786 (Dask workers); or use --nic lab"
)


def kind_of(nic: str, peer: str) -> setting.BedKind:
    """Which kind of testbed a NIC and its load side make; a real NIC without one has a workload's own target."""
    if nic in lab_bed.NAMES:
        return setting.LAB if nic == lab_bed.LAB else setting.LAB_VETH
    if peer.startswith(fleet.PREFIX):
        return setting.FLEET
    if _is_remote(peer):
        return setting.HOST
    return setting.PAIR if peer.startswith(pair.PREFIX) else setting.OUTSIDE


def check(nic: str, peer: str, wire: Wire, *, force: bool) -> None:
    """Raise unless this machine can be the bed.

    Raises:
        UsageError: the load side does not fit the NIC, or a NIC is in use.
        HostError: a NIC or a device is missing.
    """
    if nic in lab_bed.NAMES:
        if peer:
            raise UsageError(f"--peer {peer}: {nic} is its own load side", "leave --peer out, or name a real --nic")
        if nic == lab_bed.LAB and wire != "netem":
            lab_bed.require_tun()
        return
    link.read(nic)
    _check_unused(nic, force=force)
    if not peer:
        raise HostError(f"{nic}: no load side is named, so nothing could receive what it sends", _HINT)
    if peer.startswith(outside.PREFIX):
        outside.check_way(nic, outside.parse(peer)[0])
        return
    if peer.startswith(fleet.PREFIX):
        fleet.require()
        addresses.own_networks(nic)
        return
    if _is_remote(peer):
        if peer.startswith(ssh.PREFIX):
            ssh.parse(peer)
            ssh.require()
        else:
            wait.parse_port(peer)
        addresses.own_networks(nic)
        return
    if not peer.startswith(pair.PREFIX):
        hint = f"did you mean {ssh.PREFIX}{peer}?" if "@" in peer and "://" not in peer else _HINT
        raise UsageError(f"--peer {peer}: unknown kind of load side", hint)
    second = peer.removeprefix(pair.PREFIX)
    if second == nic:
        raise UsageError(f"--peer {peer} is the NIC under test", "name the port that it is cabled to")
    link.read(second)
    # it would leave its network for the length of the run, whatever is forced
    _check_unused(second, force=False)


def _is_remote(peer: str) -> bool:
    return peer.startswith(ssh.PREFIX) or peer.partition(":")[0] == wait.PREFIX


def _check_unused(nic: str, *, force: bool) -> None:
    """Refuse a NIC whose loss would cut somebody off."""
    why = "" if force else in_use(nic)
    if why:
        raise UsageError(
            f"{nic} {why}: toggling it may cut this machine off",
            "use a NIC of its own for the test link, or --force, which arms a dead-man timer",
        )


def in_use(nic: str) -> str:
    """What a NIC of this namespace is needed for, as the end of a sentence; empty where it is not."""
    if nic in lab_bed.NAMES:
        return ""
    below = link.below(nic).leaves
    carrying = link.default_route_nics().intersection([nic, *below])
    if carrying:
        return (
            "carries the default route"
            if nic in carrying
            else f"sends through {carrying.pop()}, which carries the default route"
        )
    own = {address for name in [nic, *below] for address in link.addresses(name)}
    for connection in sock_diag.connections():
        if connection.local[0] in own and any(
            processes.name(pid).startswith("sshd") for pid in processes.holding_socket(connection.inode)
        ):
            return f"carries an ssh session ({connection.name})"
    return ""


def build(
    nic: str,
    peer: str,
    cable: Cable,
    run_id: str,
    changes: ChangeLog,
    *,
    tell: Callable[[str], None],
    on_lost_worker: str = fleet.FAIL,
) -> Bed:
    """The bed, standing; `check` has found nothing against it.

    Args:
        tell: shows a line that a person must start on the load host, and what a person must look after.
        on_lost_worker: of a fleet: `fail` or `shrink` the trial.
    """
    if nic == lab_bed.LAB and cable.wire != "tap":
        return _emulated(cable, run_id, changes)
    if nic in lab_bed.NAMES:
        return lab_bed.Lab(nic, cable, run_id, changes)
    if peer.startswith(fleet.PREFIX):
        return fleet.FleetBed(nic, peer.removeprefix(fleet.PREFIX), on_lost_worker)
    if peer.startswith(outside.PREFIX):
        return outside.OutsideBed(nic, peer, cable, changes)
    if _is_remote(peer):
        return _remote(nic, peer, tell, HostSysctls(peer, cable.sysctls, changes, tell))
    return pair.PairBed(nic, peer.removeprefix(pair.PREFIX), cable, run_id, changes)


def _remote(nic: str, peer: str, tell: Callable[[str], None], sysctls: HostSysctls) -> RemoteBed:
    host: LoadHost
    if peer.startswith(ssh.PREFIX):
        host = ssh.parse(peer)
    else:
        host = wait.WaitingHost(str(addresses.own_networks(nic)[0].ip), wait.parse_port(peer), tell)
    try:
        return RemoteBed(nic, peer, host, host.connect(), sysctls)
    except TrafficError as error:
        # before the first trial, a host that cannot be reached is the host's fault
        raise HostError(error.message, error.hint) from error
    except BaseException:
        host.close()
        raise


def _emulated(cable: Cable, run_id: str, changes: ChangeLog) -> Bed:
    """The lab by netem, or by TAPs where the kernel has none and the user left it open."""
    try:
        return Netem(lab_bed.LAB, cable, run_id, changes)
    except qdisc.MissingError as error:
        if cable.wire == "netem":
            raise
        bed = lab_bed.Lab(lab_bed.LAB, cable, run_id, changes)
        bed.problems.append(f"{error.message}: the cable is a process between two TAPs (--wire tap)")
        return bed
