"""Whether two runs answer the same question, what else differs between them, and what was found to be the same."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import msgspec

from offloadbench.base.setting import Setting
from offloadbench.base.settings import SETTINGS, recorded
from offloadbench.base.units import format_bytes
from offloadbench.model import Nic, Queues, Run


def obstacles(a: Run, b: Run) -> list[str]:
    """Why the two runs do not answer the same question; empty when they do."""
    found = []
    if (a.nic.name, a.nic.driver) != (b.nic.name, b.nic.driver):
        found.append(f"other NIC: {a.nic.name} ({a.nic.driver}) and {b.nic.name} ({b.nic.driver})")
    if a.bed.kind != b.bed.kind:
        found.append(f"other testbed: {a.bed.kind} and {b.bed.kind}")
    found += [f"other {title}: {one} and {other}" for title, one, other in _other_settings(a, b, "question")]
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
    return found


def _other_settings(a: Run, b: Run, compare: str) -> list[tuple[str, str, str]]:
    """Title and both values of the settings that are compared in this way and differ."""
    return [
        (setting.title, *_apart_in_words(setting, one, other))
        for setting in SETTINGS
        if setting.compare == compare and (one := recorded(setting, a)) != (other := recorded(setting, b))
    ]


def _apart_in_words(setting: Setting, one: Any, other: Any) -> tuple[str, str]:
    """Two values for people, exact where they would read alike."""
    texts = setting.form(one), setting.form(other)
    return texts if texts[0] != texts[1] else (str(one), str(other))


def _case_names(run: Run) -> set[str]:
    return {name for trial in run.trials for name in (trial.case, *trial.also_named)}


# from here on the time between two runs is told as a difference
_APART_S = 3600.0
MACHINE, BOOT = "machine", "boot"


def _machine(run: Run) -> dict[str, object]:
    """What is recorded of the machine itself, by the name under which a difference is told."""
    host = run.host
    facts = {
        "kernel": host.kernel,
        "CPU": host.cpu_model,
        "CPUs": host.cpus,
        "memory": format_bytes(host.memory_bytes) if host.memory_bytes else "",
        "distribution": host.distribution,
        "hypervisor": host.virtualization,
        "perf": host.tools.get("perf", ""),
    }
    return {name: value for name, value in facts.items() if value}


def _same_machine(a: Run, b: Run) -> bool | None:
    """None where it is not recorded. A boot is of one machine, whatever a container says of itself."""
    if _same_boot(a, b):
        return True
    known = a.host.machine_id and b.host.machine_id
    return a.host.machine_id == b.host.machine_id if known else None


def _same_boot(a: Run, b: Run) -> bool | None:
    known = a.host.boot_id and b.host.boot_id
    return a.host.boot_id == b.host.boot_id if known else None


def _apart_s(runs: Sequence[Run]) -> float:
    """From the start of the first to the start of the last."""
    times = [datetime.datetime.fromisoformat(run.created_utc) for run in runs]
    return (max(times) - min(times)).total_seconds()


def _apart(seconds: float) -> str:
    """32400 -> '9 hours apart', in the largest unit of which there are two."""
    for unit, length_s in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit} apart"
    return f"{seconds:.0f} s apart"


def likeness(runs: Sequence[Run]) -> str:
    """What was compared between these runs and found to be the same, and what is not recorded, as a sentence."""
    base, others = runs[0], runs[1:]
    same, unknown = [], []
    for name, judge in ((MACHINE, _same_machine), (BOOT, _same_boot)):
        verdicts = {judge(base, other) for other in others}
        if verdicts == {True}:
            same.append(name)
        elif None in verdicts:
            unknown.append(name)
    recorded = [_machine(run) for run in runs]
    for name in dict.fromkeys(name for facts in recorded for name in facts):
        if any(name not in facts for facts in recorded):
            unknown.append(name)
        elif len({facts[name] for facts in recorded}) == 1:
            same.append(name)
    told = {text for other in others for text in _setting_differences(base, other)}
    same += [] if told else ["settings"]
    words = f"same {_listed(same)}" if same else "nothing of the machine is the same"
    words += f"; not recorded in every run: {_listed(unknown)}" if unknown else ""
    apart_s = _apart_s(runs)
    return words if apart_s >= _APART_S else f"{words}; {_apart(apart_s)}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def metadata_differences(a: Run, b: Run) -> list[str]:
    """What else differs between the machines, kernels and settings, as sentences. What one did not record is none."""
    found = ["nothing: it is the same run twice"] if a.run_id == b.run_id else []
    if _same_machine(a, b) is False:
        found.append("another machine")
    elif _same_boot(a, b) is False:
        found.append("another boot")
    apart_s = _apart_s([a, b])
    found += [_apart(apart_s)] if apart_s >= _APART_S else []
    one, other = _machine(a), _machine(b)
    found += [f"{name}: {one[name]} -> {other[name]}" for name in one if name in other and one[name] != other[name]]
    return [*found, *_setting_differences(a, b)]


def _setting_differences(a: Run, b: Run) -> list[str]:
    pairs = {
        "kernel command line": (a.host.command_line, b.host.command_line),
        "driver version": (a.nic.driver_version, b.nic.driver_version),
        "firmware": (a.nic.firmware, b.nic.firmware),
        "governor": (a.host.governor, b.host.governor),
        "MTU": (a.nic.mtu_bytes, b.nic.mtu_bytes),
        "qdisc": (a.nic.qdisc, b.nic.qdisc),
        "offloadbench": (a.tool_version, b.tool_version),
        "idle clock": (a.host.idle_source, b.host.idle_source),
        "CPUs under test": (a.bed.dut_cpus, b.bed.dut_cpus),
    }
    found = [f"{name}: {x!s} -> {y!s}" for name, (x, y) in pairs.items() if x != y]
    found += [f"{title}: {one} -> {other}" for title, one, other in _other_settings(a, b, "difference")]
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
