"""The data of the house: definitions read from TOML, and what a run captured.

Frozen, with units in the names. Raw figures only: rates, shares and verdicts are derived by
`offloadbench.analysis`, so that a better statistic can re-read an old run. msgspec gives the JSON and
TOML decoding, and its messages name the path of what is wrong.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

FORMAT: Final = "offloadbench-run"
# 1: first version.
FORMAT_VERSION = 1


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """Immutable; fields by name only."""


class Strict(Frozen, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A definition written by hand: a misspelt key is an error, not a silent default."""


# ---------------------------------------------------------------- definitions (TOML)


class CaseDefinition(Strict, frozen=True, kw_only=True):
    """A case: the state of the offloads that a trial runs in (profiles/cases/*.toml).

    Attributes:
        features: kernel feature name -> wanted bit; absent features stay as found.
        gso_max_segs: 0 = as found; 1 = the socket builds no super-packets at all.
        defining: the features without which the case would run under a false name.
    """

    name: str
    order: int
    title: str
    groups: list[str]
    features: dict[str, bool]
    defining: list[str]
    gso_max_segs: int = 0


class WorkloadDefinition(Strict, frozen=True, kw_only=True):
    """A workload: parameters of one kind of traffic (workloads/*.toml)."""

    name: str
    kind: Literal["ftp", "iscsi", "stream"]
    title: str
    parameters: dict[str, Any]


class Leaf(Strict, frozen=True, kw_only=True):
    """The finest module: every sample lands in exactly one leaf."""

    name: str
    floor: str
    title: str = ""


class Rule(Strict, frozen=True, kw_only=True):
    """Whatever matches one of the patterns belongs to the leaf."""

    leaf: str
    match: list[str]


class Profile(Strict, frozen=True, kw_only=True):
    """An attribution profile (profiles/*.toml): leaves, rules that are tried from top to bottom, and roll-ups.

    Attributes:
        extends: a profile whose rules follow after these, and whose leaves, floors and lists hold where this has none.
        floors: floor -> its title.
        groups: name shown -> leaves that it sums; leaves in no group are shown as they are.
        names: files of name tables, beside the profile.
        modules: names of loadable modules (shell wildcards); they come before the path of the .ko.
        functions: function names (wildcards), for sources below `function_folders` and where the source is unknown.
        files: source paths, and paths of .ko files, in the kernel tree (wildcards).
        helpers: source files of data structures that everybody uses, under the leaf that they mostly work for.
        prefixes: beginnings of function names; the longest wins.
        irq_shadow: symbols where clock samples pile up that fell due while interrupts were off.
        generic: leaves of work that is done for others; the second view charges it to the caller's module.
    """

    name: str
    title: str
    extends: str = ""
    floors: dict[str, str] = {}
    leaves: list[Leaf] = []
    groups: dict[str, list[str]] = {}
    names: list[str] = []
    modules: list[Rule] = []
    function_folders: list[str] = []
    functions: list[Rule] = []
    files: list[Rule] = []
    helpers: list[Rule] = []
    prefixes: list[Rule] = []
    irq_shadow: list[str] = []
    generic: list[str] = []


# ---------------------------------------------------------------- what a run captured


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
        columns: base64 of zlib of the columns, each little-endian, in the order of `offloadbench.runfile`.
        comms: process names, indexed by the process column.
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


class Load(Frozen, frozen=True, kw_only=True):
    """What was moved, as its receivers saw it.

    Attributes:
        clients: FTP clients, or iSCSI sessions.
        payload_bytes, interval_s: payload received between the two marks of the window, and their distance.
        bytes_sent, bytes_received: whole trial, as the sender and as the receivers counted.
        transfers_complete: files with the server's 226 and the full length, or SCSI commands with status GOOD;
            transfers_cut: in flight at the end.
        latency_us: percentile -> time from a transfer's submission to its end, over those that ended in the window.
    """

    clients: int
    payload_bytes: int
    interval_s: float
    bytes_sent: int
    bytes_received: int
    transfers_complete: int
    transfers_cut: int
    cpu_s: float
    settings: dict[str, Any]
    latency_us: dict[str, float] = {}


