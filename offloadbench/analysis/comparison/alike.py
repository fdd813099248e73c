"""What the load side of a lab link makes some cases pay for and others not, which no NIC and no real peer would.

Wake-ups: a veth pair hands packets to the receiver's NAPI, which polls here, except when its sender has TSO
(veth_skb_is_eligible_for_gro in drivers/net/veth.c): those go through the backlog of the receiver's CPU (RPS), and the
CPU under test sends an interrupt whenever that backlog has run empty.

Acknowledgements: a real receiver gets segments, however they were cut, and acknowledges two by two or what its GRO
merged. On a lab link super-packets arrive whole, and each is acknowledged once.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

from offloadbench.analysis.trial import metrics
from offloadbench.base.sentence import Sentence, say
from offloadbench.model import Trial

# an interrupt to another CPU takes 0.2 us on hardware and 2 to 3 us on a virtual one: 0.4 to 6 % of a CPU
_WOKEN_PER_S = 20_000.0
# as many segments received cost as much
_RECEIVED_PER_S = 5_000.0
# cases whose rates differ by less pay alike
_UNLIKE = 2.0


def woken_per_s(trial: Trial) -> float | None:
    """Interrupts that the load side's CPUs got from others; None where it was not counted."""
    peer = trial.peer
    return peer.woken / peer.interval_s if peer and peer.woken is not None and peer.interval_s > 0 else None


def received_per_gb(trial: Trial) -> float | None:
    """Packets that came back for each GB of payload; None without samples or load."""
    payload = metrics.payload_bytes(trial)
    if trial.samples is None or not payload:
        return None
    return sum(trial.samples.counters["rx_packets"]) / (payload / metrics.BYTES_PER_GB)


def _received_per_s(trial: Trial) -> float:
    assert trial.samples is not None
    return sum(trial.samples.counters["rx_packets"]) / sum(trial.samples.interval_s)


def _medians(trials: Sequence[Trial], rate: Callable[[Trial], float | None]) -> Mapping[str, float]:
    """Case -> median of its trials, where it is known."""
    found: dict[str, list[float]] = {}
    for trial in trials:
        value = rate(trial)
        if value is not None:
            found.setdefault(trial.case, []).append(value)
    return {case: statistics.median(values) for case, values in found.items()}


def unlike(trials: Sequence[Trial]) -> Iterator[Sentence]:
    """Sentences about cases of one workload on one lab link.

    Args:
        trials: those that findings rest on.
    """
    woken = _medians(trials, woken_per_s)
    for case, rate in woken.items():
        least = min(woken, key=lambda name: woken[name])
        if rate > _WOKEN_PER_S and rate > _UNLIKE * woken[least]:
            yield say(
                "in case {case} the CPUs under test woke those of the load side many times as often as in case {least} "
                "(`peer.woken` of the trials). No NIC charges its host for that: CPU s/GB of case {case} is too high "
                "beside the others, and what it saves is understated. `--nic lab` wakes no one.",
                case=case,
                least=least,
            )
    received = _medians(trials, received_per_gb)
    often = [trial.case for trial in trials if trial.samples and _received_per_s(trial) > _RECEIVED_PER_S]
    for case, rate in received.items():
        most = max(received, key=lambda name: received[name])
        if most in often and received[most] > _UNLIKE * rate:
            yield say(
                "in case {case} the load side sent less than half as many acknowledgements per byte as in case {most} "
                "(`rx_packets` of the samples): it gets super-packets whole and acknowledges each once, where a real "
                "receiver gets segments in both. What case {case} saves against case {most} is overstated by their "
                "cost.",
                case=case,
                most=most,
            )
