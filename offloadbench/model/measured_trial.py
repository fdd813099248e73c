"""What one trial captured."""

from __future__ import annotations

from typing import Any, Literal

from offloadbench.model.device import DriverStatistics
from offloadbench.model.frozen import Frozen


class FeatureRecord(Frozen, frozen=True, kw_only=True):
    """One feature bit in one trial.

    Attributes:
        requested: what the case asked for; None when the case did not name it.
        before, active: the active bit before and after the case was applied.
        dragged: the kernel moved it although nobody asked (a dependency).
        refused: asked for, changeable, and yet not so afterwards.
        fixed: the driver does not let it be changed.
    """

    feature: str
    requested: bool | None
    before: bool
    active: bool
    dragged: bool
    refused: bool
    fixed: bool


class PacketShapes(Frozen, frozen=True, kw_only=True):
    """Packets seen by one tracepoint on the tested NIC, as counts of (len, gso_size, ip_summed).

    Attributes:
        shapes: rows [len_bytes, gso_size_bytes, ip_summed, count]; -1 where the tracepoint has no field.
            ip_summed: 0 none, 1 unnecessary, 2 complete, 3 partial (include/linux/skbuff.h).
    """

    tracepoint: str
    shapes: list[list[int]]


class Evidence(Frozen, frozen=True, kw_only=True):
    """What left and entered the driver during a moment of the warm-up."""

    window_s: float
    mtu_bytes: int
    packets: list[PacketShapes]
    problem: str = ""


class Samples(Frozen, frozen=True, kw_only=True):
    """One row a second, as columns of equal length; counters are differences over the row's interval.

    Attributes:
        t_s: end of the interval, from the opening of the window (monotonic clock).
        interval_s: the interval's own measured length.
        late_s: how far behind its schedule the row was taken.
        counters: name -> column. CPU times cover the device under test's CPUs only.
    """

    t_s: list[float]
    interval_s: list[float]
    late_s: list[float]
    counters: dict[str, list[float]]


class ProfileEvent(Frozen, frozen=True, kw_only=True):
    """An event that perf really recorded.

    Attributes:
        name: as perf names it in the file.
        quantity: what a sum of weights means: instructions, cycles or kernel_cpu_time_ns.
        period: weight of one sample.
    """

    name: str
    quantity: str
    period: int


class ProfileCounts(Frozen, frozen=True, kw_only=True):
    """Samples counted by (address, mode, process, cpu, second, event).

    Attributes:
        columns: base64 of zlib of the columns, each little-endian, in the order of `offloadbench.files.run_file`.
        comms: process names, indexed by the process column.
        own: for each of them whether it was a process of the run; empty in older files. A name may stand twice then.
        modes: the letters of the mode column: K kernel, U user, H hypervisor, others as perf prints them.
        chains, chain_count: call chains where they were recorded: base64 of zlib of the length of each (u2), then the
            start addresses of the calling functions (u8), the nearest caller first, kernel only. The rows then have a
            column `chain`.
        counted: event -> what a plain count (perf stat) of the same window and CPUs says, in the event's unit.
        counting: what may be wrong with `counted`; "" when nothing is.
    """

    events: list[ProfileEvent]
    comms: list[str]
    rows: int
    columns: str
    samples: int
    lost_samples: int
    throttled: int
    outside_window: int
    chains: str = ""
    chain_count: int = 0
    counted: dict[str, float] = {}
    counting: str = ""
    own: list[bool] = []


class Load(Frozen, frozen=True, kw_only=True):
    """What was moved, as its receivers saw it.

    Attributes:
        clients: FTP clients, or iSCSI sessions.
        payload_bytes, interval_s: payload received between the two marks of the window, and their distance.
        bytes_sent, bytes_received: whole trial, as the sender and as the receivers counted; of an end that is not ours,
            what it has confirmed with status GOOD.
        cpu_s: of the load side's processes between the marks; None where they are not ours.
        transfers_complete: files with the server's 226 and the full length, or SCSI commands with status GOOD;
            transfers_cut: in flight at the end.
        problems: what a reader must know about these figures, as sentences.
        disk_read_bytes: that the server had to fetch from a disk between the marks; None where nothing is served from
            files, where it is not counted, and in older files.
        latency_us: percentile -> time from a transfer's submission to its end, over those that ended in the window.
    """

    clients: int
    payload_bytes: int
    interval_s: float
    bytes_sent: int
    bytes_received: int
    transfers_complete: int
    transfers_cut: int
    cpu_s: float | None
    settings: dict[str, Any]
    latency_us: dict[str, float] = {}
    problems: list[str] = []
    disk_read_bytes: int | None = None


