"""A device's queues, their steering and byte limits, and its interrupts with the CPUs that they are sent to.

Documentation/networking/scaling.rst, lib/dynamic_queue_limits.c, Documentation/core-api/irq/irq-affinity.rst.
"""

from __future__ import annotations

import re
from pathlib import Path

import sh

from offloadbench.base.errors import HostError
from offloadbench.kernel.netdev import irq
from offloadbench.model import Interrupt, Queues

_QUEUE = re.compile(r"queues/((?:rx|tx)-\d+)/(\S+)$")
_INTERRUPTS, _IRQ, _PCI = Path("/proc/interrupts"), Path("/proc/irq"), Path("/sys/bus/pci/devices")
_UNLIMITED = 1879048192  # DQL_MAX_LIMIT: the limit may grow freely


def read(ifname: str, bus: str, namespace: str | None = None) -> Queues:
    """The queues of one device.

    Args:
        bus: where it sits, as ETHTOOL_GDRVINFO tells; interrupts are those of that PCI device.

    Raises:
        HostError: sysfs cannot be read there.
    """
    values = _sysfs(ifname, "queues", namespace)
    # by its place on the bus, which is the same in every namespace
    numbers = irq.of_device(_PCI / bus) if bus and (_PCI / bus).is_dir() else []
    return parse(values, _interrupts(numbers, ifname))


def parse(values: dict[str, str], interrupts: list[Interrupt]) -> Queues:
    """From the files below /sys/class/net/<ifname>: path -> content."""
    found: dict[str, dict[str, str]] = {}
    for path, text in values.items():
        match = _QUEUE.search(path)
        if match:
            found.setdefault(match[1], {})[match[2]] = text
    ordered = sorted(found.items(), key=lambda item: (item[0][:2], int(item[0][3:])))

    def column(name: str) -> dict[str, str]:
        return {queue: files[name] for queue, files in ordered if name in files}

    def limits(name: str) -> dict[str, int]:
        return {queue: int(text) for queue, text in column(f"byte_queue_limits/{name}").items()}

    return Queues(
        rx=sum(queue.startswith("rx") for queue in found),
        tx=sum(queue.startswith("tx") for queue in found),
        interrupts=interrupts,
        rps_cpus=column("rps_cpus"),
        xps_cpus=column("xps_cpus"),
        bql_limit_bytes=limits("limit"),
        bql_limit_max_bytes={queue: limit for queue, limit in limits("limit_max").items() if limit != _UNLIMITED},
    )


def attribute(ifname: str, name: str, namespace: str | None = None) -> str:
    """One file of /sys/class/net/<ifname>; "" where it is absent or the link is down."""
    return next(iter(_sysfs(ifname, name, namespace).values()), "")


def bound_module(ifname: str, namespace: str | None = None) -> str:
    """The kernel module bound to the NIC's device; "" for a virtual device, and where sysfs names none."""
    command = ["readlink", "-e", f"/sys/class/net/{ifname}/device/driver/module"]
    if namespace:
        command = ["ip", "netns", "exec", namespace, *command]
    try:
        # 1: there is no such link
        target = str(sh.Command(command[0])(*command[1:], _ok_code=[0, 1])).strip()
    except (sh.ErrorReturnCode, sh.CommandNotFound):
        return ""
    return target.rpartition("/")[2].replace("-", "_")


def tx_timeouts(ifname: str, namespace: str | None = None) -> int | None:
    """How often a transmit queue of the device hung until the kernel's watchdog fired; None where it does not tell."""
    try:
        counts = _sysfs(ifname, "queues", namespace, only="tx_timeout").values()
    except HostError:
        return None
    numbers = [int(text) for text in counts if text.isdigit()]
    return sum(numbers) if numbers else None


def _sysfs(ifname: str, below: str, namespace: str | None, only: str = "") -> dict[str, str]:
    """Path -> content of every readable file below. sysfs shows the namespace in which it was mounted, which
    `ip netns exec` does anew."""
    chosen = [f"--include={only}"] if only else []
    command = ["grep", "-rs", *chosen, "", f"/sys/class/net/{ifname}/{below}"]
    try:
        entered = sh.ip.bake("netns", "exec", namespace) if namespace else None
        # 1: all files are empty; 2: some cannot be read, as a link's speed while it is down
        text = entered(*command, _ok_code=[0, 1, 2]) if entered else sh.grep(*command[1:], _ok_code=[0, 1, 2])
    except (sh.ErrorReturnCode, sh.CommandNotFound) as error:
        raise HostError(f"{ifname}: cannot read sysfs: {error}", "see `offloadbench doctor`") from error
    lines = str(text).splitlines()
    # a single file is printed without its path
    pairs = (line.partition(":") if line.startswith("/sys/") else (below, ":", line) for line in lines)
    return {path: content for path, _, content in pairs}


def _interrupts(numbers: list[int], ifname: str) -> list[Interrupt]:
    """Those of the PCI device that are in use; without one (a platform device), those that bear the NIC's name."""
    names = interrupt_names(_INTERRUPTS.read_text())
    mine = [number for number in numbers if number in names] or [
        number for number, name in names.items() if re.search(rf"\b{re.escape(ifname)}\b", name)
    ]
    return [
        Interrupt(number=number, name=names[number], cpus=irq.affinity(number), effective_cpus=_effective(number))
        for number in mine
    ]


def interrupt_names(text: str) -> dict[int, str]:
    """Number -> name of every interrupt that somebody handles, from /proc/interrupts.

    Its columns are a count a CPU, the chip, the hardware's number (sometimes with the kind), and the handlers.
    """
    lines = text.splitlines()
    cpus = len(lines[0].split()) if lines else 0
    names = {}
    for line in lines[1:]:
        number, colon, rest = line.partition(":")
        words = rest.split()[cpus:]
        if colon and number.strip().isdigit() and len(words) > 2:
            names[int(number)] = " ".join(words[2:])
    return names


def _effective(number: int) -> str:
    """Where the interrupt is really sent; "" on kernels and architectures that do not tell."""
    try:
        return (_IRQ / str(number) / "effective_affinity_list").read_text().strip()
    except OSError:
        return ""
