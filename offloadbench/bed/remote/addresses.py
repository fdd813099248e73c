"""Which addresses the two hosts use on the test link."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from offloadbench.base.errors import HostError
from offloadbench.bed.remote.sealed_connection import AgentConnection
from offloadbench.kernel.netdev import link, route
from offloadbench.roles.messages import AddressesThere, AskAddresses, AskSource, SourceThere


@dataclass(frozen=True, slots=True)
class TestLink:
    """The NIC of the load host and both addresses."""

    ifname: str
    address: str
    dut_address: str


def own_networks(nic: str) -> list[ipaddress.IPv4Interface]:
    """The IPv4 addresses of the NIC under test, with their networks.

    Raises:
        HostError: it has none.
    """
    own = [
        ipaddress.IPv4Interface(f"{address}/{length}")
        for address, length in link.addresses(nic).items()
        if ":" not in address
    ]
    if not own:
        raise HostError(
            f"{nic} has no IPv4 address, so no load host can be reached by it",
            f"give both ends one: ip address add 192.0.2.1/24 dev {nic}, and 192.0.2.2/24 at the load host",
        )
    return own


def choose(
    own: list[ipaddress.IPv4Interface], theirs: list[tuple[str, str]], nic: str, address: str, where: str
) -> TestLink:
    """The load host's address in a network of the NIC under test.

    Args:
        theirs: (NIC, IPv4 address) of the load host.
        nic, address: what the user named; empty where it is to be found.

    Raises:
        HostError: there is none, or more than one.
    """
    listed = ", ".join(f"{name} {one}" for name, one in theirs if not one.startswith("127.")) or "none"
    asked = [(name, one) for name, one in theirs if nic in ("", name) and address in ("", one)]
    if not asked:
        raise HostError(
            f"{where} has no address {address or f'on a NIC {nic}'}: it has {listed}", "see `ip address` there"
        )
    shared = [
        TestLink(name, one, str(ours.ip))
        for name, one in asked
        for ours in own
        if ipaddress.IPv4Address(one) in ours.network and one != str(ours.ip)
    ]
    if not shared:
        networks = ", ".join(str(ours.network) for ours in own)
        raise HostError(
            f"{where} has no address in {networks}, the network of the NIC under test: it has {listed}",
            "give its NIC on the test link an address there",
        )
    if len({one.address for one in shared}) > 1:
        found = ", ".join(f"{one.ifname} {one.address}" for one in shared)
        raise HostError(f"{where} has several addresses in that network: {found}", "name one: ?address=...")
    return shared[0]


def find(nic: str, connection: AgentConnection, their_nic: str, address: str) -> TestLink:
    """The test link between a NIC of this machine and a load host.

    Raises:
        HostError: the two share no network, or traffic would not go by this link.
    """
    theirs = list(connection.ask(AskAddresses(), AddressesThere).pairs)
    found = choose(own_networks(nic), theirs, their_nic, address, connection.where)
    leaves_by = route.leaves_by(found.address)
    if leaves_by != nic:
        raise HostError(
            f"packets to {found.address} leave this machine by {leaves_by or 'no NIC'}, not by {nic}",
            f"ip route get {found.address} shows why; ip route add {found.address} dev {nic} mends it",
        )
    source = connection.ask(AskSource(found.dut_address), SourceThere).address
    if source != found.address:
        raise HostError(
            f"{connection.where} sends to {found.dut_address} from {source}, not from {found.address}",
            f"there: ip route add {found.dut_address} dev {found.ifname} src {found.address}",
        )
    return found
