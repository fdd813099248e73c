"""Figures of one trial, derived from what was captured. Ratios are of the device under test's CPUs."""

from __future__ import annotations

from dataclasses import dataclass

from offloadbench.model import Run, Samples, Trial

# Ethernet 14, IPv4 20, TCP 20, TCP timestamps 12: what every further segment of a super-packet adds at layer 2
SEGMENT_HEADER_BYTES = 66
BYTES_PER_GB = 1e9
# Ethernet header, VLAN tag and frame check sequence on top of the MTU
LINK_HEADER_BYTES = 22


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures of the measured window. NaN where a trial has none.

    Attributes:
        throughput_bits_per_s: at layer 2, every segment with its headers, without FCS, preamble and gap.
        goodput_bits_per_s: payload that the load side received.
        cpu_s_per_gb: busy CPU seconds of the device under test per 10^9 bytes of payload.
        packets_per_s, bytes_per_packet: as handed to the driver.
        peer_cpu_ratio: busy share of all CPUs of the load side, where that is another host.
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
    peer_cpu_ratio: float


def cable_bytes(tx_bytes: float, tx_packets: float, tcp_segments: float, *, counts_super_packets: bool) -> float:
    """Bytes at layer 2 from a NIC's counters; a super-packet's missing headers are added for each further segment."""
    if not counts_super_packets:
        return tx_bytes
    return tx_bytes + max(0.0, tcp_segments - tx_packets) * SEGMENT_HEADER_BYTES


def counts_super_packets(run: Run, tx_bytes: float, tx_packets: float) -> bool:
    """Whether the NIC took a super-packet for one packet: its driver is known to, or no frame is that long.

    Emulated NICs count otherwise than the hardware that they stand for (QEMU's e1000e).
    """
    return run.bed.counts_super_packets or tx_bytes > tx_packets * (run.nic.mtu_bytes + LINK_HEADER_BYTES)


def busy_s(samples: Samples, cpus: int, rows: slice = slice(None)) -> float:
    """Busy CPU seconds: time that was neither idle nor stolen by the hypervisor."""
    total = sum(samples.interval_s[rows]) * cpus
    idle = sum(samples.counters["cpu_idle_exact_s"][rows])
    return max(0.0, total - idle - sum(samples.counters["cpu_steal_s"][rows]))


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
            counts_super_packets=counts_super_packets(run, total["tx_bytes"], total["tx_packets"]),
        )
        throughput = on_cable * 8 / window_s
    nan = float("nan")
    payload = payload_bytes(trial)
    busy = busy_s(samples, cpus)
    ticks = total["cpu_ticks_s"] or nan
    tool = trial.tool.cpu_s + trial.tool.perf_cpu_s if trial.tool else nan
    return Metrics(
        throughput_bits_per_s=throughput,
        goodput_bits_per_s=payload * 8 / window_s if trial.load else nan,
        cpu_busy_ratio=busy / (window_s * cpus),
        cpu_user_ratio=total["cpu_user_s"] / ticks,
        cpu_system_ratio=total["cpu_system_s"] / ticks,
        cpu_softirq_ratio=total["cpu_softirq_s"] / ticks,
        cpu_s_per_gb=busy / (payload / BYTES_PER_GB) if payload else nan,
        packets_per_s=total["tx_packets"] / window_s,
        bytes_per_packet=total["tx_bytes"] / total["tx_packets"] if total["tx_packets"] else nan,
        retrans_segments=total["tcp_retrans_segments"],
        csum_errors=total["tcp_in_csum_errors"],
        tx_dropped=total["tx_dropped"],
        tool_cpu_ratio=tool / (window_s * cpus),
        steal_ratio=total["cpu_steal_s"] / ticks,
        peer_cpu_ratio=_peer_cpu_ratio(trial),
    )
