"""A run file: the plan, the machine, and the trials."""

from __future__ import annotations

from typing import Any, Final, Literal

from offloadbench.model.definitions import CaseDefinition, WorkloadDefinition
from offloadbench.model.device import LowerDevice, Queues
from offloadbench.model.emulated_link import EmulatedLink
from offloadbench.model.frozen import Frozen
from offloadbench.model.measured_trial import Trial

FORMAT: Final = "offloadbench-run"
# 1: first version.
FORMAT_VERSION = 1


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
    capture: bool = False
    precision_ratio: float = 0.0
    max_repeats: int = 0


class Nic(Frozen, frozen=True, kw_only=True):
    """The NIC under test as it was found.

    Attributes:
        features: name -> [active, wanted, fixed] as found.
        settings: ring, coalescing and channel values by their ethtool names, where the driver has them.
        problems: what could not be read, and why.
        duplex: `full` or `half`; "" where the NIC has none.
        lowers: devices through which it sends, where it is a VLAN, bond, team or bridge; the nearest first.
        module: the kernel module bound to its device, as sysfs names it, often of a driver that is built in too; ""
            where it names none, as of a virtual device.
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
    duplex: str = ""
    queues: Queues | None = None
    lowers: list[LowerDevice] = []
    module: str = ""


class BedRecord(EmulatedLink, frozen=True, kw_only=True):
    """Where the run took place.

    Attributes:
        counts_super_packets: the NIC's counters count a super-packet as one packet with one set of headers.
        shared_cpus: parts of the bed that had to share CPUs, as sentences.
        peer: the load side as `--peer` named it; empty where the bed is both ends.
    """

    kind: str
    dut_cpus: list[int]
    wire_cpus: list[int]
    peer_cpus: list[int]
    tool_cpus: list[int]
    counts_super_packets: bool
    shared_cpus: list[str]
    settings: dict[str, Any]
    peer: str = ""


class Block(Frozen, frozen=True, kw_only=True):
    """What was drawn anew before a block of trials; a block that a resumed run finished has an entry for each part.

    Processes, ports and hash seeds are drawn anew for every trial; the offloads are set anew for every trial.

    Attributes:
        testbed: `built` with the run, or when it was resumed; `rebuilt`: torn down and built again, with the same names
            and addresses; `kept`: the same as in the block before.
        kept_reason: why it was kept; "" otherwise.
        build_s: what building took, tearing down the one before included.
        loss_seed: of the emulated cable's losses in this block; 0 where there are none.
    """

    repeat: int
    began_utc: str
    testbed: Literal["built", "rebuilt", "kept"]
    kept_reason: str = ""
    build_s: float = 0.0
    loss_seed: int = 0


class Route(Frozen, frozen=True, kw_only=True):
    """A unicast route, as far as it decides how TCP starts.

    `initcwnd` and `initrwnd` are segments, None where the kernel's default holds; `ifname` is empty where the route has
    several next hops.

    Attributes:
        metrics: the others that are set, by ip-route(8)'s names: mtu, advmss, rtt, rto_min, quickack, congctl, ...
    """

    family: Literal["inet", "inet6"]
    destination: str
    gateway: str
    ifname: str
    initcwnd: int | None
    initrwnd: int | None
    metrics: dict[str, int | str] = {}


class Host(Frozen, frozen=True, kw_only=True):
    """The machine under test.

    Attributes:
        machine_id, boot_id: equal for equal machines and boots, and nothing else can be learned from them; "" where it
            could not be read, and in files of before it was recorded.
    """

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
    machine_id: str = ""
    boot_id: str = ""


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
        sweep: axis -> value, where the run is one point of a sweep (`offloadbench.engine.sweep_run`).
        definitions: kind:name -> sha256 of the definition's content, of every case, workload and profile it rests on.
        route: the one from the device under test to its load side; None in files of before it was recorded.
        blocks: what was drawn anew before each; empty in files of before that (the testbed stood throughout).
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
    route: Route | None = None
    blocks: list[Block] = []
