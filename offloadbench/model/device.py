"""A network device: its queues and what lies below it, as found, and what its driver counted."""

from __future__ import annotations

from offloadbench.model.frozen import Frozen


class Interrupt(Frozen, frozen=True, kw_only=True):
    """One interrupt of a NIC.

    Attributes:
        name: as /proc/interrupts shows it.
        cpus: the CPUs that it may be sent to (smp_affinity_list); effective_cpus: those that it is sent to, where the
            kernel tells. Lists as the kernel writes them, such as `0-3,8`.
    """

    number: int
    name: str
    cpus: str
    effective_cpus: str = ""


class Queues(Frozen, frozen=True, kw_only=True):
    """Queues of a device, and what steers them.

    Attributes:
        rx, tx: how many.
        interrupts: of its bus device, those that are in use.
        rps_cpus, xps_cpus: queue -> CPU mask as the kernel writes it; receive and transmit packet steering.
        bql_limit_bytes, bql_limit_max_bytes: queue -> byte queue limit at this moment, and where it may grow to.
    """

    rx: int
    tx: int
    interrupts: list[Interrupt] = []
    rps_cpus: dict[str, str] = {}
    xps_cpus: dict[str, str] = {}
    bql_limit_bytes: dict[str, int] = {}
    bql_limit_max_bytes: dict[str, int] = {}


class LowerDevice(Frozen, frozen=True, kw_only=True):
    """A device through which the one under test sends: below a VLAN, a member of a bond, team or bridge.

    Attributes:
        upper: the device directly above it.
        kind: as rtnetlink tells it; empty for a NIC.
        features: name -> [active, wanted, fixed] as found.
        settings, problems, module: as of the NIC under test.
    """

    ifname: str
    upper: str
    kind: str
    driver: str
    driver_version: str
    firmware: str
    bus: str
    speed_bits_per_s: int
    duplex: str
    features: dict[str, list[bool]]
    settings: dict[str, int] = {}
    queues: Queues | None = None
    problems: list[str] = []
    module: str = ""


class DriverStatistics(Frozen, frozen=True, kw_only=True):
    """What the statistics of one device grew by over the measured window: `ethtool -S`, and what the kernel counts.

    Attributes:
        driver: as ETHTOOL_GDRVINFO tells it.
        interval_s: between the two readings; they lie just outside the window.
        growth: name -> difference, where there is one. Names of the kernel's qstats begin with `qstats.`, those of its
            counts of any link with `link.`.
        unmoved: names of those that exist and did not move, numbers written as `{n}`, each once. A name in neither does
            not exist here, which is not the same as 0.
        problem: why nothing could be read; "" when it could.
    """

    ifname: str
    driver: str
    interval_s: float
    growth: dict[str, int]
    unmoved: list[str]
    problem: str = ""
