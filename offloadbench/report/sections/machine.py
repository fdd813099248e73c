"""How a run was measured and on what, as terms and texts written from its data."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass

from offloadbench.analysis.tcp_tuning.tcp_advice import IDLE_RESTART
from offloadbench.analysis.trial import metrics
from offloadbench.base.settings import in_record, in_words
from offloadbench.base.units import format_bytes, format_rate
from offloadbench.base.words import percent
from offloadbench.model import Host, Probe, Run
from offloadbench.report.sections import nic_views

_OF_LOAD_SIDE = frozenset({"load_host", "load_nic", "workers", "clock_offset_s", "clock_uncertainty_s"})
Items = list[tuple[str, str]]
_SLOW_START = {"0": "off: a connection goes on as it stopped", "1": "on"}


@dataclass(frozen=True, slots=True)
class TermGroup:
    """Terms and texts under a heading; folded: hidden until asked for."""

    title: str
    items: Items
    folded: bool = False


def _cpus(cpus: list[int]) -> str:
    return ", ".join(map(str, cpus)) or "none"


def _events(run: Run) -> str:
    events = {event.name: event for trial in run.trials if trial.profile for event in trial.profile.events}
    words = []
    for event in events.values():
        each = (
            f"{event.period / 1e6:g} ms"
            if event.quantity == "kernel_cpu_time_ns"
            else f"{event.period:,} {event.quantity}"
        )
        unit = "CPU time" if event.quantity == "kernel_cpu_time_ns" else event.quantity
        words.append(f"{event.name}, a sample every {each} of {unit}")
    return "; ".join(words) or "no profile was recorded"


def _cable(run: Run) -> Items:
    reports = [trial.wire for trial in run.trials if trial.wire]
    if not reports:
        return []
    asleep = [report.asleep_ratio for report in reports if report.asleep_ratio is not None]
    late_s = [report.late_p99_s for report in reports if report.late_p99_s is not None]
    if not asleep or not late_s:
        segments, frames = (sum(getattr(report.to_peer, what) for report in reports) for what in ("segments", "frames"))
        return [("Emulated cable", f"netem; {segments} segments to the load side, cut from {frames} packets")]
    least, latest = min(asleep), max(late_s)
    text = f"idle at least {percent(least)} of the time; 99 % of frames left within {latest * 1e3:.1f} ms of their time"
    return [("Emulated cable", text)]


def methods(run: Run) -> TermGroup:
    """Window, order, events and clocks that the run really used."""
    plan, bed, host = run.plan, run.bed, run.host
    workloads = "; ".join(f"{workload.name}: {workload.title}" for workload in plan.workloads)
    cases = "; ".join(f"{case.definition.name}: {case.definition.title}" for case in plan.cases)
    items = [
        ("Command", shlex.join(run.command)),
        ("Workload", workloads),
        ("Cases", cases),
        ("Window", f"{plan.duration_s} s after {plan.warmup_s:g} s of warm-up, one sample a second"),
        ("Repeats", f"{plan.repeats}, each a block of all cases in random order (seed {plan.seed})"),
        ("CPU busy", f"all time of CPU {_cpus(bed.dut_cpus)} that was neither idle nor stolen"),
        ("Idle clock", host.idle_source),
        ("User, system, softirq", f"the kernel's tick counters, {host.tick_quantum_s * 1e3:g} ms a tick"),
        ("CPU s/GB", "busy CPU seconds per 10^9 bytes of payload that the load side received"),
        ("Throughput", "layer 2: segments with their headers, without FCS, preamble and gap"),
        ("Profile", _events(run)),
        ("Bed", "; ".join([bed.kind, *in_words(bed)])),
        ("CPUs", f"under test {_cpus(bed.dut_cpus)}; cable {_cpus(bed.wire_cpus)}; load side {_cpus(bed.peer_cpus)}; "
                 f"offloadbench {_cpus(bed.tool_cpus)}"),
        *_cable(run),
    ]  # fmt: skip
    return TermGroup("How it was measured", items)


def _host(host: Host) -> TermGroup:
    return TermGroup(
        "Host",
        [
            ("Kernel", host.kernel),
            ("System", host.distribution),
            ("CPU", f"{host.cpus} × {host.cpu_model}"),  # noqa: RUF001 a times sign
            ("Memory", format_bytes(host.memory_bytes)),
            ("Virtualization", host.virtualization or "none"),
            ("Governor", host.governor),
            ("Clock", host.clocksource),
            ("Kernel command line", host.command_line),
        ],
    )


def _route(run: Run) -> list[TermGroup]:
    """How TCP starts on the tested route; nothing in files of before it was recorded."""
    route = run.route
    if route is None:
        return []
    default = "the kernel's default"
    return [
        TermGroup(
            "Tested route",
            [
                ("Destination", f"{route.destination}{f' via {route.gateway}' if route.gateway else ''}"),
                ("Initial congestion window", f"{route.initcwnd} segments" if route.initcwnd else default),
                ("Initial receive window", f"{route.initrwnd} segments" if route.initrwnd else default),
                ("Other metrics", "; ".join(f"{name} {value}" for name, value in route.metrics.items()) or "none set"),
                ("Slow start after idle", _SLOW_START.get(run.host.sysctls.get(IDLE_RESTART, ""), "not known")),
            ],
        )
    ]


def of_probe(probe: Probe) -> list[TermGroup]:
    """How a probe was made, and on what."""
    rate = format_rate(probe.line_rate_bits_per_s) if probe.line_rate_bits_per_s else "not known"
    items = [
        ("Command", shlex.join(probe.command)),
        ("Server", probe.server),
        ("NIC", f"{probe.nic} ({probe.driver}); line rate {rate}; added RTT {probe.rtt_s * 1e3:g} ms"),
        ("Segments", "payload of a frame by the segment size of its super-packet, rounded up; GRO and LRO off"),
        (
            "Flight",
            "unique data within one round trip of the first frame; it ends where data are repeated, or after 3 s",
        ),
        ("Proof", "then everything is acknowledged with room for two segments: what comes shows that more was waiting"),
    ]
    return [
        TermGroup("How it was measured", items),
        _host(probe.host),
        TermGroup("Sysctls", list(probe.host.sysctls.items()), True),
        TermGroup("Tools", [("offloadbench", probe.tool_version), *probe.host.tools.items()]),
    ]


def _load_side(run: Run) -> list[TermGroup]:
    """The other host, or the workers of a fleet; nothing where both ends are this machine."""
    settings = run.bed.settings
    hosts = settings.get("workers") or ({run.bed.peer: settings["load_host"]} if "load_host" in settings else {})
    if not hosts:
        return []
    items = [
        (name, f"{host['hostname']}, Linux {host['kernel']}, Python {host['python']}, {host['cpus']} CPUs")
        for name, host in hosts.items()
    ]
    nic = settings.get("load_nic")
    if nic:
        driver = f"{nic.get('driver', '')} {nic.get('driver_version', '')}".strip() or "unknown"
        items.append(("NIC", f"{nic['ifname']} ({nic['address']}), driver {driver}, MTU {nic['mtu_bytes']} bytes"))
    if "clock_offset_s" in settings:
        offset, uncertainty = settings["clock_offset_s"], settings["clock_uncertainty_s"]
        items.append(("Clock", f"{offset:+.6f} s from that of the device under test, ± {uncertainty * 1e6:.0f} µs"))
    busy = [one for trial in run.trials if (figures := metrics.of_trial(run, trial))
            and not math.isnan(one := figures.peer_cpu_ratio)]  # fmt: skip
    if busy:
        items.append(("CPU busy", f"{percent(min(busy))} to {percent(max(busy))} of all its CPUs, by trial"))
    return [TermGroup("Load side", items)]


def _existing_target(run: Run) -> list[TermGroup]:
    """A target that the run has not started; nothing where there is none."""
    loads = (trial.load.settings for trial in run.trials if trial.load)
    found = next((one["existing_target"] for one in loads if "existing_target" in one), None)
    if found is None:
        return []
    end = found["start_bytes"] + found["used_bytes"]
    items = [
        ("Name", found["name"]),
        ("Address", f"{found['address']}, port {found['port']}, LUN {found['lun']}"),
        ("Device", f"{found['product']}, serial {found['serial'] or 'none'}, {format_bytes(found['size_bytes'])}"),
        ("Found on it", found["holds"]),
        ("Used by the run", f"bytes {found['start_bytes']} to {end - 1}"),
        ("CPU, cache, disks, receive buffer", "not known: it is not this run's"),
    ]
    return [TermGroup("iSCSI target", items)]


def machine(run: Run) -> list[TermGroup]:
    """Host, NIC, sysctls, tools."""
    host = run.host
    told = [in_record(name, value) for name, value in run.bed.settings.items() if name not in _OF_LOAD_SIDE]
    settings = [*told, *nic_views.settings(run.nic)]
    return [
        _host(host),
        TermGroup("NIC", nic_views.nic(run.nic, run.host.kernel)),
        *_route(run),
        *_load_side(run),
        *_existing_target(run),
        TermGroup("Settings of the bed and the NIC", settings, True),
        TermGroup("Sysctls", list(host.sysctls.items()), True),
        TermGroup("Mitigations", list(host.mitigations.items()), True),
        TermGroup("Tools", [("offloadbench", run.tool_version), *host.tools.items()]),
    ]
