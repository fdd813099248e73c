"""How the settings of a NIC outlive a reboot: `ethtool -K` alone is forgotten when the NIC comes up anew.

Three ways, one for each of what usually configures a NIC: systemd-udevd (systemd.link(5)), NetworkManager
(nm-settings-nmcli(5), section ethtool) and ifupdown (interfaces(5)).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MAC_PLACEHOLDER = "<MAC address>"
# the short names of ethtool -K; tso covers IPv4 and IPv6 there, and has a key for each here
_LINK_KEYS = {
    "tx": ("TransmitChecksumOffload",),
    "rx": ("ReceiveChecksumOffload",),
    "tso": ("TCPSegmentationOffload", "TCP6SegmentationOffload"),
    "gso": ("GenericSegmentationOffload",),
    "gro": ("GenericReceiveOffload",),
    "lro": ("LargeReceiveOffload",),
}
_WITHOUT_KEY = ("sg",)
SWITCHES = (*_LINK_KEYS, *_WITHOUT_KEY)
# of all .link files only the first that matches counts: the file takes the place of the distribution's default
_DEFAULT_LINK = (
    "NamePolicy=keep kernel database onboard slot path",
    "AlternativeNamesPolicy=database onboard slot path mac",
    "MACAddressPolicy=persistent",
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to make switches last.

    Attributes:
        title: what configures the NIC, and where the text goes.
        text: lines of a file, or commands for a root shell.
        note: a sentence or two on how to put it to use.
    """

    title: str
    text: str
    note: str


def recipes(ifname: str, switches: Mapping[str, bool], gso_max_segs: int = 0) -> list[Recipe]:
    """systemd, NetworkManager and ifupdown, for these settings and no others.

    Args:
        ifname: the NIC's name as a shell reads it.
        switches: of `SWITCHES`, in the order in which ethtool is told; True is on.
        gso_max_segs: 0 to leave it as it is.

    Raises:
        ValueError: a switch is not of `SWITCHES`.
    """
    unknown = [name for name in switches if name not in SWITCHES]
    if unknown:
        raise ValueError(f"no switch of a finding: {unknown[0]}")
    found = [_network_manager(ifname, switches, gso_max_segs), _ifupdown(ifname, switches, gso_max_segs)]
    keys = {key: on for name, on in switches.items() for key in _LINK_KEYS.get(name, ())}
    return [_systemd(ifname, keys, switches, gso_max_segs), *found] if keys or gso_max_segs else found


def commands(ifname: str, switches: Mapping[str, bool], gso_max_segs: int = 0) -> list[str]:
    """The lines for a root shell; see `recipes`."""
    lines = [f"ethtool -K {ifname} {_settings(switches)}"] if switches else []
    return lines + ([f"ip link set dev {ifname} gso_max_segs {gso_max_segs}"] if gso_max_segs else [])


def _settings(switches: Mapping[str, bool]) -> str:
    return " ".join(f"{name} {'on' if on else 'off'}" for name, on in switches.items())


def _systemd(ifname: str, keys: Mapping[str, bool], switches: Mapping[str, bool], gso_max_segs: int) -> Recipe:
    lines = ["[Match]", f"PermanentMACAddress={MAC_PLACEHOLDER}", "", "[Link]"]
    settings = [f"{key}={'yes' if on else 'no'}" for key, on in keys.items()]
    settings += [f"GenericSegmentOffloadMaxSegments={gso_max_segs}"] if gso_max_segs else []
    lacking = [name for name in switches if name in _WITHOUT_KEY]
    without = f" It has no key for {', '.join(lacking)}." if lacking else ""
    if switches.get("tso") is False:
        # seen with systemd 252 on Linux 6.18: accecn stays on
        without += (
            " It has none for TSO's ECN variants either: `ethtool -k` may go on saying `tcp-segmentation-offload: on` "
            "for them; `tx-tcp-segmentation` tells."
        )
    return Recipe(
        title="systemd: /etc/systemd/network/10-offload.link",
        text="\n".join([*lines, *_DEFAULT_LINK, *settings]),
        note=f"`ethtool -P {ifname}` prints the address. The policies are those of 99-default.link, whose place the "
        f"file takes for this NIC; compare them with your distribution's. It acts at the next boot.{without}",
    )


def _network_manager(ifname: str, switches: Mapping[str, bool], gso_max_segs: int) -> Recipe:
    settings = [f"ethtool.feature-{name} {'on' if on else 'off'}" for name, on in switches.items()]
    settings += [f"link.gso-max-segments {gso_max_segs}"] if gso_max_segs else []
    since = " `link.gso-max-segments` needs NetworkManager 1.44." if gso_max_segs else ""
    return Recipe(
        title="NetworkManager: in a root shell",
        text=f'connection="$(nmcli -g GENERAL.CONNECTION device show {ifname})"\n'
        f'nmcli connection modify "$connection" {" ".join(settings)}\n'
        'nmcli connection up "$connection"',
        note=f"The connection keeps the settings; bringing it up anew can interrupt traffic for a moment.{since}",
    )


def _ifupdown(ifname: str, switches: Mapping[str, bool], gso_max_segs: int) -> Recipe:
    return Recipe(
        title="ifupdown: /etc/network/interfaces, in the NIC's iface stanza",
        text="\n".join(f"    post-up {line}" for line in commands(ifname, switches, gso_max_segs)),
        note="It acts whenever `ifup` brings the NIC up.",
    )
