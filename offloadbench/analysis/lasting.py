"""How switches of a NIC outlive a reboot: `ethtool -K` alone is forgotten when the NIC comes up anew.

Three ways, one for each of what usually configures a NIC: systemd-udevd (systemd.link(5)), NetworkManager
(nm-settings-nmcli(5), section ethtool) and ifupdown (interfaces(5)).
"""

from __future__ import annotations

from collections.abc import Sequence
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


def recipes(ifname: str, switches: Sequence[str], state: str) -> list[Recipe]:
    """systemd, NetworkManager and ifupdown, for these switches and no others.

    Args:
        ifname: the NIC's name as a shell reads it.
        switches: of `SWITCHES`, in the order in which ethtool is told.
        state: `on` or `off`.

    Raises:
        ValueError: a switch is not of `SWITCHES`.
    """
    unknown = [name for name in switches if name not in SWITCHES]
    if unknown:
        raise ValueError(f"no switch of a finding: {unknown[0]}")
    found = [_network_manager(ifname, switches, state), _ifupdown(ifname, switches, state)]
    keys = [key for name in switches for key in _LINK_KEYS.get(name, ())]
    return [_systemd(ifname, keys, switches, state), *found] if keys else found


def _systemd(ifname: str, keys: Sequence[str], switches: Sequence[str], state: str) -> Recipe:
    value = "yes" if state == "on" else "no"
    lines = ["[Match]", f"PermanentMACAddress={MAC_PLACEHOLDER}", "", "[Link]"]
    lacking = [name for name in switches if name in _WITHOUT_KEY]
    without = f" It has no key for {', '.join(lacking)}." if lacking else ""
    if "tso" in switches and state == "off":
        # seen with systemd 252 on Linux 6.18: accecn stays on
        without += (
            " It has none for TSO's ECN variants either: `ethtool -k` may go on saying `tcp-segmentation-offload: on` "
            "for them; `tx-tcp-segmentation` tells."
        )
    return Recipe(
        title="systemd: /etc/systemd/network/10-offload.link",
        text="\n".join([*lines, *_DEFAULT_LINK, *(f"{key}={value}" for key in keys)]),
        note=f"`ethtool -P {ifname}` prints the address. The policies are those of 99-default.link, whose place the "
        f"file takes for this NIC; compare them with your distribution's. It acts at the next boot.{without}",
    )


def _network_manager(ifname: str, switches: Sequence[str], state: str) -> Recipe:
    settings = " ".join(f"ethtool.feature-{name} {state}" for name in switches)
    return Recipe(
        title="NetworkManager: in a root shell",
        text=f'connection="$(nmcli -g GENERAL.CONNECTION device show {ifname})"\n'
        f'nmcli connection modify "$connection" {settings}\n'
        'nmcli connection up "$connection"',
        note="The connection keeps the settings; bringing it up anew can interrupt traffic for a moment.",
    )


def _ifupdown(ifname: str, switches: Sequence[str], state: str) -> Recipe:
    settings = " ".join(f"{name} {state}" for name in switches)
    return Recipe(
        title="ifupdown: /etc/network/interfaces, in the NIC's iface stanza",
        text=f"    post-up ethtool -K {ifname} {settings}",
        note="It acts whenever `ifup` brings the NIC up.",
    )
