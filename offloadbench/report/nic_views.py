"""The NIC under test, its queues and the devices below it, as terms and texts."""

from __future__ import annotations

from collections.abc import Mapping

from offloadbench.base.units import format_bytes, format_rate
from offloadbench.definitions import catalog, nic_ability
from offloadbench.model import LowerDevice, Nic, Queues

Items = list[tuple[str, str]]
# what a reader asks first of a device below
_SHOWN = ("tx-tcp-segmentation", *nic_ability.RECEIVE)


def nic(found: Nic, kernel: str = "") -> Items:
    """Name, driver, speed, limits, queues.

    Args:
        kernel: release of the machine, as `uname -r` prints it.
    """
    return [
        ("Name", f"{found.name} ({found.ifname})"),
        ("Driver", f"{found.driver} {found.driver_version}".strip()),
        *_known(found.driver, kernel),
        ("Firmware", found.firmware or "none reported"),
        ("Bus", found.bus),
        ("Speed", _speed(found.speed_bits_per_s, found.duplex)),
        ("MTU", f"{found.mtu_bytes} bytes"),
        ("GSO limits", f"{found.gso_max_segs} segments, {format_bytes(found.gso_max_size_bytes)}"),
        ("Queueing discipline", found.qdisc),
        *_queues(found.queues),
        *((f"Sends through {device.ifname}", _lower(device)) for device in found.lowers),
        ("Not readable", "; ".join(found.problems) or "nothing"),
    ]


def settings(found: Nic) -> Items:
    """Rings, coalescing and channels, of the devices below as well."""
    below = [(f"{device.ifname} {name}", str(v)) for device in found.lowers for name, v in device.settings.items()]
    return [*((name, str(value)) for name, value in found.settings.items()), *below]


def _speed(bits_per_s: int, duplex: str) -> str:
    if bits_per_s <= 0:
        return "unknown"
    return f"{format_rate(bits_per_s)}{f', {duplex} duplex' if duplex else ''}"


def _known(driver: str, kernel: str) -> Items:
    known = catalog.driver(driver)
    if known is None:
        return [("Known of the driver", "nothing: its statistics are recorded and prove nothing")]
    return [("Known of the driver", "; ".join([known.title, *nic_ability.habits(known, kernel)]))]


def _queues(queues: Queues | None) -> Items:
    if queues is None:
        return []
    items = [("Queues", f"{queues.rx} to receive, {queues.tx} to transmit")]
    if queues.interrupts:
        text = "; ".join(
            f"{irq.name} ({irq.number}): CPU {irq.effective_cpus or irq.cpus}"
            f"{f' of {irq.cpus}' if irq.effective_cpus not in ('', irq.cpus) else ''}"
            for irq in queues.interrupts
        )
        items.append(("Interrupts", text))
    for title, masks in (("Receive packet steering", queues.rps_cpus), ("Transmit packet steering", queues.xps_cpus)):
        set_masks = {queue: mask for queue, mask in masks.items() if mask.strip("0,")}
        items.append((title, _each(set_masks, "CPU mask ") or "off"))
    if queues.bql_limit_bytes:
        items.append(("Byte queue limits", _each(queues.bql_limit_bytes, "", " bytes")))
    return items


def _each(values: Mapping[str, object], before: str, after: str = "") -> str:
    return "; ".join(f"{queue}: {before}{value}{after}" for queue, value in values.items())


def _lower(device: LowerDevice) -> str:
    states = [
        f"{name} {'on' if active else 'off'}{' (fixed)' if fixed else ''}"
        for name, (active, _, fixed) in device.features.items()
        if name in _SHOWN
    ]
    words = [
        f"{device.driver} {device.driver_version}".strip(),
        f"firmware {device.firmware}" if device.firmware else "",
        _speed(device.speed_bits_per_s, device.duplex) if device.speed_bits_per_s > 0 else "",
        f"below {device.upper}",
        ", ".join(states),
        *(f"{title}: {text}" for title, text in _queues(device.queues)),
        f"not readable: {', '.join(device.problems)}" if device.problems else "",
    ]
    return "; ".join(word for word in words if word)
