"""Whether the NIC sent at all, second by second: traffic can stand still without any counter of trouble."""

from __future__ import annotations

from offloadbench.model import Samples

# drivers that fetch their counters from a firmware do so every second or two (be2net, bnx2x, mlx5 for some)
_LEAST_S = 3.0


def at_end(samples: Samples) -> bool:
    """Whether the last second of the window was one without a packet sent."""
    packets = samples.counters.get("tx_packets", ())
    return len(packets) > 0 and packets[-1] == 0


def told(samples: Samples, ifname: str) -> str:
    """The longest stretch of the window without a packet sent, as a clause; "" where there is none of 3 s."""
    longest, began_s = (0.0, 0.0), 0.0
    for ended_s, packets in zip(samples.t_s, samples.counters.get("tx_packets", ()), strict=False):
        if packets:
            began_s = ended_s
        elif ended_s - began_s > longest[1] - longest[0]:
            longest = began_s, ended_s
    first_s, last_s = longest
    if last_s - first_s < _LEAST_S:
        return ""
    return f"{ifname} counted no packet sent from second {first_s:.0f} to {last_s:.0f} of the window"
