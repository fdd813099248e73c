"""What the kernel counts of any device, whatever its driver: errors, drops, carrier changes and transmit timeouts.

Sources: struct rtnl_link_stats64 (include/uapi/linux/if_link.h), IFLA_CARRIER_DOWN_COUNT (since 4.16), and
/sys/class/net/IFNAME/queues/tx-N/tx_timeout, which dev_watchdog (net/sched/sch_generic.c) counts up.
"""

from __future__ import annotations

from typing import Any

from offloadbench.kernel.netdev import link, queues

PREFIX = "link."
_DROPS = ("rx_dropped", "tx_dropped", "rx_missed_errors", "rx_fifo_errors", "rx_over_errors")
_ERRORS = (
    "rx_errors",
    "tx_errors",
    "rx_length_errors",
    "rx_crc_errors",
    "rx_frame_errors",
    "tx_aborted_errors",
    "tx_carrier_errors",
    "tx_fifo_errors",
    "tx_heartbeat_errors",
    "tx_window_errors",
)
_OTHERS = ("rx_packets", "tx_packets", "collisions", "rx_nohandler")
COUNTS = (*_DROPS, *_ERRORS, *_OTHERS)
CARRIER_LOSSES, TX_TIMEOUTS = "carrier_down_count", "tx_timeout"
NAMES = (*COUNTS, CARRIER_LOSSES, TX_TIMEOUTS)


def read(ifname: str, namespace: str | None = None) -> dict[str, int]:
    """`link.<name>` -> value; a count that this kernel does not have is absent.

    Raises:
        HostError: there is no such device.
    """
    found = from_message(link.message(ifname, namespace))
    timeouts = queues.tx_timeouts(ifname, namespace)
    return found if timeouts is None else found | {PREFIX + TX_TIMEOUTS: timeouts}


def from_message(message: Any) -> dict[str, int]:
    """The counts in an RTM_NEWLINK message (rtnetlink(7))."""
    counts = message.get_attr("IFLA_STATS64") or {}
    found = {PREFIX + name: int(counts[name]) for name in COUNTS if name in counts}
    losses = message.get_attr("IFLA_CARRIER_DOWN_COUNT")
    return found if losses is None else found | {PREFIX + CARRIER_LOSSES: int(losses)}
