"""What this machine can measure, and what a run would fall back to. Changes nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import psutil

from offloadbench.analysis.profile.attribution import SymbolTable
from offloadbench.analysis.tcp_tuning import tcp_advice, tcp_advice_route
from offloadbench.analysis.tcp_tuning.needs import PathTarget
from offloadbench.base.errors import HostError, OffloadbenchError
from offloadbench.base.units import format_bytes
from offloadbench.bed import cpus, lab_bed
from offloadbench.definitions import catalog
from offloadbench.engine import rights
from offloadbench.files.cache import cache_folder
from offloadbench.kernel.netdev import features, link, nic, route
from offloadbench.kernel.system import capabilities, cpu_idle, sysctl
from offloadbench.kernel.trace import debuginfo, kallsyms, perf
from offloadbench.traffic.iscsi import tgt

Level = Literal["ok", "note", "fail"]
_FILES_BYTES = 1 << 30
# capability, what it is for, what does not work without
_CAPABILITIES = (
    ("net_admin", "sets features, MTU, rings, addresses and sysctls", "run, sweep, batch, lab and tune --apply refuse"),
    (
        "sys_admin",
        "makes and enters network namespaces, mounts tracefs",
        "no --nic lab or lab-veth, no --peer nic:, no lab; a NIC whose load side is another host can be measured",
    ),
    ("perfmon", "the kernel profile, the proof of a toggle by tracepoints", "run only with --no-profile"),
    ("syslog", "addresses of kernel symbols for the profile", "run only with --no-profile, unless addresses are open"),
    (
        "dac_override",
        "opens what belongs to root: /run/netns, /dev/net/tun, tracefs, /proc/timer_list, /proc/irq",
        "no namespaces, no TAPs, no tracepoints as proof, CPU time by ticks, interrupts where they are",
    ),
    (
        "sys_nice",
        "real-time priority of cable and sampler, the load side's NAPI thread on its own CPU",
        "on a busy machine the cable falls behind, and lab-veth charges receiving to the sender",
    ),
    (
        "ipc_lock",
        "served files of ftp-get locked in memory",
        "a trial that has to read them from the disk again is void",
    ),
    ("net_raw", "packets for --capture and probe initcwnd --nic", "run without --capture, no live probe"),
)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at.

    Attributes:
        level: ok; note: a run works, with this limit; fail: a run cannot work.
        hint: what to do; empty when nothing needs doing.
        cost: what the present state costs, computed where a path is known; empty when nothing.
        source: of the advice, where it is not this program's own.
    """

    name: str
    level: Level
    text: str
    hint: str = ""
    cost: str = ""
    source: str = ""


def _capabilities() -> list[Check]:
    """One line for each capability that something here needs; only without CAP_NET_ADMIN no run can work."""
    held = capabilities.effective()
    checks = []
    for name, use, loss in _CAPABILITIES:
        if name == "dac_override" and os.geteuid() == 0:
            continue
        if name in held:
            checks.append(Check(capabilities.title(name), "ok", use))
        else:
            level: Level = "fail" if name in rights.FEATURES else "note"
            checks.append(Check(capabilities.title(name), level, f"missing: {loss}", capabilities.hint({name: use})))
    if not capabilities.in_first_user_namespace():
        text = "run, lab, perf and kernel addresses ask for the machine's own capabilities"
        checks.append(Check("user namespace", "fail", text, "run on the machine, or in a container of its root"))
    text = "compare, report, export, modules, schema, watch, probe --pcap and --model, and tune without --apply"
    checks.append(Check("without any", "ok", text))
    return checks


def _perf() -> Check:
    perf.require()
    names = [event.name for event in perf.available_events()]
    if "instructions" in names:
        return Check("perf", "ok", f"the PMU counts {' and '.join(names)}")
    return Check(
        "perf",
        "note",
        "no PMU: modules are measured by cpu-clock at 997 Hz and shown as CPU time, never as instructions",
    )


def _symbols() -> Check:
    if not capabilities.may_see_addresses():
        text = "addresses are hidden: no kernel profile here, run --no-profile"
        return Check("kernel symbols", "note", text, "CAP_SYSLOG, and sysctl kernel.kptr_restrict 0 or 1")
    symbols = SymbolTable(kallsyms.snapshot(), catalog.name_table(catalog.profile("linux")))
    text = f"{len(symbols)} functions with addresses, {symbols.known_ratio:.0%} of the kernel's own known by name"
    if debuginfo.find_vmlinux(os.uname().release):
        return Check("kernel symbols", "ok", f"{text}; a vmlinux of this release is here, used if it matches")
    if symbols.neighbours_trusted:
        return Check("kernel symbols", "ok", f"{text}; the others are judged by their neighbours in link order")
    return Check(
        "kernel symbols",
        "note",
        f"{text}; the others by prefix rules only: this kernel's functions do not lie in link order "
        f"({symbols.neighbours_right_ratio:.0%} of known ones lie beside their own file)",
        "install the debug package of this kernel",
    )


def _idle() -> Check:
    clock = cpu_idle.best_clock()
    if clock.quantum_s < 1e-6:
        return Check("idle clock", "ok", clock.source)
    return Check(
        "idle clock",
        "note",
        f"{clock.source}: {clock.quantum_s * 1e3:.0f} ms units",
        "uid 0 or CAP_DAC_OVERRIDE, and a CONFIG_NO_HZ kernel",
    )


