"""Figures of one trial, derived from what was captured. Ratios are of the device under test's CPUs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from offloadbench.analysis.trial import headers
from offloadbench.model import Run, Samples, Trial

BYTES_PER_GB = 1e9
# Ethernet header, VLAN tag and frame check sequence on top of the MTU
LINK_HEADER_BYTES = 22
_Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures of the measured window. NaN where a trial has none.

    Attributes:
        throughput_bits_per_s: at layer 2, every segment with its headers, without FCS, preamble and gap.
        goodput_bits_per_s: payload that the load side received.
        cpu_s_per_gb: busy CPU seconds of the device under test per 10^9 bytes of payload.
        cpu_busy_low_ratio, cpu_busy_high_ratio: bounds of cpu_busy_ratio, of which no counter tells how much the
            hypervisor took of it (see `busy`).
        packets_per_s, bytes_per_packet: as handed to the driver.
        peer_cpu_ratio: busy share of all CPUs of the load side, with what shares them.
        cpu_iowait_ratio: idle time in which a process of the CPU waited for the disk; NaN in older files.
    """

    throughput_bits_per_s: float
    goodput_bits_per_s: float
    cpu_busy_ratio: float
    cpu_user_ratio: float
    cpu_system_ratio: float
    cpu_softirq_ratio: float
    cpu_s_per_gb: float
    packets_per_s: float
    bytes_per_packet: float
    retrans_segments: float
    csum_errors: float
    tx_dropped: float
    tool_cpu_ratio: float
    steal_ratio: float
    cpu_busy_low_ratio: float
    cpu_busy_high_ratio: float
    peer_cpu_ratio: float
    cpu_iowait_ratio: float


def cable_bytes(
    tx_bytes: float, tx_packets: float, tcp_segments: float, header_bytes: int, *, counts_super_packets: bool
) -> float:
    """Bytes at layer 2 from a NIC's counters; a super-packet's missing headers are added for each further segment.

    Args:
        header_bytes: of a segment at layer 2; see `offloadbench.analysis.trial.headers`.
    """
    if not counts_super_packets:
        return tx_bytes
    return tx_bytes + max(0.0, tcp_segments - tx_packets) * header_bytes


def counts_super_packets(run: Run, tx_bytes: float, tx_packets: float) -> bool:
    """Whether the NIC took a super-packet for one packet: its driver is known to, or no frame is that long.

    Emulated NICs count otherwise than the hardware that they stand for (QEMU's e1000e).
    """
    return run.bed.counts_super_packets or tx_bytes > tx_packets * (run.nic.mtu_bytes + LINK_HEADER_BYTES)


