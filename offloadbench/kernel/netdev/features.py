"""Offload features over the kernel's ethtool netlink family (Documentation/networking/ethtool-netlink.rst).

pyroute2 talks features by ioctl only; its generic netlink socket carries the family's own messages, declared
here. Four sets: hw (the driver lets it change), wanted (asked for), active (in force), nochange (never
changeable). An offload is restored by its wanted bit: active is masked by dependencies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyroute2.netlink import NLA_F_NESTED, NLM_F_ACK, NLM_F_REQUEST, genlmsg
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.generic import GenericNetlinkSocket
from pyroute2.netlink.generic.ethtool import ethtoolbitset, ethtoolheader

from offloadbench.base.errors import FeatureError
from offloadbench.kernel.system import netns

_FAMILY = "ethtool"
_FEATURES_GET = 11
_FEATURES_SET = 12


class _FeaturesMessage(genlmsg):  # type: ignore[misc]
    nla_map = (
        ("ETHTOOL_A_FEATURES_UNSPEC", "none"),
        ("ETHTOOL_A_FEATURES_HEADER", "ethtoolheader"),
        ("ETHTOOL_A_FEATURES_HW", "ethtoolbitset"),
        ("ETHTOOL_A_FEATURES_WANTED", "ethtoolbitset"),
        ("ETHTOOL_A_FEATURES_ACTIVE", "ethtoolbitset"),
        ("ETHTOOL_A_FEATURES_NOCHANGE", "ethtoolbitset"),
    )

    class ethtoolheader(ethtoolheader):  # type: ignore[misc]
        pass

    class ethtoolbitset(ethtoolbitset):  # type: ignore[misc]
        nla_flags = NLA_F_NESTED


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature bit of one NIC."""

    active: bool
    wanted: bool
    fixed: bool


@dataclass(frozen=True, slots=True)
class FeatureChange:
    """What a request did, per feature: (before, after) of the active bit, and what did not follow the request."""

    requested: dict[str, bool]
    before: dict[str, Feature]
    after: dict[str, Feature]

    @property
    def dragged(self) -> set[str]:
        """Bits that the kernel moved though nobody asked: dependencies."""
        return {
            name
            for name, feature in self.after.items()
            if name not in self.requested and feature.active != self.before[name].active
        }

    @property
    def refused(self) -> set[str]:
        """Bits asked for and changeable that are not so afterwards."""
        return {
            name
            for name, wanted in self.requested.items()
            if not self.before[name].fixed and self.after[name].active != wanted
        }


def _bits(message: Any, attribute: str) -> dict[str, bool]:
    """The bit list of a set: name -> value (with a mask), or name -> True (the list names the set bits)."""
    bitset = message.get_attr(attribute)
    if bitset is None:
        return {}
    nomask = bitset.get_attr("ETHTOOL_A_BITSET_NOMASK") is not None
    container = bitset.get_attr("ETHTOOL_A_BITSET_BITS")
    bits = container.get_attrs("ETHTOOL_A_BITSET_BITS_BIT") if container else []
    return {
        bit.get_attr("ETHTOOL_A_BITSET_BIT_NAME"): nomask or bit.get_attr("ETHTOOL_A_BITSET_BIT_VALUE") is not None
        for bit in bits
        # bits that this kernel reserves without a name
        if bit.get_attr("ETHTOOL_A_BITSET_BIT_NAME")
    }


def _exchange(namespace: str | None, command: int, attributes: list[tuple[str, Any]]) -> Any:
    message = _FeaturesMessage()
    message["cmd"] = command
    message["version"] = 1
    message["attrs"] = attributes
    with netns.entered(namespace), GenericNetlinkSocket() as socket:
        socket.bind(_FAMILY, _FeaturesMessage)
        replies = socket.nlm_request(message, msg_type=socket.prid, msg_flags=NLM_F_REQUEST | NLM_F_ACK)
        return next((reply for reply in replies if reply.get("attrs")), None)


def _header(ifname: str) -> tuple[str, Any]:
    return ("ETHTOOL_A_FEATURES_HEADER", {"attrs": [("ETHTOOL_A_HEADER_DEV_NAME", ifname)]})


def read(ifname: str, namespace: str | None = None) -> dict[str, Feature]:
    """Every feature that this kernel knows, as this NIC holds it.

    Raises:
        FeatureError: no such NIC, or the kernel has no ethtool netlink (before 5.6).
    """
    try:
        reply = _exchange(namespace, _FEATURES_GET, [_header(ifname)])
    except NetlinkError as error:
        raise FeatureError(f"{ifname}: cannot read its features: {error.args[-1]}", "see `ip link`") from error
    hw = _bits(reply, "ETHTOOL_A_FEATURES_HW")
    wanted = _bits(reply, "ETHTOOL_A_FEATURES_WANTED")
    active = _bits(reply, "ETHTOOL_A_FEATURES_ACTIVE")
    never = _bits(reply, "ETHTOOL_A_FEATURES_NOCHANGE")
    return {
        name: Feature(active=name in active, wanted=name in wanted, fixed=not changeable or name in never)
        for name, changeable in sorted(hw.items())
    }


def write_wanted(ifname: str, wanted: dict[str, bool], namespace: str | None = None) -> None:
    """Ask for these bits in one request, so that the kernel resolves their dependencies together."""
    bits = [
        (
            "ETHTOOL_A_BITSET_BITS_BIT",
            {
                "attrs": [
                    ("ETHTOOL_A_BITSET_BIT_NAME", name),
                    *([("ETHTOOL_A_BITSET_BIT_VALUE", True)] if value else []),
                ]
            },
        )
        for name, value in wanted.items()
    ]
    bitset = {"attrs": [("ETHTOOL_A_BITSET_BITS", {"attrs": bits})]}
    try:
        _exchange(namespace, _FEATURES_SET, [_header(ifname), ("ETHTOOL_A_FEATURES_WANTED", bitset)])
    except NetlinkError as error:
        names = ", ".join(wanted)
        raise FeatureError(
            f"{ifname}: cannot set {names}: {error.args[-1]}", "CAP_NET_ADMIN is needed; see `ethtool -k`"
        ) from error
