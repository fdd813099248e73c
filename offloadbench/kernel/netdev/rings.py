"""Descriptors in the rings of a NIC (`ethtool -g`, `-G`), by pyroute2: netlink, or ioctl before Linux 5.6."""

from __future__ import annotations

from dataclasses import dataclass

from pyroute2 import Ethtool
from pyroute2.ethtool.ioctl import EthtoolError, NotSupportedError
from pyroute2.netlink.exceptions import NetlinkError

from offloadbench.base.errors import FeatureError
from offloadbench.kernel.system import netns

_REFUSALS = (NetlinkError, EthtoolError, OSError)


@dataclass(frozen=True, slots=True)
class Rings:
    """Descriptors of the receive and the transmit ring, and the most that the driver allows."""

    rx: int
    tx: int
    rx_most: int
    tx_most: int


def read(ifname: str, namespace: str | None = None) -> Rings:
    """The rings of a NIC.

    Raises:
        FeatureError: its driver has none that can be told, or there is no such NIC.
    """
    try:
        with netns.entered(namespace), Ethtool() as ethtool:
            found = ethtool.get_rings(ifname)
    except _REFUSALS as error:
        raise FeatureError(
            f"{ifname}: its driver tells no rings: {_why(error)}", f"see `ethtool -g {ifname}`"
        ) from error
    return Rings(found.rx or 0, found.tx or 0, found.rx_max or 0, found.tx_max or 0)


def write(ifname: str, wanted: dict[str, int], namespace: str | None = None) -> None:
    """Set the rings named by `rx` and `tx`, and read them back. A driver may reset its link for it.

    Raises:
        FeatureError: the driver refuses, or takes another number.
    """
    before = read(ifname, namespace)
    text = ", ".join(f"{name} {count}" for name, count in wanted.items())
    most = f"the driver allows up to rx {before.rx_most}, tx {before.tx_most} (`ethtool -g {ifname}`)"
    try:
        with netns.entered(namespace), Ethtool() as ethtool:
            ethtool.set_rings(ifname, **wanted)
    except _REFUSALS as error:
        raise FeatureError(f"{ifname}: rings {text} refused: {_why(error)}", most) from error
    after = read(ifname, namespace)
    taken = {"rx": after.rx, "tx": after.tx}
    if any(taken[name] != count for name, count in wanted.items()):
        raise FeatureError(f"{ifname}: rings are rx {after.rx}, tx {after.tx} after asking for {text}", most)


def _why(error: Exception) -> str:
    if isinstance(error, NotSupportedError):
        return "not supported"
    return getattr(error, "strerror", None) or str(error.args[-1])