def busy(available_s: npt.ArrayLike, idle_s: npt.ArrayLike, steal_s: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Busy CPU seconds: time that was not idle, without what the hypervisor took of it.

    Steal is time that a virtual CPU could have run and waited for the host. While it waits to be woken, the kernel's
    idle clock still runs (kernel/time/tick-sched.c stops it in the first interrupt): this steal is idle time too, and
    taken off twice it left a CPU that was 7 % busy with less than no time; 0.17 +- 0.04 of the steal was outside the
    idle time there. No counter tells the two apart; steal is shared out between idle and other time as these are.
    `busy_bounds_s` gives what it can be at least and at most.

    Args:
        available_s: lengths of intervals, of all CPUs together; idle_s and steal_s have the same shape.
    """
    available, idle = np.asarray(available_s, dtype=float), np.asarray(idle_s, dtype=float)
    awake = np.maximum(available - idle, 0.0)
    # steal comes in ticks: a second may hold more than one of it
    return np.asarray(awake * np.maximum(1 - np.asarray(steal_s, dtype=float) / available, 0.0))


def busy_by_second(samples: Samples, cpus: int) -> npt.NDArray[np.float64]:
    """Busy CPU seconds of every sample, shape (samples,)."""
    return busy(*_times(samples, cpus))


def busy_s(samples: Samples, cpus: int) -> float:
    """Busy CPU seconds of a window, see `busy`."""
    return float(busy_by_second(samples, cpus).sum())


def busy_bounds_s(samples: Samples, cpus: int) -> tuple[float, float]:
    """The busy time of a window if all that the hypervisor took was taken from busy time, and if none of it was."""
    return _bounds_s(*_times(samples, cpus))


def clock_gap_ratio(samples: Samples, cpus: int) -> float:
    """Idle time by the idle clock less that of /proc/stat (idle and iowait), as a share of the CPUs' time.

    /proc/stat shows the idle clock's own sums, in units of 10 ms: more than that is a fault of the reading. Files of
    earlier versions left out the idle time in which a process waited for the disk. NaN where nothing was counted.
    """
    available_s = sum(samples.interval_s) * cpus
    ticked_s = sum(samples.counters.get("cpu_idle_s", [math.nan]))
    return (sum(samples.counters["cpu_idle_exact_s"]) - ticked_s) / available_s if available_s else math.nan


def _bounds_s(available_s: _Seconds, idle_s: _Seconds, steal_s: _Seconds) -> tuple[float, float]:
    awake_s = float(available_s.sum()) - float(idle_s.sum())
    return max(0.0, awake_s - float(steal_s.sum())), max(0.0, awake_s)


def _times(samples: Samples, cpus: int) -> tuple[_Seconds, _Seconds, _Seconds]:
    idle, steal = (np.array(samples.counters[name], dtype=float) for name in ("cpu_idle_exact_s", "cpu_steal_s"))
    return np.array(samples.interval_s, dtype=float) * cpus, idle, steal


def payload_bytes(trial: Trial) -> float:
    """Payload of the measured window: the load side's rate over the window's length; 0 without load."""
    if trial.load is None or trial.load.interval_s <= 0:
        return 0.0
    return trial.load.payload_bytes / trial.load.interval_s * trial.window_s


def _peer_cpu_ratio(trial: Trial) -> float:
    peer = trial.peer
    return peer.cpu_busy_s / (peer.interval_s * peer.cpus) if peer and peer.interval_s > 0 else float("nan")


def of_trial(run: Run, trial: Trial) -> Metrics | None:
    """The figures of a trial; None for one that captured no window."""
    samples = trial.samples
    if samples is None or not samples.t_s or trial.window_s <= 0:
        return None
    cpus = len(run.bed.dut_cpus)
    window_s = sum(samples.interval_s)
    total = {name: sum(column) for name, column in samples.counters.items()}
    segments = total["tcp_out_segments"] + total["tcp_retrans_segments"]
    if trial.wire is not None:
        throughput = trial.wire.to_peer.l2_bytes * 8 / trial.wire.interval_s
    else:
        on_cable = cable_bytes(
            total["tx_bytes"],
            total["tx_packets"],
            segments,
            headers.of_trial(run, trial).layer2_bytes,
            counts_super_packets=counts_super_packets(run, total["tx_bytes"], total["tx_packets"]),
        )
        throughput = on_cable * 8 / window_s
    nan = float("nan")
    payload = payload_bytes(trial)
    times = _times(samples, cpus)
    busy_time_s, (low, high) = float(busy(*times).sum()), _bounds_s(*times)
    ticks = total["cpu_ticks_s"] or nan
    tool = trial.tool.cpu_s + trial.tool.perf_cpu_s if trial.tool else nan
    return Metrics(
        throughput_bits_per_s=throughput,
        goodput_bits_per_s=payload * 8 / window_s if trial.load else nan,
        cpu_busy_ratio=busy_time_s / (window_s * cpus),
        cpu_user_ratio=total["cpu_user_s"] / ticks,
        cpu_system_ratio=total["cpu_system_s"] / ticks,
        cpu_softirq_ratio=total["cpu_softirq_s"] / ticks,
        cpu_s_per_gb=busy_time_s / (payload / BYTES_PER_GB) if payload else nan,
        packets_per_s=total["tx_packets"] / window_s,
        bytes_per_packet=total["tx_bytes"] / total["tx_packets"] if total["tx_packets"] else nan,
        retrans_segments=total["tcp_retrans_segments"],
        csum_errors=total["tcp_in_csum_errors"],
        tx_dropped=total["tx_dropped"],
        tool_cpu_ratio=tool / (window_s * cpus),
        steal_ratio=total["cpu_steal_s"] / ticks,
        cpu_busy_low_ratio=low / (window_s * cpus),
        cpu_busy_high_ratio=high / (window_s * cpus),
        peer_cpu_ratio=_peer_cpu_ratio(trial),
        cpu_iowait_ratio=total.get("cpu_iowait_exact_s", nan) / (window_s * cpus),
    )
