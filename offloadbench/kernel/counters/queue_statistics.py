"""Statistics under the kernel's own names, where the driver fills them (Documentation/netlink/specs/netdev.yaml).

Generic netlink family `netdev`, qstats-get, since Linux 6.9. A value that the driver does not fill is absent from the
answer, which is not the same as 0.
"""

from __future__ import annotations

import struct
from typing import Any

from pyroute2.netlink import NLM_F_DUMP, NLM_F_REQUEST, genlmsg
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.generic import GenericNetlinkSocket

from offloadbench.kernel.netdev import link
from offloadbench.kernel.system import netns

PREFIX = "qstats."
_FAMILY = "netdev"
_QSTATS_GET = 12
_IFINDEX, _FIRST_VALUE = 1, 8
# in the order of include/uapi/linux/netdev.h, from NETDEV_A_QSTATS_RX_PACKETS on
_IN_ORDER = (
    "rx-packets rx-bytes tx-packets tx-bytes rx-alloc-fail rx-hw-drops rx-hw-drop-overruns rx-csum-complete "
    "rx-csum-unnecessary rx-csum-none rx-csum-bad rx-hw-gro-packets rx-hw-gro-bytes rx-hw-gro-wire-packets "
    "rx-hw-gro-wire-bytes rx-hw-drop-ratelimits tx-hw-drops tx-hw-drop-errors tx-csum-none tx-needs-csum "
    "tx-hw-gso-packets tx-hw-gso-bytes tx-hw-gso-wire-packets tx-hw-gso-wire-bytes tx-hw-drop-ratelimits "
    "tx-stop tx-wake"
)
NAMES = _IN_ORDER.split()


class _QstatsMessage(genlmsg):  # type: ignore[misc]
    # values are of the variable-length type `uint`: four or eight bytes
    nla_map = (
        ("NETDEV_A_QSTATS_UNSPEC", "none"),
        ("NETDEV_A_QSTATS_IFINDEX", "uint32"),
        ("NETDEV_A_QSTATS_QUEUE_TYPE", "uint32"),
        ("NETDEV_A_QSTATS_QUEUE_ID", "uint32"),
        ("NETDEV_A_QSTATS_SCOPE", "cdata"),
        *((f"NETDEV_A_QSTATS_{number}", "none") for number in range(5, _FIRST_VALUE)),
        *((name, "cdata") for name in NAMES),
    )


def read(ifname: str, namespace: str | None = None) -> dict[str, int]:
    """`qstats.<name>` -> value of the whole device; empty where the kernel or the driver has none."""
    index = link.read(ifname, namespace).index
    message = _QstatsMessage()
    message["cmd"] = _QSTATS_GET
    message["version"] = 1
    message["attrs"] = [("NETDEV_A_QSTATS_IFINDEX", index)]
    with netns.entered(namespace), GenericNetlinkSocket() as socket:
        try:
            socket.bind(_FAMILY, _QstatsMessage)
            replies = list(socket.nlm_request(message, msg_type=socket.prid, msg_flags=NLM_F_REQUEST | NLM_F_DUMP))
        except NetlinkError:
            return {}
    return {name: value for reply in replies for name, value in values(reply["attrs"]).items()}


def values(attributes: list[tuple[str, Any]]) -> dict[str, int]:
    """The statistics among the attributes of an answer."""
    return {
        PREFIX + name: struct.unpack("=Q" if len(raw) == 8 else "=I", raw)[0]
        for name, raw in attributes
        if name in NAMES
    }
