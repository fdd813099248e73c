"""What a run was asked for, and whether this machine and the output can do it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from offloadbench.base.errors import UsageError
from offloadbench.base.setting import Setting
from offloadbench.base.settings import SETTINGS, refuse, set_otherwise
from offloadbench.bed import opening
from offloadbench.bed.testbed import Cable, Wire
from offloadbench.engine import rights
from offloadbench.kernel.trace import perf
from offloadbench.kernel.trace import tcpdump as capture
from offloadbench.model import EmulatedLink
from offloadbench.model.emulated_link import link_part

_GIGABIT = EmulatedLink(line_rate_bits_per_s=10**9)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What `offloadbench run` was asked for; `offloadbench.base.settings` has a row for each setting among it.

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
    overwrite: bool = False
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
        drawn = {"loss_seed": self.seed if self.link.loses else 0}
        return Cable(**link_part(self.link) | drawn, sysctls=self.sysctls, wire=self.wire)


def check_output(options: RunOptions) -> None:
    folder = options.output.parent
    if options.output.exists() and not options.overwrite and not options.resume:
        raise UsageError(f"{options.output} exists", "choose another --output, or add --overwrite")
    if not folder.exists():
        raise UsageError(f"{folder}: no such folder", "make it, or choose another --output")
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"{folder}: not a folder that can be written to", "choose another --output")


def check_settings(options: RunOptions) -> None:
    """Raise UsageError for a setting that the testbed does not have."""
    asked = set_otherwise(lambda setting: _value(options, setting))
    refuse(options.nic, opening.kind_of(options.nic, options.peer), asked, lambda setting: setting.option)


def _value(options: RunOptions, setting: Setting) -> Any:
    return getattr(options.link if setting.of_link else options, setting.field)


def recorded_with_bed(options: RunOptions) -> dict[str, Any]:
    """Field -> value of what a testbed's record keeps of the options, where it was asked for."""
    kept = [(setting, _value(options, setting)) for setting in SETTINGS if setting.place == "bed.settings"]
    return {setting.field: value for setting, value in kept if value != setting.before}


def check_bed(options: RunOptions) -> None:
    """Raise unless this machine can be the testbed."""
    opening.check(options.nic, options.peer, options.wire, force=options.force)


def check_machine(options: RunOptions) -> None:
    check_settings(options)
    rights.for_run(options.nic, options.peer, profile=options.profile, capture=options.capture)
    if options.profile:
        perf.require()
    if options.capture:
        capture.require()
    check_bed(options)
