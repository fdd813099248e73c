"""Whether two runs answer the same question, and what else differs between them."""

from __future__ import annotations

import msgspec

from offloadbench.model import Nic, Queues, Run


def obstacles(a: Run, b: Run) -> list[str]:
    """Why the two runs do not answer the same question; empty when they do."""
    found = []
    if (a.nic.name, a.nic.driver) != (b.nic.name, b.nic.driver):
        found.append(f"other NIC: {a.nic.name} ({a.nic.driver}) and {b.nic.name} ({b.nic.driver})")
    link_a, link_b = (
        (run.bed.kind, run.bed.line_rate_bits_per_s, run.bed.rtt_s, run.bed.loss_ratio, run.bed.queue_bytes)
        for run in (a, b)
    )
    if link_a != link_b:
        found.append(f"other link: {link_a} and {link_b}")
    definitions = [{w.name: msgspec.to_builtins(w.parameters) for w in run.plan.workloads} for run in (a, b)]
    for name in sorted(definitions[0].keys() & definitions[1].keys()):
        keys = [k for k, v in definitions[0][name].items() if definitions[1][name].get(k) != v]
        if keys:
            found.append(f"workload {name} has other parameters: {', '.join(keys)}")
    states = [{c.definition.name: c.definition for c in run.plan.cases} for run in (a, b)]
    for name in sorted(states[0].keys() & states[1].keys()):
        one, other = states[0][name], states[1][name]
        if (one.features, one.gso_max_segs) != (other.features, other.gso_max_segs):
            found.append(f"case {name} sets other features")
    if not definitions[0].keys() & definitions[1].keys():
        found.append("no workload in common")
    if not _case_names(a) & _case_names(b):
        found.append("no case in common")
    if a.plan.duration_s != b.plan.duration_s:
        found.append(f"other window: {a.plan.duration_s} s and {b.plan.duration_s} s")
    return found


def _case_names(run: Run) -> set[str]:
    return {name for trial in run.trials for name in (trial.case, *trial.also_named)}


def metadata_differences(a: Run, b: Run) -> list[str]:
    """What else differs between the machines, kernels and settings, as sentences."""
    pairs = {
        "kernel": (a.host.kernel, b.host.kernel),
        "kernel command line": (a.host.command_line, b.host.command_line),
        "CPU": (a.host.cpu_model, b.host.cpu_model),
        "driver version": (a.nic.driver_version, b.nic.driver_version),
        "firmware": (a.nic.firmware, b.nic.firmware),
        "governor": (a.host.governor, b.host.governor),
        "MTU": (a.nic.mtu_bytes, b.nic.mtu_bytes),
        "qdisc": (a.nic.qdisc, b.nic.qdisc),
        "warm-up": (a.plan.warmup_s, b.plan.warmup_s),
        "profile": (a.plan.profile, b.plan.profile),
        "offloadbench": (a.tool_version, b.tool_version),
        "idle clock": (a.host.idle_source, b.host.idle_source),
        "CPUs under test": (a.bed.dut_cpus, b.bed.dut_cpus),
    }
    found = ["nothing: it is the same run twice"] if a.run_id == b.run_id else []
    found += [f"{name}: {x!s} -> {y!s}" for name, (x, y) in pairs.items() if x != y]
    common = a.definitions.keys() & b.definitions.keys()
    found += [
        f"the definition of {key.replace(':', ' ')}"
        for key in sorted(common)
        if a.definitions[key] != b.definitions[key]
    ]
    # a run of an older version recorded none of it, which is no difference
    both = a.nic.queues is not None and b.nic.queues is not None
    one, other = (nic_facts(run.nic) if both else {} for run in (a, b))
    for title, left, right in (
        ("NIC", one, other),
        ("sysctl", a.host.sysctls, b.host.sysctls),
        ("mitigation", a.host.mitigations, b.host.mitigations),
        ("NIC setting", a.nic.settings, b.nic.settings),
        ("tested route", _starts(a, b), _starts(b, a)),
    ):
        keys = sorted(left.keys() | right.keys())
        found += [f"{title} {k}: {left.get(k)} -> {right.get(k)}" for k in keys if left.get(k) != right.get(k)]
    return found


def nic_facts(nic: Nic) -> dict[str, str]:
    """What is recorded of a NIC beside its settings, as name -> text; byte queue limits move by themselves."""
    facts = _queue_facts("", nic.queues)
    if nic.duplex:
        facts["duplex"] = nic.duplex
    for device in nic.lowers:
        facts[f"{device.ifname} below {device.upper}"] = f"{device.driver} {device.driver_version} {device.firmware}"
        facts |= {
            f"{device.ifname} {name}": "on" if active else "off" for name, (active, _, _) in device.features.items()
        }
        facts |= {f"{device.ifname} {name}": str(value) for name, value in device.settings.items()}
        facts |= _queue_facts(f"{device.ifname} ", device.queues)
    return facts


def _queue_facts(device: str, queues: Queues | None) -> dict[str, str]:
    if queues is None:
        return {}
    facts = {"queues": f"{queues.rx} rx, {queues.tx} tx"}
    facts |= {f"interrupt of {irq.name}": f"CPU {irq.cpus}" for irq in queues.interrupts}
    facts |= {f"{queue} RPS": mask for queue, mask in queues.rps_cpus.items()}
    facts |= {f"{queue} XPS": mask for queue, mask in queues.xps_cpus.items()}
    return {device + name: text for name, text in facts.items()}


def _starts(run: Run, other: Run) -> dict[str, int | str | None]:
    """How TCP starts on the tested route; only what is set. Nothing where one file is of before it was recorded."""
    if run.route is None or other.route is None:
        return {}
    windows = {"initcwnd": run.route.initcwnd, "initrwnd": run.route.initrwnd}
    return {name: value for name, value in (windows | run.route.metrics).items() if value is not None}