class WireDirection(Frozen, frozen=True, kw_only=True):
    """One direction of the emulated cable between the window's marks.

    Attributes:
        frames, segments, l2_bytes: what the cable carried; of a super-packet, the segments that it stands for.
        dropped: frames that the receiver had no room for.
        lost_segments: lost on the cable, as `BedRecord.loss_ratio` asks; overflow_segments: refused by the full queue
            in front of the cable.
    """

    frames: int
    segments: int
    l2_bytes: int
    dropped: int
    lost_segments: int = 0
    overflow_segments: int = 0


class WireReport(Frozen, frozen=True, kw_only=True):
    """The wire process's own account of the window.

    Attributes:
        asleep_ratio: share of the time it had nothing to do: its margin.
        behind_s: link time lost because the process could not keep up.
        late_max_s, late_p99_s: how late frames left, against the cable's schedule.
    """

    interval_s: float
    asleep_ratio: float
    behind_s: float
    late_max_s: float
    late_p99_s: float
    to_peer: WireDirection
    to_dut: WireDirection


class TcpTrace(Frozen, frozen=True, kw_only=True):
    """One TCP connection over one window, read at a fixed pace from sock_diag (offloadbench.kernel.tcpmonitor).

    Attributes:
        connection: `198.18.0.1:34567 > 198.18.0.2:3260`, the watched end first.
        side: `dut` or `peer`; "" where nobody gave the ends a role.
        period_us: from tick to tick.
        ticks_due, ticks_taken: of the time in which the connection was there; a tick is taken in its own period or
            never. A row a tick that was taken.
        late_p99_us, late_max_us: how far behind its tick a row was read; the maximum counts what ticks were missed for.
        cpu_s: of the monitor's process in its window, which it may have shared among several connections.
        window_s: length of the monitor's window, which rows of a short connection do not fill.
        names: of the columns, in the order of their storage; see `offloadbench.runfile.TCP_COLUMNS`.
        columns: base64 of zlib of the columns (`offloadbench.runfile.unpack_tcp`).
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


class Waits(Frozen, frozen=True, kw_only=True):
    """When the threads of a sender gave up their CPU to wait, for how long, and where in the kernel.

    Attributes:
        window_s: how long switches were recorded.
        threads: the threads that were watched.
        chains: distinct call chains of kernel functions, the outermost (the system call) first.
        rows, columns: base64 of zlib of the waits, columns in the order of `offloadbench.runfile.WAIT_COLUMNS`.
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


class ToolCost(Frozen, frozen=True, kw_only=True):
    """CPU seconds of offloadbench's own processes inside the window; drawing is part of it."""

    cpu_s: float
    perf_cpu_s: float
    on_dut_cpus: bool


