"""Small made-up records for tests, with sensible values wherever a test does not care."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from offloadbench.files.packed_columns import Columns, pack_chains, pack_profile, pack_text
from offloadbench.model import (
    CaseDefinition,
    Evidence,
    FeatureRecord,
    Kallsyms,
    Load,
    PacketShapes,
    ProfileCounts,
    ProfileEvent,
    Run,
    Samples,
    Trial,
    WorkloadDefinition,
)

CLOCK = ProfileEvent(name="cpu-clock", quantity="kernel_cpu_time_ns", period=1_000_000)
INSTRUCTIONS = ProfileEvent(name="instructions", quantity="instructions", period=2_000_003)
_COUNTERS = (
    "cpu_idle_exact_s cpu_iowait_exact_s cpu_iowait_s "
    "cpu_user_s cpu_system_s cpu_softirq_s cpu_irq_s cpu_idle_s cpu_steal_s cpu_ticks_s tx_bytes "
    "tx_packets tx_dropped rx_bytes rx_packets tcp_in_segments tcp_out_segments tcp_retrans_segments "
    "tcp_in_csum_errors context_switches tool_cpu_s"
)
COUNTER_NAMES = _COUNTERS.split()

# address, mode, process, second, event, count, weight
ProfileRow = tuple[int, str, int, int, int, int, int]


def case(
    name: str, features: dict[str, bool], *, defining: tuple[str, ...] = (), gso_max_segs: int = 0
) -> CaseDefinition:
    return CaseDefinition(
        name=name,
        order=1,
        title=name,
        groups=[],
        features=features,
        defining=list(defining),
        gso_max_segs=gso_max_segs,
    )


def workload(name: str = "ftp-get", **parameters: object) -> WorkloadDefinition:
    return WorkloadDefinition(name=name, kind="ftp", title=name, parameters=dict(parameters))


def feature(name: str, *, active: bool, requested: bool | None = None, fixed: bool = False) -> FeatureRecord:
    return FeatureRecord(
        feature=name,
        requested=active if requested is None else requested,
        before=active,
        active=active,
        dragged=False,
        refused=False,
        fixed=fixed,
    )


def evidence(packets: dict[str, list[list[int]]], *, mtu_bytes: int = 1500, problem: str = "") -> Evidence:
    """Tracepoint -> rows [len, gso_size, ip_summed, count]."""
    return Evidence(
        window_s=0.2,
        mtu_bytes=mtu_bytes,
        packets=[PacketShapes(tracepoint=name, shapes=rows) for name, rows in packets.items()],
        problem=problem,
    )


def samples(rows: int = 2, interval_s: float = 1.0, **counters: float) -> Samples:
    """`rows` equal rows; counters that are not named are zero, except ticks: the whole interval, idle as the clock."""
    ticks = {"cpu_ticks_s": interval_s, "cpu_idle_s": counters.get("cpu_idle_exact_s", 0.0)}
    values = dict.fromkeys(COUNTER_NAMES, 0.0) | ticks | counters
    return Samples(
        t_s=[interval_s * (number + 1) for number in range(rows)],
        interval_s=[interval_s] * rows,
        late_s=[0.0] * rows,
        counters={name: [value] * rows for name, value in values.items()},
    )


def load(payload_bytes: int, interval_s: float) -> Load:
    return Load(
        clients=1,
        payload_bytes=payload_bytes,
        interval_s=interval_s,
        bytes_sent=payload_bytes,
        bytes_received=payload_bytes,
        transfers_complete=1,
        transfers_cut=0,
        cpu_s=0.0,
        settings={},
    )


def trial(**changes: object) -> Trial:
    """An ok trial without any capture."""
    plain = Trial(
        repeat=1,
        workload="ftp-get",
        case="tso",
        also_named=[],
        outcome="ok",
        reason="",
        started_utc="2024-01-01T00:00:00+00:00",
        warnings=[],
        features=[],
        gso_max_segs=65535,
        gso_max_size_bytes=65536,
    )
    return msgspec.structs.replace(plain, **changes)


def run(base: Run, trials: list[Trial], *, kallsyms: str = "", counts_super_packets: bool = False) -> Run:
    """The base's host, NIC and plan around other trials, on one CPU."""
    return msgspec.structs.replace(
        base,
        trials=trials,
        bed=msgspec.structs.replace(base.bed, dut_cpus=[0], counts_super_packets=counts_super_packets),
        kallsyms=Kallsyms(text=pack_text(kallsyms), ko_paths={}),
    )


def profile_counts(
    rows: list[ProfileRow],
    events: list[ProfileEvent],
    comms: tuple[str, ...] = ("ob-ftp-server",),
    chains: Sequence[Sequence[int]] = (),
) -> ProfileCounts:
    """`chains`: one per row, nearest caller first."""
    columns: Columns = {
        "address": np.array([row[0] for row in rows], dtype=np.uint64),
        "mode": np.array([row[1].encode() for row in rows], dtype="S1"),
        "process": np.array([row[2] for row in rows], dtype=np.uint16),
        "cpu": np.zeros(len(rows), dtype=np.uint16),
        "second": np.array([row[3] for row in rows], dtype=np.uint16),
        "event": np.array([row[4] for row in rows], dtype=np.uint8),
        "count": np.array([row[5] for row in rows], dtype=np.uint32),
        "weight": np.array([row[6] for row in rows], dtype=np.uint64),
    }
    if chains:
        columns["chain"] = np.arange(len(rows), dtype=np.uint32)
    return ProfileCounts(
        events=events,
        comms=list(comms),
        rows=len(rows),
        columns=pack_profile(columns),
        samples=sum(row[5] for row in rows),
        lost_samples=0,
        throttled=0,
        outside_window=0,
        chains=pack_chains(chains) if chains else "",
        chain_count=len(chains),
    )