class WireDirection(Frozen, frozen=True, kw_only=True):
    """One direction of the emulated cable between the window's marks.

    Attributes:
        frames, segments, l2_bytes: what the cable carried; of a super-packet, the segments that it stands for. netem
            counts no bytes of what it loses.
        dropped: frames that the receiver had no room for.
        lost_segments: lost on the cable, as its setting asks; overflow_segments: refused by the full queue
            in front of the cable.
    """

    frames: int
    segments: int
    l2_bytes: int
    dropped: int
    lost_segments: int = 0
    overflow_segments: int = 0


class WireReport(Frozen, frozen=True, kw_only=True):
    """The emulated cable's own account of the window.

    Attributes:
        asleep_ratio: share of the time that the wire process had nothing to do: its margin.
        behind_s: link time lost because the process could not keep up.
        late_max_s, late_p99_s: how late frames left, against the cable's schedule. None of these four where the kernel
            emulates: it does not tell.
    """

    interval_s: float
    asleep_ratio: float | None
    behind_s: float | None
    late_max_s: float | None
    late_p99_s: float | None
    to_peer: WireDirection
    to_dut: WireDirection


class PeerReport(Frozen, frozen=True, kw_only=True):
    """CPU time of the load side in the window: of its host, or of its CPUs where both ends are this machine.

    An emulated link's process and the tool may share these CPUs (`BedRecord.shared_cpus`). Older runs have it of hosts
    only.

    Attributes:
        cpu_busy_s: CPU time of all its `cpus` that was neither idle nor stolen, in ticks of its timer.
        clock_offset_s: its monotonic clock minus that of the device under test, true to `clock_uncertainty_s`; None
            where the load side is many hosts.
        woken: interrupts that its CPUs got from others, where both ends are this machine: each is sent by a CPU, mostly
            one under test; None in older files.
    """

    interval_s: float
    cpus: int
    cpu_busy_s: float
    cpu_stolen_s: float
    clock_offset_s: float | None = None
    clock_uncertainty_s: float | None = None
    woken: int | None = None


class TcpTrace(Frozen, frozen=True, kw_only=True):
    """One TCP connection over one window, read at a fixed pace from sock_diag (offloadbench.kernel.tcp.tcp_monitor).

    Attributes:
        connection: `198.18.0.1:34567 > 198.18.0.2:3260`, the watched end first.
        side: `dut` or `peer`; "" where nobody gave the ends a role.
        period_us: from tick to tick.
        ticks_due, ticks_taken: of the time in which the connection was there; a tick is taken in its own period or
            never. A row a tick that was taken, or of those in the middle of the window where a run of many trials keeps
            no more.
        missed_asleep, missed_reading: ticks of the window that the monitor missed because it was woken late (its CPU
            was in the kernel for another), and because a reading took longer (a sender in send locks its socket).
        late_p99_us, late_max_us: how far behind its tick a row was read; the maximum counts what ticks were missed for.
        cpu_s: of the monitor's process in its window, which it may have shared among several connections.
        window_s: length of the monitor's window, which rows of a short connection do not fill.
        names: of the columns, in the order of their storage; see `offloadbench.files.packed_columns.TCP_COLUMNS`.
        columns: base64 of zlib of the columns (`offloadbench.files.packed_columns.unpack_tcp`).
        sent_segments: in all ticks that were taken; None in older files, whose rows are all of them.
    """

    connection: str
    side: str
    congestion_control: str
    period_us: int
    ticks_due: int
    ticks_taken: int
    late_p99_us: float
    late_max_us: float
    cpu_s: float
    window_s: float
    names: list[str]
    rows: int
    columns: str
    sent_segments: int | None = None
    missed_asleep: int = 0
    missed_reading: int = 0


