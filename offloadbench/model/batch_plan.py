"""A plan of `offloadbench batch`, written by hand as TOML."""

from __future__ import annotations

from typing import Any, Literal, get_type_hints

import msgspec

from offloadbench.base.setting import BATCH, Setting
from offloadbench.base.settings import of_command
from offloadbench.model.frozen import Strict

# a value, or the values of an axis
Value = str | int | bool | list[str | int | bool]


class BatchNic(Strict, frozen=True, kw_only=True):
    """A NIC under test and its load side, as `--nic` and `--peer` of `run` name them."""

    nic: str
    peer: str = ""


class BatchPlan(Strict, frozen=True, kw_only=True):
    """What to measure: every combination of the NICs and of all lists; workloads and cases are measured inside each.

    A plan file has a key for each setting of a batch too: see `PlanFile`.

    Attributes:
        sysctls: name -> value or values, of both ends; names may be quoted, or the tables that TOML makes of dots.
        parameters: of the workloads, as `--set`.
    """

    nics: list[BatchNic | str]
    workloads: list[str]
    sysctls: dict[str, object] = {}
    parameters: dict[str, Value] = {}


def _type(setting: Setting) -> Any:
    """What TOML gives: of a function that reads what is typed, the type that it returns."""
    return setting.typed if isinstance(setting.typed, type) else get_type_hints(setting.typed)["return"]


def _key(setting: Setting) -> tuple[str, Any, Any]:
    """Name, type and default of a setting's key: an axis takes a value or a list, what is on or off true or false."""
    default = setting.defaults[BATCH]
    if setting.is_flag:
        return setting.plan_key, bool, setting.parse(default)
    one: Any = Literal[setting.choices] if setting.choices else _type(setting)
    if setting.axis:
        return setting.plan_key, one | list[one], []
    # one that a testbed may refuse must be seen to be asked for
    return (
        (setting.plan_key, one | None, None) if setting.lacks or default is None else (setting.plan_key, one, default)
    )


PlanFile = msgspec.defstruct(
    "PlanFile",
    [_key(setting) for setting in of_command(BATCH)],
    bases=(BatchPlan,),
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
)
"""A plan as it is written: with the settings of a batch, as `run` takes them."""
