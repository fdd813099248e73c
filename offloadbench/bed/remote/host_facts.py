"""What an agent can tell about its host. Standard library of Python 3.7."""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import fcntl
import os
import platform
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from offloadbench.roles.messages import (
    AddressesThere,
    Answer,
    AskAbout,
    AskAddresses,
    AskClock,
    AskCounted,
    AskCpu,
    AskFolder,
    AskMemory,
    AskMissing,
    AskNic,
    AskReach,
    AskSource,
    AskState,
    AskSysctl,
    ClockThere,
    CountedThere,
    CpuThere,
    FolderThere,
    HostAbout,
    MemoryThere,
    MissingThere,
    NicThere,
    Order,
    ReachThere,
    SetSysctl,
    SourceThere,
    StateThere,
    SysctlThere,
)

_TRY_S = 1.0
_SIOCGIFCONF, _SIOCETHTOOL, _ETHTOOL_GDRVINFO = 0x8912, 0x8946, 0x00000003
# sizeof(struct ifreq): a name of 16 bytes and a union whose largest member holds two longs (include/uapi/linux/if.h)
_IFREQ_BYTES = 40 if struct.calcsize("l") == 8 else 32


def about() -> HostAbout:
    """The host."""
    return HostAbout(
        hostname=platform.node(),
        kernel=platform.release(),
        machine=platform.machine(),
        python=platform.python_version(),
        cpus=os.cpu_count(),
        root=os.geteuid() == 0,
    )


def memory_bytes() -> int:
    """MemAvailable of /proc/meminfo."""
    rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(rows["MemAvailable"].split()[0]) * 1024


