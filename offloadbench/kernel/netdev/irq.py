"""Interrupts of a device and the CPUs that serve them (Documentation/core-api/irq/irq-affinity.rst)."""

from __future__ import annotations

from pathlib import Path

from offloadbench.base.errors import HostError

_FROM_OTHER_CPUS = ("rescheduling interrupts", "function call interrupts")


def device_of(ifname: str) -> Path | None:
    """The device that a NIC of this namespace belongs to: its path stays while the NIC changes namespaces.

    None for a NIC without hardware.
    """
    device = Path(f"/sys/class/net/{ifname}/device")
    if not device.exists():
        return None
    resolved = device.resolve()
    # a virtio device's interrupts are those of the PCI device that it sits on
    return resolved.parent if resolved.name.startswith("virtio") else resolved


def of_device(device: Path | None) -> list[int]:
    """Numbers of a device's interrupts: message-signalled ones, else the one of its line."""
    if device is None:
        return []
    signalled = device / "msi_irqs"
    if signalled.is_dir():
        return sorted(int(path.name) for path in signalled.iterdir())
    try:
        number = int((device / "irq").read_text())
    except (OSError, ValueError):
        return []
    return [number] if number > 0 else []


def _file(number: int) -> Path:
    return Path(f"/proc/irq/{number}/smp_affinity_list")


def exists(number: int) -> bool:
    """Whether there is such an interrupt: a driver that is loaded again may get others."""
    return _file(number).exists()


def affinity(number: int) -> str:
    """CPUs that may serve the interrupt, as the kernel lists them (`0-3,8`).

    Raises:
        HostError: no such interrupt.
    """
    try:
        return _file(number).read_text().strip()
    except OSError as error:
        raise HostError(f"interrupt {number}: {error.strerror}", "see /proc/interrupts") from error


def set_affinity(number: int, cpus: str) -> None:
    """Let these CPUs serve the interrupt; a managed interrupt (blk-mq, some multiqueue NICs) keeps its own.

    Raises:
        HostError: the kernel refuses.
    """
    try:
        _file(number).write_text(cpus)
    except OSError as error:
        raise HostError(f"interrupt {number}: cannot be moved to CPU {cpus}: {error.strerror}", "") from error


def from_other_cpus(cpus: frozenset[int]) -> int | None:
    """Interrupts that these CPUs have had from other CPUs so far, for work or to be woken; None where not counted.

    Architectures name the rows otherwise (RES and CAL on x86, IPI0 and IPI1 on arm64) and describe them alike.
    """
    try:
        return parse_from_other_cpus(Path("/proc/interrupts").read_text(), cpus)
    except OSError:
        return None


def parse_from_other_cpus(text: str, cpus: frozenset[int]) -> int | None:
    """The sum of those rows of /proc/interrupts over these CPUs; None where there is no such row."""
    lines = text.splitlines()
    columns = [index for index, name in enumerate(lines[0].split()) if int(name.removeprefix("CPU")) in cpus]
    counts = [line.split()[1:] for line in lines[1:] if line.lower().endswith(_FROM_OTHER_CPUS)]
    return sum(int(row[column]) for row in counts for column in columns) if counts else None


def cpu_list(cpus: frozenset[int]) -> str:
    """`0,2,3`"""
    return ",".join(str(cpu) for cpu in sorted(cpus))
