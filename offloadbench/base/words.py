"""Figures, shares and the names of modules as people read them, the same wherever they are written."""

from __future__ import annotations

SKID = "irq-off skid"
"""Clock samples that fell due while interrupts were off: the words for the module `irq_shadow`."""


def figure(value: float) -> str:
    """Three significant figures without exponents, at most three decimals: 3.71, 0.65, 12.3, 148."""
    size = abs(value)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 else 3
    return f"{value:.{decimals}f}"


def percent(ratio: float) -> str:
    """0.8261 -> '83 %'; small ones keep a decimal."""
    return f"{ratio * 100:.1f} %" if abs(ratio) < 0.0995 else f"{ratio * 100:.0f} %"


def share(ratio: float) -> str:
    """`percent` of something that is there, however little: never 0.0 %."""
    return percent(ratio) if ratio >= 0.0005 else "under 0.1 %"


def module_label(module: str) -> str:
    """The module as read by people; the irq-off skid is no place in the kernel."""
    return {
        "irq_shadow": f"{SKID} (not attributable)",
        "other": "no rule",
        "user": "user space",
        "mem": "memory management",
        "netdev": "net device core",
        "driver": "NIC driver",
        "driver_nic": "NIC drivers",
        "driver_tunnel": "tunnels: VXLAN, Geneve, WireGuard",
        "driver_stack": "bond, team, VLAN, bridge",
        "driver_virtual": "virtual devices: veth, tun, vhost",
        "skb": "socket buffers (skb)",
        "ip": "IP",
        "tcp": "TCP",
        "gso": "software segmentation (gso)",
        "checksum": "software checksum",
        "copy": "data copies",
        "zero": "zeroed memory",
    }.get(module, module)


def unit_per_byte(quantity: str) -> str:
    """The unit of value_per_byte."""
    return {"kernel_cpu_time_ns": "ns of CPU time per byte"}.get(quantity, f"{quantity} per byte")
