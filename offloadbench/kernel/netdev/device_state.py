"""What of a NIC decides what it sends, as names and values that can be compared: features, limits, MTU, link."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from offloadbench.kernel.netdev import features, link
from offloadbench.kernel.netdev.features import Feature
from offloadbench.kernel.netdev.link import Link
from offloadbench.kernel.system import sysctl

_CARRIER_CHANGES, _OPERSTATE = "carrier changes", "operational state"
# of every device another one in its namespace, while a name may come again
INDEX = "interface index"
# a driver may take its link down and up again for a toggle of features or MTU
RESET_BY_TOGGLES = (_CARRIER_CHANGES, _OPERSTATE)
State = dict[str, str | int]
_WANTED = " (asked for)"


def read(ifname: str, namespace: str | None = None) -> State:
    """The state of one NIC now: 6 ms.

    Raises:
        FeatureError, HostError: it is gone.
    """
    return of_link(link.read(ifname, namespace)) | of_features(features.read(ifname, namespace))


def of_link(found: Link) -> State:
    return {
        INDEX: found.index,
        "name": found.ifname,
        "link": "up" if found.up else "down",
        _OPERSTATE: found.operstate,
        _CARRIER_CHANGES: found.carrier_changes,
        "MTU": found.mtu_bytes,
        "gso_max_segs": found.gso.max_segs,
        "gso_max_size": found.gso.max_size_bytes,
        **found.other_limits,
        "qdisc": found.qdisc,
    }


def of_sysctls(names: Iterable[str], namespace: str | None = None) -> State:
    return {f"sysctl {name}": sysctl.read(name, namespace) or "absent" for name in names}


def of_features(found: Mapping[str, Feature]) -> State:
    """What is in force, and what was asked for where that is something else."""
    state: State = {}
    for name, feature in found.items():
        state[name] = _word(feature.active)
        if not feature.fixed:
            state[name + _WANTED] = _word(feature.wanted)
    return state


def _word(value: bool) -> str:
    return "on" if value else "off"


def differences(before: State, after: State) -> dict[str, str]:
    """Name -> `1500 -> 1400`, of what both have and is not the same, without what only follows from another."""
    changed = {
        name: f"{value} -> {after[name]}" for name, value in before.items() if name in after and after[name] != value
    }
    return {
        name: text
        for name, text in changed.items()
        if not (name.endswith(_WANTED) and name.removesuffix(_WANTED) in changed)
    }
