"""The machine, as far as it bears on what is measured."""

from __future__ import annotations

import hmac
import os
import platform
from importlib import metadata
from pathlib import Path

import psutil
import sh

from offloadbench.kernel.system import cpu_idle, cpu_ticks, sysctl
from offloadbench.model import Host

# offloadbench's own, drawn once
_APPLICATION = bytes.fromhex("5c789a32a15a422eaa8199bd658c2692")
_LIBRARIES = ("pyroute2", "ethtool", "psutil", "sh", "pyftpdlib", "numpy", "msgspec")


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def _cpu_model() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Processor", "CPU part"):
            return value.strip()
    return platform.machine()


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def _virtualization() -> str:
    hypervisor = _read("/sys/hypervisor/type")
    if hypervisor:
        return hypervisor
    vendor = _read("/sys/class/dmi/id/sys_vendor")
    return (vendor or "unnamed hypervisor") if "hypervisor" in _read("/proc/cpuinfo") else "none"


def tool_versions() -> dict[str, str]:
    """Versions of perf and of the libraries that touch the kernel."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    try:
        versions["perf"] = str(sh.perf("--version")).strip().removeprefix("perf version ")
    except (sh.CommandNotFound, sh.ErrorReturnCode):
        versions["perf"] = "not installed"
    return versions


def app_specific(text: str) -> str:
    """A machine's or a boot's id for this application alone, as 32 hexadecimal digits; "" of what is no id.

    machine-id(5) asks not to let the raw one out. As systemd's sd_id128_get_machine_app_specific(3) makes it:
    HMAC-SHA256 of the application's id, keyed with the raw one, cut to 128 bits and marked as a random UUID.
    """
    try:
        raw = bytes.fromhex(text.strip().replace("-", ""))
    except ValueError:
        return ""
    if len(raw) != 16 or not any(raw):
        return ""
    made = bytearray(hmac.digest(raw, _APPLICATION, "sha256")[:16])
    made[6] = made[6] & 0x0F | 0x40
    made[8] = made[8] & 0x3F | 0x80
    return made.hex()


def describe(namespace: str | None = None) -> Host:
    """The host's record; sysctls are read in the namespace of the device under test."""
    vulnerabilities = Path("/sys/devices/system/cpu/vulnerabilities")
    return Host(
        kernel=platform.release(),
        command_line=_read("/proc/cmdline"),
        distribution=_distribution(),
        cpu_model=_cpu_model(),
        cpus=os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        virtualization=_virtualization(),
        governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "none",
        clocksource=_read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        mitigations={path.name: _read(str(path)) for path in sorted(vulnerabilities.glob("*"))},
        sysctls=sysctl.recorded(namespace),
        tools=tool_versions(),
        idle_source=cpu_idle.best_clock().source,
        tick_quantum_s=cpu_ticks.QUANTUM_S,
        machine_id=app_specific(_read("/etc/machine-id") or _read("/var/lib/dbus/machine-id")),
        boot_id=app_specific(_read("/proc/sys/kernel/random/boot_id")),
    )
