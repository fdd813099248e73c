"""What a NIC can, as the planner and the trial see it: its own features, and those of the devices below it.

Reception happens in the NIC: of a VLAN, a bond, a team, a bridge or a tunnel the receive features are those of the
devices below, and they are toggled there. Transmit features are toggled on the device under test, and are worth nothing
where the device below lacks them: the kernel then does the work on the way down, and the bit above still reads on
(net/8021q/vlan_dev.c, vlan_dev_fix_features keeps software segmentation).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from offloadbench.definitions import catalog, feature_dependencies
from offloadbench.model import Coupling, Driver, LowerDevice, Nic, Quirk

RECEIVE = ("rx-checksum", "rx-gro", "rx-lro", "rx-gro-hw")
# what a device below must have one of, and what is worth nothing above it without
_SEGMENTATION = catalog.ALIASES["tso"]
_TRANSMIT = {
    ("tx-scatter-gather",): ("tx-scatter-gather",),
    feature_dependencies.TX_CHECKSUMS: feature_dependencies.TX_CHECKSUMS,
    ("tx-tcp-segmentation",): _SEGMENTATION,
}

States = dict[str, list[bool]]
_READ_IN = re.compile(r"\bLinux (\d{1,6}(?:\.\d{1,6}){1,2})")


@dataclass(frozen=True, slots=True)
class Ability:
    """What decides which cases a NIC can hold.

    Attributes:
        states: feature -> [active, wanted, fixed], with what lies below taken in.
        couplings: rules of the drivers in question.
        limits: what cannot be held or judged here, as sentences.
        habits: what a person should know of the drivers, as sentences.
    """

    states: States
    couplings: tuple[Coupling, ...]
    limits: list[str]
    habits: list[str]


def leaves(lowers: list[LowerDevice]) -> list[LowerDevice]:
    """Those that send through no other: the NICs."""
    uppers = {device.upper for device in lowers}
    return [device for device in lowers if device.ifname not in uppers]


def of_nic(nic: Nic, kernel: str = "") -> Ability:
    """What a NIC can as it was found.

    Args:
        kernel: release as `uname -r` prints it; "" where it is not known.
    """
    nics = leaves(nic.lowers)
    names = dict.fromkeys([nic.driver, *(device.driver for device in nic.lowers)])
    known = {name: catalog.driver(name) for name in names}
    below = {device.ifname: device.features for device in nics}
    states, limits = combined(nic.ifname, nic.features, below, known[nic.driver])
    limits += [
        f"driver {name or '(none)'} is not known here: its statistics are recorded and prove nothing"
        for name, definition in known.items()
        if definition is None
    ]
    told = [f"{device.upper} sends through {device.ifname} ({device.driver})" for device in nic.lowers]
    told += [f"{name}: {habit}" for name, found in known.items() if found for habit in habits(found, kernel)]
    couplings = tuple(coupling for found in known.values() if found for coupling in found.couplings)
    return Ability(states, couplings, limits, told)


def habits(driver: Driver, kernel: str = "") -> list[str]:
    """What a person should know of a driver, as sentences.

    Where another version of the kernel was read than the one that runs, that is said. A quirk that is bound to versions
    is told of those alone, or with its versions where the kernel is not known.

    Args:
        kernel: release as `uname -r` prints it; "" where it is not known.
    """
    running = _version(kernel)
    resets = " or ".join(driver.reinitialises)
    found = [*([f"toggling {resets} stops and starts the NIC or its queues"] if resets else []), *driver.habits]
    read = _READ_IN.search(driver.source)
    if found and running and read and running[:2] != _version(read[1])[:2]:
        found.append(f"so in Linux {read[1]}, whose source was read; this is {running[0]}.{running[1]}")
    for quirk in driver.quirks:
        if not running:
            found.append(f"{quirk.text} ({_span(quirk)})")
        elif (not quirk.since or running >= _version(quirk.since)) and (
            not quirk.until or running < _version(quirk.until)
        ):
            found.append(quirk.text)
    return found


def _version(text: str) -> tuple[int, ...]:
    """`6.12.117-1-amd64` -> (6, 12, 117); empty where there is none."""
    match = re.match(r"\d{1,6}(\.\d{1,6}){1,2}", text)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _span(quirk: Quirk) -> str:
    if quirk.since and quirk.until:
        return f"Linux {quirk.since} until before {quirk.until}"
    return f"since Linux {quirk.since}" if quirk.since else f"before Linux {quirk.until}"


def combined(
    ifname: str,
    features: Mapping[str, list[bool]],
    below: Mapping[str, Mapping[str, list[bool]]],
    driver: Driver | None = None,
) -> tuple[States, list[str]]:
    """The features of a device and of the NICs below it as one.

    Args:
        features, below: [active, wanted, fixed] by feature; below, by NIC.
        driver: what is known of the device's own.

    Returns:
        The states, and what cannot hold above because a NIC below lacks it, as sentences.
    """
    states = {name: list(state) for name, state in features.items()}
    notes: list[str] = []
    tunnel = driver is not None and not driver.hardware
    if not below and not tunnel:
        return states, notes
    for name in RECEIVE:
        found = [nic[name] for nic in below.values() if name in nic]
        if found and name in states:
            states[name] = [
                all(active for active, _, _ in found),
                all(wanted for _, wanted, _ in found),
                any(fixed for _, _, fixed in found),
            ]
    for nic, bits in below.items():
        for means, names in _TRANSMIT.items():
            if (tunnel and names == _SEGMENTATION) or any(bits[name][0] for name in means if name in bits):
                continue
            said = [name for name in means if name in states and states[name][0]]
            notes += [f"{nic} below {ifname} has {name} off: {ifname} says on, and the kernel does it" for name in said]
            states |= {name: [False, False, True] for name in names if name in states}
    if driver is not None and tunnel:
        notes += _tunnelled(ifname, states, below, driver)
    return states, notes


def _tunnelled(ifname: str, states: States, below: Mapping[str, Mapping[str, list[bool]]], driver: Driver) -> list[str]:
    """Who segments what a tunnel hands down, as sentences; its bits hold only where every NIC below can."""
    means = driver.segments_with
    able = {nic: [name for name in means if name in bits and bits[name][0]] for nic, bits in below.items()}
    notes = [
        f"{ifname} is a tunnel and has no hardware: {nic} below it segments, by {' and '.join(names)}, the packets "
        "that it can take; the kernel segments the others"
        for nic, names in able.items()
        if names
    ]
    if able and all(able.values()):
        return notes
    states |= {name: [False, False, True] for name in _SEGMENTATION if name in states}
    if not means:
        return [*notes, f"{ifname} is a tunnel and has no hardware: the kernel segments in it, whatever its bits say"]
    wanted = " and ".join(means)
    lacking = [nic for nic, names in able.items() if not names]
    why = f"{', '.join(lacking)} below it has {wanted} off" if lacking else "what it sends through is not known"
    return [*notes, f"{ifname} is a tunnel and has no hardware, and {why}: {ifname} says TSO on, the kernel segments"]


def counts_super_packets(nic: Nic) -> bool:
    """Whether the link's own counters take a super-packet for one packet with one set of headers."""
    known = catalog.driver(nic.driver)
    if known is None:
        return False
    if known.tx_packets == "lowers":
        below = [catalog.driver(device.driver) for device in leaves(nic.lowers)]
        return bool(below) and all(found is not None and found.tx_packets == "super-packets" for found in below)
    return known.tx_packets == "super-packets"
