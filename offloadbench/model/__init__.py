"""The data of the house: definitions read from TOML, and what a run captured.

Frozen, with units in the names. Raw figures only: rates, shares and verdicts are derived by
`offloadbench.analysis`, so that a better statistic can re-read an old run. msgspec gives the JSON and
TOML decoding, and its messages name the path of what is wrong.
"""

from __future__ import annotations

from offloadbench.model.definitions import CaseDefinition, Leaf, Profile, Rule, WorkloadDefinition
from offloadbench.model.device import DriverStatistics, Interrupt, LowerDevice, Queues
from offloadbench.model.driver import Coupling, Driver, DriverCounters, Quirk, folded, words
from offloadbench.model.emulated_link import EmulatedLink
from offloadbench.model.frozen import Frozen, Strict
from offloadbench.model.measured_probe import (
    PROBE_FORMAT,
    PROBE_FORMAT_VERSION,
    FlightFrames,
    FlightTrial,
    Probe,
    TcpState,
)
from offloadbench.model.measured_run import (
    FORMAT,
    FORMAT_VERSION,
    BedRecord,
    Block,
    Host,
    Kallsyms,
    Nic,
    Plan,
    PlannedCase,
    PlannedTrial,
    Route,
    Run,
)
from offloadbench.model.measured_trial import (
    CpuUse,
    Evidence,
    FeatureRecord,
    ForeignUse,
    Load,
    PacketShapes,
    PacketTrace,
    PeerReport,
    ProfileCounts,
    ProfileEvent,
    Samples,
    TcpTrace,
    ToolCost,
    Trial,
    Waits,
    WireDirection,
    WireReport,
)

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "PROBE_FORMAT",
    "PROBE_FORMAT_VERSION",
    "BedRecord",
    "Block",
    "CaseDefinition",
    "Coupling",
    "CpuUse",
    "Driver",
    "DriverCounters",
    "DriverStatistics",
    "EmulatedLink",
    "Evidence",
    "FeatureRecord",
    "FlightFrames",
    "FlightTrial",
    "ForeignUse",
    "Frozen",
    "Host",
    "Interrupt",
    "Kallsyms",
    "Leaf",
    "Load",
    "LowerDevice",
    "Nic",
    "PacketShapes",
    "PacketTrace",
    "PeerReport",
    "Plan",
    "PlannedCase",
    "PlannedTrial",
    "Probe",
    "Profile",
    "ProfileCounts",
    "ProfileEvent",
    "Queues",
    "Quirk",
    "Route",
    "Rule",
    "Run",
    "Samples",
    "Strict",
    "TcpState",
    "TcpTrace",
    "ToolCost",
    "Trial",
    "Waits",
    "WireDirection",
    "WireReport",
    "WorkloadDefinition",
    "folded",
    "words",
]
