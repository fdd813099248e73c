"""Whether the settings that a trial was started with held until its window ended.

Whoever runs `ethtool -K`, `ip link set` or `sysctl -w` beside a trial makes it measure something else than its name
says. So the state of both ends is read before and after, and what links went through in between is taken from the
kernel's notifications, which show what was changed and changed back too. Nothing is done while the window lasts.
"""

from __future__ import annotations

from offloadbench.base.errors import FeatureError, OffloadbenchError
from offloadbench.bed.testbed import Bed
from offloadbench.engine.run.offloads import Applied
from offloadbench.kernel.netdev import device_state, link
from offloadbench.kernel.netdev.device_state import State
from offloadbench.kernel.netdev.link_events import LinkEvent, LinkEvents
from offloadbench.model import Nic
from offloadbench.roles.ends import End

_ANOTHER = "another device has its name, since it was removed and made anew, or renamed (interface index {})"


def check_as_found(end: End, found: Nic) -> None:
    """Whether the NIC is still as the run found it, before a trial changes it.

    Raises:
        FeatureError: somebody else has changed it since the run began.
    """
    state = device_state.read(end.ifname, end.namespace)
    recorded: State = {
        "MTU": found.mtu_bytes,
        "gso_max_segs": found.gso_max_segs,
        "gso_max_size": found.gso_max_size_bytes,
        **{name: "on" if bits[0] else "off" for name, bits in found.features.items() if len(bits) > 2 and not bits[2]},
    }
    changed = device_state.differences(recorded, state)
    if changed:
        raise FeatureError(
            f"{end.ifname} is not as this run found it: {_clauses(changed)}",
            "set it back, then offloadbench run --resume FILE",
        )


class ReadBack:
    """The settings of both ends from the moment the case was applied.

    Args:
        applied: what the case came to; the state of its devices is what the trial's record says.

    Raises:
        OffloadbenchError: a NIC is gone.
    """

    def __init__(self, bed: Bed, applied: Applied) -> None:
        self._dut, self._peer = bed.dut, bed.peer
        self._sysctls = list(bed.cable.sysctls)
        self._devices = applied.devices(bed.dut.ifname)
        self._before = self._read_dut()
        for name in self._devices:
            self._before[name] |= device_state.of_features(applied.after.get(name, {}))
        self._before[bed.dut.ifname] |= {
            "gso_max_segs": applied.gso_max_segs,
            "gso_max_size": applied.gso_max_size_bytes,
        }
        self._events = {namespace: LinkEvents(namespace) for namespace in {bed.dut.namespace, bed.peer.namespace}}

    def _read_dut(self) -> dict[str, State]:
        """What is changed -> its state."""
        found = {name: device_state.read(name, self._dut.namespace) for name in self._devices}
        return found | {self._dut.name: device_state.of_sysctls(self._sysctls, self._dut.namespace)}

    def open(self) -> None:
        """The window opens: what the toggle itself did to the link is over by now."""
        for events in self._events.values():
            events.take()
        for name in self._devices:
            state = device_state.of_link(link.read(name, self._dut.namespace))
            self._before[name] |= {key: state[key] for key in device_state.RESET_BY_TOGGLES}
        self._before[self._peer.name] = self._peer.state(self._sysctls)

    def changes(self) -> list[str]:
        """What has changed, as clauses: `eth1: MTU 1500 -> 1400`. Empty where everything held."""
        taken = {namespace: events.take() for namespace, events in self._events.items()}
        watched = [(name, name, self._dut.namespace) for name in self._devices]
        # a NIC of another host may have the name of one of this machine
        peer_nic = self._peer.ifname if self._peer.namespace is not None else ""
        watched += [(self._peer.name, peer_nic, self._peer.namespace), (self._dut.name, "", None)]
        passing = {
            what: _of_device(taken[namespace][0], ifname, self._before.get(what, {}))
            for what, ifname, namespace in watched
            if ifname and namespace in taken
        }
        try:
            after = self._read_dut()
            if self._peer.name in self._before:
                after[self._peer.name] = self._peer.state(self._sysctls)
        except OffloadbenchError as error:
            lost = {what: _lost(passing.get(what, []), self._before.get(what, {})) for what, _, _ in watched}
            return [f"{what}: {text}" for what, text in lost.items() if text] or [error.message]
        told: dict[str, str] = {}
        for what, _, _ in watched:
            before = self._before.get(what, {})
            changed = device_state.differences(before, after.get(what, {}))
            changed |= _changed_back(passing.get(what, []), before, changed)
            # of another device every setting may be another, and none was changed
            another = changed.get(device_state.INDEX)
            told[what] = _ANOTHER.format(another) if another else _clauses(changed)
        lines = [f"{what}: {clauses}" for what, clauses in told.items() if clauses]
        if not all(complete for _, complete in taken.values()):
            lines.append("links changed more often than the kernel could report")
        return lines

    def close(self) -> None:
        for events in self._events.values():
            events.close()


def _clauses(changed: dict[str, str]) -> str:
    return ", ".join(f"{name} {text}" for name, text in changed.items())


def _of_device(events: list[LinkEvent], ifname: str, before: State) -> list[LinkEvent]:
    """Those of one device, by whatever name, and of another that has taken its name."""
    index = before.get(device_state.INDEX)
    return [event for event in events if event.link.ifname == ifname or event.link.index == index]


def _lost(events: list[LinkEvent], before: State) -> str:
    """What became of a device that cannot be read any more; "" where nothing was told of it."""
    own = [event for event in events if event.link.index == before.get(device_state.INDEX)]
    if not own:
        return ""
    if own[-1].gone:
        return "removed, or moved to another namespace"
    name = own[-1].link.ifname
    return f"renamed to {name}" if name != before["name"] else ""


def _changed_back(events: list[LinkEvent], before: State, changed: dict[str, str]) -> dict[str, str]:
    """What was otherwise meanwhile and is as before again."""
    found: dict[str, str] = {}
    for event in events:
        for name, value in device_state.of_link(event.link).items():
            if name in before and value != before[name] and name not in changed:
                found.setdefault(name, f"{before[name]} -> {value} -> {before[name]}")
    if any(event.gone for event in events):
        found["device"] = "removed, and back"
    # the message does not say which
    features = before.keys() - device_state.of_link(events[0].link).keys() if events else set()
    if any(event.features for event in events) and not features & changed.keys():
        found["features"] = "changed, and changed back"
    return found
