"""A NIC as it was found: driver, queues, rings, coalescing; python-ethtool as the second opinion on TSO/GSO/GRO."""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from pyroute2 import Ethtool
from pyroute2.ethtool.ioctl import EthtoolError
from pyroute2.netlink.exceptions import NetlinkError

from offloadbench.base.errors import HostError
from offloadbench.kernel.netdev import ethtool_ioctl, features, link, queues
from offloadbench.kernel.system import netns
from offloadbench.model import LowerDevice, Queues

_GDRVINFO = 0x00000003
# the kernel's names (struct ethtool_ringparam) of what pyroute2 calls otherwise
_RINGS = {
    "rx_max_pending": "rx_max",
    "rx_mini_max_pending": "rx_mini_max",
    "rx_jumbo_max_pending": "rx_jumbo_max",
    "tx_max_pending": "tx_max",
    "rx_pending": "rx",
    "rx_mini_pending": "rx_mini",
    "rx_jumbo_pending": "rx_jumbo",
    "tx_pending": "tx",
}
_CHANNELS = ("rx_count", "tx_count", "other_count", "combined_count", "max_rx", "max_tx", "max_combined")


@dataclass(frozen=True, slots=True)
class Description:
    """What is recorded about a NIC; `problems` says what could not be read, and why."""

    driver: str
    driver_version: str
    firmware: str
    bus: str
    speed_bits_per_s: int
    duplex: str = ""
    queues: Queues | None = None
    settings: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    module: str = ""


def _python_ethtool() -> ModuleType | None:
    try:
        import ethtool
    except ImportError:
        return None
    module: ModuleType = ethtool
    return module


def driver_info(ifname: str, namespace: str | None = None) -> tuple[str, str, str, str]:
    """(driver, version, firmware, bus) by ETHTOOL_GDRVINFO: python-ethtool shows neither version nor firmware.

    Raises:
        HostError: there is no such NIC.
    """
    request = bytearray(196)
    struct.pack_into("I", request, 0, _GDRVINFO)
    try:
        with netns.entered(namespace), ethtool_ioctl.control_socket() as control:
            ethtool_ioctl.exchange(control, ifname, request)
    except OSError as error:
        # a device without ethtool operations, as WireGuard's before 5.15: what made it stands for its driver
        kind = link.read(ifname, namespace).kind if error.errno == errno.EOPNOTSUPP else ""
        if kind:
            return kind, "", "", ""
        raise HostError(f"{ifname}: its driver cannot be asked: {error.strerror}", "see `ethtool -i`") from error
    text = [bytes(request[start : start + 32]).split(b"\0")[0].decode() for start in (4, 36, 68, 100)]
    return text[0], text[1], text[2], text[3]


def _settings(ifname: str) -> tuple[dict[str, int], list[str]]:
    """Rings, coalescing and channels, in the namespace of the calling thread."""
    values: dict[str, int] = {}
    problems: list[str] = []

    def rings(tool: Any) -> dict[str, Any]:
        found = tool.get_rings(ifname)
        return {name: getattr(found, theirs) or 0 for name, theirs in _RINGS.items()}

    def coalesce(tool: Any) -> dict[str, Any]:
        return {name: value for name, value in tool.get_coalesce(ifname).items() if name != "cmd"}

    def channels(tool: Any) -> dict[str, Any]:
        found = tool.get_channels(ifname)
        return {name: getattr(found, name) for name in _CHANNELS}

    for title, read in (("ring", rings), ("coalesce", coalesce), ("channels", channels)):
        try:
            with Ethtool() as tool:
                values |= {f"{title}_{key}": int(value) for key, value in read(tool).items()}
        except (EthtoolError, NetlinkError, OSError) as error:
            problems.append(f"{title}: {_reason(error)}")
    return values, problems


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    # pyroute2's own errors hold the request's padded name of the NIC only
    return "Operation not supported"


def describe(ifname: str, namespace: str | None = None) -> Description:
    """Driver, firmware, bus, speed, queues, interrupts, rings and coalescing of one NIC."""
    link.read(ifname, namespace)
    driver, version, firmware, bus = driver_info(ifname, namespace)
    with netns.entered(namespace):
        settings, problems = _settings(ifname)
    found: Queues | None = None
    speed = duplex = ""
    try:
        found = queues.read(ifname, bus, namespace)
        # a virtual NIC in a namespace of the lab has a nominal speed, which says nothing
        if namespace is None:
            speed = queues.attribute(ifname, "speed")
            duplex = queues.attribute(ifname, "duplex")
    except HostError as error:
        problems.append(error.message)
    return Description(
        driver=driver,
        driver_version=version,
        firmware=firmware,
        bus=bus,
        speed_bits_per_s=int(speed) * 10**6 if speed.isdigit() else 0,
        duplex=duplex if duplex in ("full", "half") else "",
        queues=found,
        settings=settings,
        problems=problems,
        module=queues.bound_module(ifname, namespace),
    )


def describe_below(below: link.Below, namespace: str | None = None) -> list[LowerDevice]:
    """The devices through which a VLAN, bond, team or bridge sends, as they were found."""
    found = []
    for device in below.devices:
        about = describe(device.ifname, namespace)
        bits = features.read(device.ifname, namespace)
        found.append(
            LowerDevice(
                ifname=device.ifname,
                upper=device.upper,
                kind=device.kind,
                driver=about.driver,
                driver_version=about.driver_version,
                firmware=about.firmware,
                bus=about.bus,
                speed_bits_per_s=about.speed_bits_per_s,
                duplex=about.duplex,
                features={name: [bit.active, bit.wanted, bit.fixed] for name, bit in bits.items()},
                settings=about.settings,
                queues=about.queues,
                problems=about.problems,
                module=about.module,
            )
        )
    return found


def disagreements(ifname: str, found: dict[str, features.Feature], namespace: str | None = None) -> list[str]:
    """Where python-ethtool reads TSO, GSO, GRO, driver or bus otherwise than we did; empty without the module."""
    module: Any = _python_ethtool()
    if module is None:
        return []
    pairs = (
        ("TSO", module.get_tso, [name for name in found if name.startswith("tx-tcp")]),
        ("GSO", module.get_gso, ["tx-generic-segmentation"]),
        ("GRO", module.get_gro, ["rx-gro"]),
    )
    differing = []
    with netns.entered(namespace):
        for title, getter, names in pairs:
            # an alias reads on when any of its bits is (net/ethtool/ioctl.c)
            by_netlink = any(found[name].active for name in names if name in found)
            if bool(getter(ifname)) != by_netlink:
                differing.append(f"{title}: netlink says {by_netlink}, ioctl says {not by_netlink}")
        driver, _, _, bus = driver_info(ifname)
        for title, ours, theirs in (
            ("driver", driver, module.get_module(ifname)),
            ("bus", bus, module.get_businfo(ifname)),
        ):
            if ours != theirs:
                differing.append(f"{title}: {ours!r}, python-ethtool says {theirs!r}")
    return differing
