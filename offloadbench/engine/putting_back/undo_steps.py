"""How each kind of step in a journal is taken back, and what a person would type for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from offloadbench.base.errors import HostError, RestoreError
from offloadbench.bed.remote import ssh
from offloadbench.kernel.netdev import features, irq, lending, link, neighbour, rings, route
from offloadbench.kernel.netdev.route import SilencedTcp
from offloadbench.kernel.system import netns, sysctl
from offloadbench.kernel.trace import tracefs
from offloadbench.roles.messages import AskSysctl, SetSysctl, SysctlThere
from offloadbench.traffic.iscsi import open_iscsi

Step = dict[str, Any]
Tell = Callable[[str], None]


def _undo_features(step: Step, tell: Tell) -> None:
    if _nic_is_gone(step, tell):
        return
    found = features.read(step["ifname"], step["namespace"])
    differing = {name: value for name, value in step["wanted"].items() if found[name].wanted != value}
    if differing:
        # wanted bits only: active ones are masked by dependencies
        features.write_wanted(step["ifname"], differing, step["namespace"])
        after = features.read(step["ifname"], step["namespace"])
        stuck = [name for name, value in differing.items() if after[name].wanted != value]
        if stuck:
            raise RestoreError(f"{step['ifname']}: {', '.join(stuck)} did not go back")
        tell(f"{step['ifname']}: features put back: {', '.join(sorted(differing))}")


def _undo_gso_max_segs(step: Step, tell: Tell) -> None:
    if _nic_is_gone(step, tell):
        return
    if link.read(step["ifname"], step["namespace"]).gso.max_segs != step["max_segs"]:
        link.set_gso_max_segs(step["ifname"], step["max_segs"], step["namespace"])
        tell(f"{step['ifname']}: gso_max_segs put back to {step['max_segs']}")


def _undo_mtu(step: Step, tell: Tell) -> None:
    if _nic_is_gone(step, tell):
        return
    if link.read(step["ifname"], step["namespace"]).mtu_bytes != step["mtu_bytes"]:
        link.set_mtu(step["ifname"], step["mtu_bytes"], step["namespace"])
        tell(f"{step['ifname']}: MTU put back to {step['mtu_bytes']}")


def _undo_rings(step: Step, tell: Tell) -> None:
    if _nic_is_gone(step, tell):
        return
    found = rings.read(step["ifname"], step["namespace"])
    if {"rx": found.rx, "tx": found.tx} != step["rings"]:
        rings.write(step["ifname"], step["rings"], step["namespace"])
        tell(f"{step['ifname']}: rings put back to rx {step['rings']['rx']}, tx {step['rings']['tx']}")


def _undo_namespace(step: Step, tell: Tell) -> None:
    if netns.exists(step["namespace"]):
        netns.remove(step["namespace"])
        tell(f"namespace {step['namespace']} removed, with its links")


def _undo_folder(step: Step, tell: Tell) -> None:
    if Path(step["path"]).exists():
        shutil.rmtree(step["path"])
        tell(f"{step['path']} removed")


def _undo_tracefs(step: Step, tell: Tell) -> None:
    del step
    if tracefs.unmount_tracefs():
        tell("tracefs unmounted")


def _undo_sysctl(step: Step, tell: Tell) -> None:
    name, value, namespace = step["name"], step["value"], step["namespace"]
    if namespace is not None and not netns.exists(namespace):
        tell(f"namespace {namespace} is gone, and its {name} with it")
        return
    if sysctl.read(name, namespace) != value:
        sysctl.write(name, value, namespace)
        if sysctl.read(name, namespace) != value:
            raise RestoreError(f"{name} did not go back to {value}")
        tell(f"{name} put back to {value}")


def _undo_host_sysctl(step: Step, tell: Tell) -> None:
    where, name, value = step["where"], step["name"], step["value"]
    if not where.startswith(ssh.PREFIX):
        tell(f"{where}: {name} goes back to {value} when the line there ends; see `sysctl {name}` on that host")
        return
    connection = ssh.parse(where).connect()
    try:
        # the role that set it puts it back as soon as its connection is gone
        if connection.ask(AskSysctl(name), SysctlThere).value != value:
            if connection.ask(SetSysctl(name, value), SysctlThere).value != value:
                raise RestoreError(f"{where}: {name} did not go back to {value}")
            tell(f"{where}: {name} put back to {value}")
    finally:
        connection.close()


def _undo_lent_nic(step: Step, tell: Tell) -> None:
    if lending.take_back(step["ifname"], step["namespace"], step["was"]):
        tell(f"{step['ifname']} brought back from namespace {step['namespace']}")


def _undo_address(step: Step, tell: Tell) -> None:
    if not _nic_is_gone(step, tell) and link.deconfigure(
        step["ifname"], step["address"], step["namespace"], up=step["up"]
    ):
        tell(f"{step['ifname']}: address {step['address']} taken away")


def _undo_irq_affinity(step: Step, tell: Tell) -> None:
    if not irq.exists(step["irq"]):
        tell(f"interrupt {step['irq']} is gone, and its CPUs with it")
        return
    if irq.affinity(step["irq"]) != step["cpus"]:
        irq.set_affinity(step["irq"], step["cpus"])
        tell(f"interrupt {step['irq']} back on CPU {step['cpus']}")


def _undo_iscsi_sessions(step: Step, tell: Tell) -> None:
    for name in open_iscsi.leave_behind_nothing(step["prefix"]):
        tell(f"logged out of {name}")


def _undo_route(step: Step, tell: Tell) -> None:
    if _namespace_is_there(step) and route.remove_host_route(step["address"], step["namespace"]):
        tell(f"route to {step['address']} removed")


def _undo_neighbour(step: Step, tell: Tell) -> None:
    if _namespace_is_there(step) and neighbour.remove(step["address"], step["ifname"], step["namespace"]):
        tell(f"{step['ifname']}: neighbour {step['address']} removed")


def _silence(step: Step) -> SilencedTcp:
    return SilencedTcp(step["address"], step["port"], step["local_port"])


def _undo_rule(step: Step, tell: Tell) -> None:
    if _namespace_is_there(step) and _silence(step).end(step["namespace"]):
        tell(f"ip rule against resets to {step['address']} removed")


def _namespace_is_there(step: Step) -> bool:
    return step["namespace"] is None or netns.exists(step["namespace"])


def _by_present_name(step: Step, tell: Tell) -> Step:
    """The step for the name that its device has now, where somebody has renamed it; journals of older versions do not
    say how to find it."""
    if "index" not in step or not _namespace_is_there(step):
        return step
    name = link.name_of(step["index"], step["namespace"])
    if name in ("", step["ifname"]):
        return step
    tell(f"{step['ifname']} is called {name} now")
    return {**step, "ifname": name}


def _nic_is_gone(step: Step, tell: Tell) -> bool:
    namespace = step["namespace"]
    try:
        if _namespace_is_there(step):
            link.read(step["ifname"], namespace)
            return False
    except HostError:
        pass
    tell(f"{step['ifname']} is gone, and its settings with it")
    return True


_UNDO: dict[str, Callable[[Step, Tell], None]] = {
    "features": _undo_features,
    "gso_max_segs": _undo_gso_max_segs,
    "mtu": _undo_mtu,
    "rings": _undo_rings,
    "namespace": _undo_namespace,
    "folder": _undo_folder,
    "tracefs": _undo_tracefs,
    "sysctl": _undo_sysctl,
    "host_sysctl": _undo_host_sysctl,
    "lent_nic": _undo_lent_nic,
    "address": _undo_address,
    "irq_affinity": _undo_irq_affinity,
    "iscsi_sessions": _undo_iscsi_sessions,
    "route": _undo_route,
    "neighbour": _undo_neighbour,
    "rule": _undo_rule,
}


def _in_namespace(step: Step) -> str:
    return f"ip netns exec {step['namespace']} " if step.get("namespace") else ""


def _features_command(step: Step) -> str:
    bits = " ".join(f"{name} {'on' if value else 'off'}" for name, value in step["wanted"].items())
    return f"ethtool -K {step['ifname']} {bits}"


# without the namespace in which they are typed
_COMMANDS: dict[str, Callable[[Step], str]] = {
    "features": _features_command,
    "gso_max_segs": lambda step: f"ip link set dev {step['ifname']} gso_max_segs {step['max_segs']}",
    "mtu": lambda step: f"ip link set dev {step['ifname']} mtu {step['mtu_bytes']}",
    "rings": lambda step: f"ethtool -G {step['ifname']} rx {step['rings']['rx']} tx {step['rings']['tx']}",
    "namespace": lambda step: f"ip netns del {step['namespace']}",
    "folder": lambda step: f"rm -r {step['path']}",
    "tracefs": lambda step: "umount /sys/kernel/tracing",
    "sysctl": lambda step: f"sysctl -w {step['name']}='{step['value']}'",
    "host_sysctl": lambda step: f"sysctl -w {step['name']}='{step['value']}' on {step['where']}",
    "lent_nic": lambda step: f"ip link set dev {step['ifname']} netns 1",
    "address": lambda step: f"ip address flush dev {step['ifname']} to {step['address']}",
    "irq_affinity": lambda step: f"echo {step['cpus']} > /proc/irq/{step['irq']}/smp_affinity_list",
    "iscsi_sessions": lambda step: "iscsiadm -m session; iscsiadm -m node -T NAME --logout",
    "route": lambda step: f"ip route del {step['address']}",
    "neighbour": lambda step: f"ip neigh del {step['address']} dev {step['ifname']}",
    "rule": lambda step: _silence(step).command,
}


def _command_for(step: Step) -> str:
    """What a person would type to take the step back."""
    if step.get("kind") not in _COMMANDS:
        return f"undo {json.dumps(step)}"
    command = _COMMANDS[step["kind"]](step)
    # a namespace is removed from outside
    return command if step["kind"] == "namespace" else _in_namespace(step) + command


def take_back(steps: list[Step], tell: Tell) -> RestoreError | None:
    """Take steps back, the last first, each tried even when another fails.

    Returns:
        What could not be taken back, with the commands still needed; None when all is as it was.
    """
    failures = []
    commands = []
    for step in reversed(steps):
        present = step
        try:
            present = _by_present_name(step, tell)
            _UNDO[present["kind"]](present, tell)
        # whatever went wrong with one step, the others must be tried
        except Exception as error:
            failures.append(f"{step.get('kind')}: {error}")
            commands.append(_command_for(present))
    if not failures:
        return None
    return RestoreError(
        f"could not put back everything: {'; '.join(failures)}", f"still needed: {' ; '.join(commands)}"
    )