class PacketTrace(Frozen, frozen=True, kw_only=True):
    """Packets of one connection over one window, captured at the sender (offloadbench.analysis.sender.sent_packets).

    Attributes:
        names, rows, columns: base64 of zlib of the columns, see `offloadbench.files.packed_columns.pack_columns`.
        left_out: packets of the window beyond the first `rows`.
    """

    sender_port: int
    receiver_port: int
    names: list[str]
    rows: int
    columns: str
    left_out: int


class Waits(Frozen, frozen=True, kw_only=True):
    """When the threads of a sender gave up their CPU to wait, for how long, and where in the kernel.

    Attributes:
        window_s: how long switches were recorded.
        threads: the threads that were watched.
        chains: distinct call chains of kernel functions, the outermost (the system call) first.
        rows, columns: base64 of zlib of the waits, columns in the order of
            `offloadbench.files.packed_columns.WAIT_COLUMNS`.
        unfinished: waits that had not ended when the window did; they are in no row.
        lost_switches: that perf could not write down in time.
        perf_cpu_s: CPU time of perf itself in the window.
    """

    window_s: float
    threads: list[int]
    chains: list[list[str]]
    rows: int
    columns: str
    unfinished: int
    lost_switches: int
    perf_cpu_s: float


class CpuUse(Frozen, frozen=True, kw_only=True):
    """CPU time of processes over the window, as the scheduler keeps it; no profile is needed.

    A process's time includes the softirqs that ran on top of it, except where the kernel keeps them apart
    (CONFIG_IRQ_TIME_ACCOUNTING).

    Attributes:
        own_s: of the run's processes that may run on the measured CPUs.
        others_s: process name -> of all other processes that may run there, and had ended by neither reading; they may
            have run on other CPUs.
    """

    interval_s: float
    own_s: float
    others_s: dict[str, float]


class ForeignUse(Frozen, frozen=True, kw_only=True):
    """What processes of others took of the measured CPUs.

    Attributes:
        ratio: of the CPUs' time, idle included; a lower bound where there is no profile.
        by_process: name -> ratio, the largest first. Without a profile only an upper bound: others may have run on
            other CPUs too.
        profiled: whether samples tell.
    """

    ratio: float
    by_process: dict[str, float]
    profiled: bool


class ToolCost(Frozen, frozen=True, kw_only=True):
    """CPU seconds of offloadbench's own processes inside the window; drawing is part of it."""

    cpu_s: float
    perf_cpu_s: float
    on_dut_cpus: bool


class Trial(Frozen, frozen=True, kw_only=True):
    """One case of one workload, once.

    Attributes:
        tcp: the followed connections of the sender.
        lower_features: device below the one under test -> its features, where the case touched them.
        statistics: of the driver, or of the drivers below a VLAN, bond, team or bridge; peer_statistics: of the peer's
            NIC, where it was read.
        tcp_counters, peer_tcp_counters: what TCP's counters of the two ends grew by over the window
            (offloadbench.kernel.counters.tcp_statistics); they cover the whole namespace. Empty in older files.
        method_weights: event -> method -> weight: how the samples found their modules when the run was made; derived
            again, by the profile of the day, wherever the run is read.
        foreign: as it was judged when the run was made; None where it was not known, or in a file of an earlier
            version, of which it is derived.
    """

    repeat: int
    workload: str
    case: str
    also_named: list[str]
    outcome: Literal["ok", "skipped", "failed"]
    reason: str
    started_utc: str
    warnings: list[str]
    features: list[FeatureRecord]
    gso_max_segs: int
    gso_max_size_bytes: int
    evidence: Evidence | None = None
    window_s: float = 0.0
    samples: Samples | None = None
    profile: ProfileCounts | None = None
    load: Load | None = None
    wire: WireReport | None = None
    peer: PeerReport | None = None
    tool: ToolCost | None = None
    cpu_use: CpuUse | None = None
    foreign: ForeignUse | None = None
    tcp: list[TcpTrace] = []
    waits: Waits | None = None
    packets: PacketTrace | None = None
    method_weights: dict[str, dict[str, int]] = {}
    lower_features: dict[str, list[FeatureRecord]] = {}
    statistics: list[DriverStatistics] = []
    peer_statistics: list[DriverStatistics] = []
    tcp_counters: dict[str, int] = {}
    peer_tcp_counters: dict[str, int] = {}