def _cpus() -> Check:
    place = cpus.place()
    if not place.shared:
        return Check("CPUs", "ok", "server, wire, clients and tool have CPUs of their own")
    return Check("CPUs", "note", "; ".join(place.shared))


def _memory() -> Check:
    available = psutil.virtual_memory().available
    text = f"{format_bytes(available)} available; the files of ftp-get need {format_bytes(_FILES_BYTES)}"
    enough = available > 1.5 * _FILES_BYTES
    return Check("memory", "ok" if enough else "fail", text, "" if enough else "--set file_size=32MiB")


def _disk() -> Check:
    folder = cache_folder()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    enough = free > 1.1 * _FILES_BYTES
    text = f"{format_bytes(free)} free in {folder}"
    return Check("disk", "ok" if enough else "note", text, "" if enough else "point OFFLOADBENCH_CACHE elsewhere")


def _tun() -> Check:
    try:
        lab_bed.require_tun()
    except HostError as error:
        return Check("TAP devices", "note", f"{error.message}: no --nic lab", error.hint)
    return Check("TAP devices", "ok", "/dev/net/tun opens: --nic lab works")


def _ip() -> Check:
    if shutil.which("ip"):
        return Check("ip", "ok", "iproute2 is installed")
    return Check("ip", "fail", "ip is not installed", "apt-get install iproute2")


def _iscsi_target() -> Check:
    try:
        tgt.require()
    except HostError as error:
        return Check("iSCSI target", "note", f"{error.message}: iscsi-write cannot run", error.hint)
    return Check("iSCSI target", "ok", f"tgt {tgt.version()}")


def _python_ethtool() -> Check:
    try:
        import ethtool
    except ImportError:
        return Check(
            "python-ethtool",
            "note",
            "not installed: no ring and coalescing values",
            "pip install 'offloadbench[nic]'",
        )
    return Check("python-ethtool", "ok", f"version {ethtool.version.split()[-1].lstrip('v')}")


def _congestion_control() -> Check:
    available = sysctl.read("net.ipv4.tcp_available_congestion_control") or ""
    if "cubic" in available.split():
        return Check("congestion control", "ok", f"cubic is available ({available})")
    return Check("congestion control", "note", f"no cubic ({available})", "--set congestion_control=reno")


_CHECKS: tuple[tuple[str, Callable[[], Check]], ...] = (
    ("perf", _perf),
    ("kernel symbols", _symbols),
    ("idle clock", _idle),
    ("CPUs", _cpus),
    ("memory", _memory),
    ("disk", _disk),
    ("ip", _ip),
    ("TAP devices", _tun),
    ("python-ethtool", _python_ethtool),
    ("iSCSI target", _iscsi_target),
    ("congestion control", _congestion_control),
)


def examine(nic_name: str | None = None, target: PathTarget | None = None) -> list[Check]:
    """Every check, and those of a NIC when one is named; a check that fails does not hide the others.

    Args:
        target: the path for which TCP's parameters are judged.
    """
    checks = _capabilities()
    for name, check in _CHECKS:
        try:
            checks.append(check())
        except (OffloadbenchError, OSError) as error:
            checks.append(Check(name, "fail", str(error), getattr(error, "hint", "")))
    if nic_name and nic_name not in lab_bed.NAMES:
        checks += _nic(nic_name)
    return checks + _tcp(target)


def _tcp(target: PathTarget | None) -> list[Check]:
    try:
        found = _tcp_found()
        first = next((one.initcwnd for one in found.routes if one.destination == "default" and one.initcwnd), None)
        if target and first:
            target = replace(target, initcwnd=first)
        findings = tcp_advice_route.advice(found, target)
    except (OffloadbenchError, OSError) as error:
        return [Check("TCP parameters", "note", str(error))]
    return [Check(one.name, one.level, one.found, one.command, one.cost, one.source) for one in findings]


def _tcp_found() -> tcp_advice.Found:
    values = {name: sysctl.read(name) for name in tcp_advice.READ}
    return tcp_advice.Found(
        release=os.uname().release,
        sysctls={name: value for name, value in values.items() if value is not None},
        routes=route.read(),
        qdiscs={name: link.read(name).qdisc for name in sorted(link.default_route_nics())},
        memory_bytes=psutil.virtual_memory().total,
        page_bytes=os.sysconf("SC_PAGE_SIZE"),
    )


def _nic(name: str) -> list[Check]:
    try:
        state = link.read(name)
        found = features.read(name)
        about = nic.describe(name)
    except OffloadbenchError as error:
        return [Check(name, "fail", error.message, error.hint)]
    checks = [Check(name, "ok", f"driver {about.driver} {about.driver_version}, {'up' if state.up else 'down'}")]
    if name in link.default_route_nics():
        checks.append(Check(name, "fail", "carries the default route: a run refuses it", "use a NIC of its own"))
    for bit in ("tx-tcp-segmentation", "tx-checksum-ip-generic", "tx-checksum-ipv4", "rx-checksum"):
        feature = found[bit]
        if not feature.fixed:
            checks.append(Check(name, "ok", f"{bit} can be toggled (now {'on' if feature.active else 'off'})"))
        elif bit == "rx-checksum" or bit.startswith("tx-tcp"):
            checks.append(Check(name, "note", f"{bit} is fixed {'on' if feature.active else 'off'}"))
    if state.gso.max_segs == 1:
        checks.append(
            Check(
                name,
                "note",
                "gso_max_segs is 1: no super-packets are built",
                f"ip link set {name} gso_max_segs 65535",
            )
        )
    checks += [Check(name, "note", problem) for problem in about.problems]
    return checks
