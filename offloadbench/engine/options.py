"""What a run was asked for, and whether this machine and the output can do it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from offloadbench.base.errors import UsageError
from offloadbench.bed import opening
from offloadbench.bed.fleet import fleet_bed as fleet
from offloadbench.bed.testbed import Cable, Wire
from offloadbench.engine import rights
from offloadbench.kernel.trace import perf
from offloadbench.kernel.trace import tcpdump as capture
from offloadbench.model import EmulatedLink
from offloadbench.model.emulated_link import link_part

_GIGABIT = EmulatedLink(line_rate_bits_per_s=10**9)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What `offloadbench run` was asked for.

    Attributes:
        link: of `--nic lab`.
        mtu_bytes: of both ends; rx_ring, tx_ring: descriptors of the NIC under test; 0 is as found.
    """

    nic: str
    cases: str
    workloads: list[str]
    output: Path
    peer: str = ""
    on_lost_worker: str = "fail"
    duration_s: int = 60
    warmup_s: float = 5.0
    repeats: int = 1
    precision_ratio: float = 0.0
    max_repeats: int = 0
    seed: int = 1
    link: EmulatedLink = _GIGABIT
    wire: Wire = "tap"
    sysctls: dict[str, str] = field(default_factory=dict)
    mtu_bytes: int = 0
    rx_ring: int = 0
    tx_ring: int = 0
    settings: list[str] = field(default_factory=list)
    force: bool = False
    resume: bool = False
    profile: bool = True
    keep_perf: bool = False
    call_graph: bool = False
    waits: bool = False
    capture: bool = False
    tune: bool = False
    command: list[str] = field(default_factory=list)
    sweep: dict[str, Any] = field(default_factory=dict)

    @property
    def cable(self) -> Cable:
        """The emulated cable of `--nic lab`; of another bed only its sysctls matter."""
        drawn = {"loss_seed": self.seed if self.link.loss_ratio else 0}
        return Cable(**link_part(self.link) | drawn, sysctls=self.sysctls, wire=self.wire)


def check_output(options: RunOptions) -> None:
    folder = options.output.parent
    if options.output.exists() and not options.force and not options.resume:
        raise UsageError(f"{options.output} exists", "choose another --output, or add --force")
    if not folder.exists():
        raise UsageError(f"{folder}: no such folder", "make it, or choose another --output")
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"{folder}: not a folder that can be written to", "choose another --output")


def check_load_side(options: RunOptions) -> None:
    """Raise UsageError for what the kind of load side cannot be asked for."""
    if options.sysctls and options.peer.startswith(fleet.PREFIX):
        raise UsageError(
            f"--sysctl {next(iter(options.sysctls))}: the workers of a fleet are many hosts, whose sysctls are not set",
            "leave it out, or use --peer ssh://user@host",
        )


def check_machine(options: RunOptions) -> None:
    check_load_side(options)
    rights.for_run(options.nic, options.peer, profile=options.profile, capture=options.capture)
    if options.profile:
        perf.require()
    if options.capture:
        capture.require()
    opening.check(options.nic, options.peer, options.wire, force=options.force)