class Trial(Frozen, frozen=True, kw_only=True):
    """One case of one workload, once.

    Attributes:
        tcp: the followed connections of the sender.
        method_weights: event -> method -> weight: how the samples found their modules when the run was made; derived
            again, by the profile of the day, wherever the run is read.
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
    tool: ToolCost | None = None
    tcp: list[TcpTrace] = []
    waits: Waits | None = None
    method_weights: dict[str, dict[str, int]] = {}


class PlannedCase(Frozen, frozen=True, kw_only=True):
    """A case as it will run here: cases that come to the same state on this NIC run once, under all names."""

    definition: CaseDefinition
    also_named: list[str]
    skip_reason: str = ""


class PlannedTrial(Frozen, frozen=True, kw_only=True):
    repeat: int
    workload: str
    case: str


class Plan(Frozen, frozen=True, kw_only=True):
    """Everything that decides what is measured; two runs with the same plan answer the same question.

    Attributes:
        precision_ratio: blocks are added until every headline interval is that narrow; 0 = as many as `repeats` says.
        max_repeats: where adding ends; 0 without precision.
    """

    cases: list[PlannedCase]
    workloads: list[WorkloadDefinition]
    repeats: int
    duration_s: int
    warmup_s: float
    seed: int
    order: list[PlannedTrial]
    profile: bool
    call_graph: bool = False
    waits: bool = False
    precision_ratio: float = 0.0
    max_repeats: int = 0


class Nic(Frozen, frozen=True, kw_only=True):
    """The NIC under test as it was found.

    Attributes:
        features: name -> [active, wanted, fixed] as found.
        settings: ring and coalescing values by their ethtool names, where the driver has them.
        problems: what could not be read, and why.
    """

    name: str
    ifname: str
    driver: str
    driver_version: str
    firmware: str
    bus: str
    mtu_bytes: int
    speed_bits_per_s: int
    gso_max_segs: int
    gso_max_size_bytes: int
    tso_max_segs: int
    qdisc: str
    features: dict[str, list[bool]]
    settings: dict[str, int]
    problems: list[str]


class BedRecord(Frozen, frozen=True, kw_only=True):
    """Where the run took place.

    Attributes:
        counts_super_packets: the NIC's counters count a super-packet as one packet with one set of headers.
        shared_cpus: parts of the bed that had to share CPUs, as sentences.
        loss_ratio: of segments, at random, in each direction by itself; loss_seed: of that randomness.
        queue_bytes: what may wait in front of the cable before it drops; 0: nothing is dropped.
    """

    kind: str
    line_rate_bits_per_s: int
    rtt_s: float
    dut_cpus: list[int]
    wire_cpus: list[int]
    peer_cpus: list[int]
    tool_cpus: list[int]
    counts_super_packets: bool
    shared_cpus: list[str]
    settings: dict[str, Any]
    loss_ratio: float = 0.0
    loss_seed: int = 0
    queue_bytes: int = 0


class Route(Frozen, frozen=True, kw_only=True):
    """A unicast route, as far as it decides how TCP starts.

    `initcwnd` and `initrwnd` are segments, None where the kernel's default holds; `ifname` is empty where the route has
    several next hops.
    """

    family: Literal["inet", "inet6"]
    destination: str
    gateway: str
    ifname: str
    initcwnd: int | None
    initrwnd: int | None


class Host(Frozen, frozen=True, kw_only=True):
    """The machine under test."""

    kernel: str
    command_line: str
    distribution: str
    cpu_model: str
    cpus: int
    memory_bytes: int
    virtualization: str
    governor: str
    clocksource: str
    mitigations: dict[str, str]
    sysctls: dict[str, str]
    tools: dict[str, str]
    idle_source: str
    tick_quantum_s: float


class Kallsyms(Frozen, frozen=True, kw_only=True):
    """The kernel's symbols when the run was made; addresses change at every boot.

    Attributes:
        text: base64 of lzma of /proc/kallsyms, text symbols only.
        ko_paths: module -> path of its .ko, from modinfo.
        sources: base64 of lzma of one source path per line of `text`, from this very kernel's debug information;
            "" where it was not installed.
    """

    text: str
    ko_paths: dict[str, str]
    sources: str = ""


class Run(Frozen, frozen=True, kw_only=True):
    """A run file.

    Attributes:
        sweep: axis -> value, where the run is one point of a sweep (`offloadbench.engine.sweep`).
        definitions: kind:name -> sha256 of the definition's content, of every case, workload and profile it rests on.
    """

    format: Literal["offloadbench-run"]
    format_version: int
    run_id: str
    created_utc: str
    finished_utc: str
    tool_version: str
    command: list[str]
    host: Host
    nic: Nic
    bed: BedRecord
    plan: Plan
    kallsyms: Kallsyms
    trials: list[Trial]
    warnings: list[str]
    sweep: dict[str, Any] = {}
    definitions: dict[str, str] = {}
