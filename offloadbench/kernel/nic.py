"""The NIC as it was found: driver, bus, rings, coalescing; python-ethtool as the second opinion on TSO/GSO/GRO."""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from offloadbench.kernel import features, link, netns

_SIOCETHTOOL = 0x8946
_GDRVINFO = 0x00000003
# virtual NICs whose packet counters count a super-packet once, headers once (drivers.md, veth and tun)
SUPER_PACKET_COUNTERS = frozenset({"tun", "veth", "virtio_net", "ena", "mana", "hv_netvsc", "gve"})


@dataclass(frozen=True, slots=True)
class Description:
    """What is recorded about a NIC; `problems` says what could not be read, and why."""

    driver: str
    driver_version: str
    firmware: str
    bus: str
    speed_bits_per_s: int
    settings: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def counts_super_packets(self) -> bool:
        return self.driver in SUPER_PACKET_COUNTERS


def _python_ethtool() -> ModuleType | None:
    try:
        import ethtool
    except ImportError:
        return None
    module: ModuleType = ethtool
    return module


def _driver_info(ifname: str) -> tuple[str, str, str, str]:
    """(driver, version, firmware, bus) by ETHTOOL_GDRVINFO: python-ethtool shows neither version nor firmware."""
    request = bytearray(196)
    struct.pack_into("I", request, 0, _GDRVINFO)
    buffer = (ctypes.c_char * len(request)).from_buffer(request)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sP", ifname.encode(), ctypes.addressof(buffer)))
    del buffer
    text = [bytes(request[start : start + 32]).split(b"\0")[0].decode() for start in (4, 36, 68, 100)]
    return text[0], text[1], text[2], text[3]


def _speed_bits_per_s(ifname: str) -> int:
    """The link's speed as sysfs tells it; 0 where the NIC has none."""
    try:
        return max(0, int(Path(f"/sys/class/net/{ifname}/speed").read_text())) * 10**6
    except (OSError, ValueError):
        return 0


def _settings(module: ModuleType, ifname: str) -> tuple[dict[str, int], list[str]]:
    values: dict[str, int] = {}
    problems: list[str] = []
    for title, call in (("ring", module.get_ringparam), ("coalesce", module.get_coalesce)):
        try:
            values |= {f"{title}_{key}": int(value) for key, value in call(ifname).items()}
        except OSError as error:
            problems.append(f"{title}: {error.strerror or error}")
    return values, problems


def describe(ifname: str, namespace: str | None = None) -> Description:
    """Driver, firmware, bus, speed, rings and coalescing of one NIC."""
    link.read(ifname, namespace)
    with netns.entered(namespace):
        driver, version, firmware, bus = _driver_info(ifname)
        module = _python_ethtool()
        settings: dict[str, int] = {}
        if module is None:
            problems = ["python-ethtool is not installed: no ring and coalescing values (extra [nic])"]
        else:
            settings, problems = _settings(module, ifname)
    return Description(
        driver=driver,
        driver_version=version,
        firmware=firmware,
        bus=bus,
        speed_bits_per_s=_speed_bits_per_s(ifname) if namespace is None else 0,
        settings=settings,
        problems=problems,
    )


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
        driver, _, _, bus = _driver_info(ifname)
        for title, ours, theirs in (
            ("driver", driver, module.get_module(ifname)),
            ("bus", bus, module.get_businfo(ifname)),
        ):
            if ours != theirs:
                differing.append(f"{title}: {ours!r}, python-ethtool says {theirs!r}")
    return differing
