"""Which cases paid for waking the load side, where both ends are CPUs of one machine.

A veth pair hands packets to the receiver's NAPI, which polls here, except when its sender has TSO
(veth_skb_is_eligible_for_gro in drivers/net/veth.c): those go through the backlog of the receiver's CPU (RPS), and the
CPU under test sends an interrupt whenever that backlog has run empty. No NIC charges its host for that.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from offloadbench.model import Trial

# an interrupt to another CPU takes 0.2 us on hardware and 2 to 3 us on a virtual one: 0.4 to 6 % of a CPU
_NOTED_PER_S = 20_000.0
# cases whose rates differ by less pay alike
_UNLIKE = 2.0


def per_second(trial: Trial) -> float | None:
    """Interrupts that the load side's CPUs got from others; None where it was not counted."""
    peer = trial.peer
    return peer.woken / peer.interval_s if peer and peer.woken is not None and peer.interval_s > 0 else None


def unlike(workload: str, usable: Sequence[Trial]) -> Iterator[str]:
    """A sentence for each case that paid for wake-ups which others of the workload did not pay for.

    Args:
        usable: trials of the run that findings rest on.
    """
    rates: dict[str, list[float]] = {}
    for trial in usable:
        rate = per_second(trial)
        if trial.workload == workload and rate is not None:
            rates.setdefault(trial.case, []).append(rate)
    medians = {case: statistics.median(values) for case, values in rates.items()}
    if len(medians) < 2:
        return
    least = min(medians, key=lambda case: medians[case])
    for case, rate in medians.items():
        if rate > _NOTED_PER_S and rate > _UNLIKE * medians[least]:
            yield (
                f"in case {case} the CPUs under test woke those of the load side {rate:,.0f} times a second, in case "
                f"{least} {medians[least]:,.0f} times. No NIC charges its host for that, so CPU s/GB of case {case} is "
                "too high beside the others, and what it saves is understated; `--nic lab` wakes no one."
            )
