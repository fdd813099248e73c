"""A plan of `offloadbench batch`, written by hand as TOML."""

from __future__ import annotations

from typing import Literal

import msgspec

from offloadbench.base.link_settings import LINK_SETTINGS
from offloadbench.model.frozen import Strict

# a value, or the values of an axis
Whole = int | list[int]
Text = str | list[str]
Value = str | int | bool | list[str | int | bool]


class BatchNic(Strict, frozen=True, kw_only=True):
    """A NIC under test and its load side, as `--nic` and `--peer` of `run` name them."""

    nic: str
    peer: str = ""


class BatchPlan(Strict, frozen=True, kw_only=True):
    """What to measure: every combination of the NICs and of all lists; workloads and cases are measured inside each.

    A plan file has a key for each setting of the emulated link too: see `PlanFile`.

    Attributes:
        mtu: bytes, of both ends; rx_ring, tx_ring: descriptors of the NIC under test (`ethtool -G`).
        wire: of the emulated link, as `run` takes it; only for NIC `lab`.
        sysctls: name -> value or values, of both ends; names may be quoted, or the tables that TOML makes of dots.
        parameters: of the workloads, as `--set`.
    """

    nics: list[BatchNic | str]
    workloads: list[str]
    cases: str = "ladder"
    duration_s: int = 60
    warmup_s: float = 5.0
    repeats: int = 1
    seed: int | None = None
    profile: bool = True
    mtu: Whole = []
    rx_ring: Whole = []
    tx_ring: Whole = []
    wire: Literal["tap", "netem", "auto"] = "tap"
    sysctls: dict[str, object] = {}
    parameters: dict[str, Value] = {}


PlanFile = msgspec.defstruct(
    "PlanFile",
    [(setting.name, Text, []) for setting in LINK_SETTINGS],
    bases=(BatchPlan,),
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
)
"""A plan as it is written: with the settings of the emulated link, as `run` takes them; only for NIC `lab`."""