def cpu() -> CpuThere:
    """CPU seconds since boot, all CPUs: busy (neither idle nor stolen), stolen, all (proc_stat(5))."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    unit = 1.0 / os.sysconf("SC_CLK_TCK")
    idle, stolen = ticks[3] + ticks[4], ticks[7]
    return CpuThere(
        t_ns=time.monotonic_ns(),
        busy_s=(sum(ticks) - idle - stolen) * unit,
        stolen_s=stolen * unit,
        all_s=sum(ticks) * unit,
        cpus=os.cpu_count() or 0,
    )


def addresses() -> tuple[tuple[str, str], ...]:
    """(NIC, IPv4 address) of every address that the kernel lists (SIOCGIFCONF); a label stands for its NIC."""
    room = array.array("B", bytes(_IFREQ_BYTES * 1024))
    address, length = room.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        told = fcntl.ioctl(control, _SIOCGIFCONF, struct.pack("iP", length, address))
    used = struct.unpack("iP", told)[0]
    found = []
    for start in range(0, used, _IFREQ_BYTES):
        row = room[start : start + _IFREQ_BYTES].tobytes()
        found.append((row[:16].split(b"\0")[0].decode().split(":")[0], socket.inet_ntoa(row[20:24])))
    return tuple(found)


def driver(ifname: str) -> dict[str, str]:
    """Driver, its version and firmware by ETHTOOL_GDRVINFO; empty where the NIC has none."""
    info = (ctypes.c_char * 196)()
    struct.pack_into("I", info, 0, _ETHTOOL_GDRVINFO)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sP", ifname.encode(), ctypes.addressof(info)))
    except OSError:
        return {}
    places = {"driver": 4, "driver_version": 36, "firmware": 68}
    return {
        name: info.raw[start : start + 32].split(b"\0")[0].decode(errors="replace") for name, start in places.items()
    }


def nic(ifname: str) -> NicThere:
    """What is recorded about a NIC of the load side; features by `ethtool -k` where it is installed."""
    features: dict[str, bool] | None = None
    tool = shutil.which("ethtool")
    if tool:
        rows = subprocess.run(
            [tool, "-k", ifname], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=10, check=False
        ).stdout
        pairs = [row.split(":") for row in rows.decode(errors="replace").splitlines()[1:] if row.count(":") == 1]
        features = {name.strip(): value.split()[0] == "on" for name, value in pairs if value.split()}
    found = driver(ifname)
    return NicThere(
        driver=found.get("driver"),
        driver_version=found.get("driver_version"),
        firmware=found.get("firmware"),
        mtu_bytes=_number_of(ifname, "mtu"),
        speed_mbit_per_s=_number_of(ifname, "speed"),
        features=features,
    )


def _number_of(ifname: str, name: str) -> int:
    """A number that sysfs has of a NIC; 0 where it has none."""
    try:
        return int(Path("/sys/class/net", ifname, name).read_text())
    except (OSError, ValueError):
        return 0


def counted(ifname: str) -> CountedThere:
    """What a NIC and the TCP of this host have counted: numbers of sysfs, and the texts of proc(5) and `ethtool -S`."""
    folder = Path("/sys/class/net", ifname)
    link = {}
    paths = [*(folder / "statistics").glob("*"), folder / "carrier_down_count"] if ifname else []
    for path in paths:
        with contextlib.suppress(OSError, ValueError):
            link[path.name] = int(path.read_text())
    timeouts = []
    for path in folder.glob("queues/tx-*/tx_timeout") if ifname else ():
        with contextlib.suppress(OSError, ValueError):
            timeouts.append(int(path.read_text()))
    if timeouts:
        link["tx_timeout"] = sum(timeouts)
    texts = []
    for name in ("snmp", "netstat"):
        with contextlib.suppress(OSError):
            texts.append(Path("/proc/net", name).read_text())
    tool = shutil.which("ethtool")
    statistics = ""
    if tool and ifname:
        statistics = subprocess.run(
            [tool, "-S", ifname], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=10, check=False
        ).stdout.decode(errors="replace")
    name = driver(ifname).get("driver", "") if ifname else ""
    return CountedThere(name, link, tuple(texts), statistics)


def state(ifname: str, sysctls: Iterable[str]) -> dict[str, str | int]:
    """What of a NIC decides what it sends, and values below /proc/sys, by names that can be shown."""
    facts = nic(ifname)
    found: dict[str, str | int] = {"MTU": facts.mtu_bytes}
    names = {"ifindex": "interface index", "carrier_changes": "carrier changes", "operstate": "operational state"}
    for name, key in names.items():
        with contextlib.suppress(OSError):
            found[key] = Path("/sys/class/net", ifname, name).read_text().strip()
    found.update((name, "on" if value else "off") for name, value in (facts.features or {}).items())
    for name in sysctls:
        found["sysctl " + name] = sysctl(name) or "absent"
    return found


def sysctl(name: str) -> str | None:
    """A value below /proc/sys; None where this kernel has no such."""
    try:
        return " ".join(Path("/proc/sys", *name.split(".")).read_text().split())
    except OSError:
        return None


def set_sysctl(name: str, value: str) -> str | None:
    """Set a value below /proc/sys; returns what is in force then.

    Raises:
        OSError: there is no such, or not for this user, or the kernel does not take the value.
    """
    try:
        Path("/proc/sys", *name.split(".")).write_text(value)
    except OSError as error:
        raise OSError(error.errno, f"sysctl {name} = {value!r}: {error.strerror}") from error
    return sysctl(name)


def reaches(address: str) -> str:
    """Empty when a host answers at `address`: by taking a connection to discard (RFC 863), or by refusing it."""
    with socket.socket() as probe:
        probe.settimeout(_TRY_S)
        code = probe.connect_ex((address, 9))
    if code in (0, errno.ECONNREFUSED):
        return ""
    return "no answer" if code == errno.EAGAIN else os.strerror(code)


def source_address(address: str) -> str:
    """The address that this host would send from."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((address, 9))
        return str(probe.getsockname()[0])


def missing(tools: Iterable[str]) -> tuple[str, ...]:
    """Programs that are not installed."""
    return tuple(tool for tool in tools if shutil.which(tool) is None)


def is_folder(path: str) -> bool:
    return Path(path).is_dir()


# what the engine may ask
FACTS: dict[type[Order], Callable[[Any], Answer]] = {
    AskAbout: lambda order: about(),
    AskMemory: lambda order: MemoryThere(memory_bytes()),
    AskClock: lambda order: ClockThere(time.monotonic_ns()),
    AskCpu: lambda order: cpu(),
    AskAddresses: lambda order: AddressesThere(addresses()),
    AskNic: lambda order: nic(order.ifname),
    AskState: lambda order: StateThere(state(order.ifname, order.sysctls)),
    AskCounted: lambda order: counted(order.ifname),
    AskSysctl: lambda order: SysctlThere(sysctl(order.name)),
    SetSysctl: lambda order: SysctlThere(set_sysctl(order.name, order.value)),
    AskFolder: lambda order: FolderThere(is_folder(order.path)),
    AskReach: lambda order: ReachThere(reaches(order.address)),
    AskSource: lambda order: SourceThere(source_address(order.address)),
    AskMissing: lambda order: MissingThere(missing(order.tools)),
}
