"""A plan file of `batch`, read and turned into the sweep that it describes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from offloadbench.base import similar
from offloadbench.base.errors import UsageError
from offloadbench.base.setting import BATCH, Setting
from offloadbench.base.setting_values import parse_sysctls
from offloadbench.base.settings import AXES, check_least, named, of_command, refuse
from offloadbench.commands import shared_grid
from offloadbench.model.batch_plan import BatchNic, BatchPlan, PlanFile

if TYPE_CHECKING:
    from offloadbench.files.sweep_file import Sweep

_KEYS = tuple(field.name for field in msgspec.structs.fields(PlanFile))


def read(path: Path) -> tuple[Sweep, int | None]:
    """The sweep that the plan describes, and the seed that it names, if it names one.

    Raises:
        UsageError: the plan cannot be read, or a key or a value in it is wrong.
    """
    plan = _decode(path)
    try:
        values = {setting.plan_key: getattr(plan, setting.plan_key) for setting in of_command(BATCH)}
        return _sweep(plan, values), values["seed"]
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", error.hint) from error


def _decode(path: Path) -> BatchPlan:
    try:
        return cast(BatchPlan, msgspec.toml.decode(path.read_bytes(), type=PlanFile))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "give the path of a plan") from error
    except msgspec.ValidationError as error:
        unknown = re.search("unknown field `(.+?)`", str(error))
        hint = similar.hint(unknown[1] if unknown else "", _KEYS, f"keys: {', '.join(_KEYS)}")
        # `Object`, `$`: words of JSON
        words = str(error).replace("Object ", "the plan ").replace("$.", "").replace("object", "table")
        raise UsageError(f"{path}: {words}", hint) from error
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"{path}: not TOML: {error}", "see https://toml.io") from error


def _sweep(plan: BatchPlan, values: dict[str, Any]) -> Sweep:
    """The grid of a plan, whose settings are by key here."""
    from offloadbench.bed import opening

    nics = _nics(plan)
    if not plan.workloads:
        raise UsageError("workloads names none", 'for example: workloads = ["ftp-get"]')
    given = [setting for setting in of_command(BATCH) if setting.lacks and values[setting.plan_key] not in ([], None)]
    if plan.sysctls:
        given.append(named("sysctl"))
    for nic, peer in nics.items():
        refuse(nic, opening.kind_of(nic, peer), given, lambda setting: setting.plan_key)
    return shared_grid.make(
        nics=nics,
        bed={
            setting.field: _values(setting.plan_key, values[setting.plan_key], setting.parse, setting.defaults[BATCH])
            for setting in AXES
        },
        sysctls={name: _sysctl_values(name, value) for name, value in _flattened(plan.sysctls)},
        parameters={name: _values(f"parameters.{name}", value, _word) for name, value in plan.parameters.items()},
        workloads=_values("workloads", plan.workloads, str),
        fixed={
            setting.field: _fixed(setting, values[setting.plan_key])
            for setting in of_command(BATCH)
            if not setting.axis
        },
    )


def _fixed(setting: Setting, value: Any) -> Any:
    """The value that holds at every point; what is on or off stands in a plan as it is."""
    if setting.is_flag:
        return value
    check_least(setting, value, f"{setting.plan_key} =")
    return setting.parse(setting.defaults[BATCH] if value is None else value)


def _nics(plan: BatchPlan) -> dict[str, str]:
    from offloadbench.bed import lab_bed

    found: dict[str, str] = {}
    for one in plan.nics:
        entry = one if isinstance(one, BatchNic) else BatchNic(nic=one)
        if entry.nic in found or not entry.nic:
            raise UsageError(f"nics: {entry.nic!r} is twice there, or empty", "name each NIC once")
        if bool(entry.peer) == (entry.nic in lab_bed.NAMES):
            wrong = "needs a load side" if not entry.peer else "is its own load side"
            raise UsageError(f"nics: {entry.nic} {wrong}", '{ nic = "eth1", peer = "nic:eth2" }, or "lab"')
        found[entry.nic] = entry.peer
    if not found:
        raise UsageError("nics names none", 'nics = [{ nic = "eth1", peer = "nic:eth2" }], or ["lab"]')
    return found


def _values(key: str, value: Any, parse: Callable[[Any], Any], default: Any = None) -> list[Any]:
    """The values of an axis; one that is not given has its default."""
    words = value if isinstance(value, list) else [value]
    if not words:
        if default is None:
            raise UsageError(f"{key} has no value", "give one, or leave the key out")
        return [parse(default)]
    try:
        found = [parse(word) for word in words]
    except UsageError as error:
        raise UsageError(f"{key}: {error.message}", error.hint) from error
    if len(set(found)) != len(found):
        raise UsageError(f"{key}: a value is twice there", "name each once")
    return found


def _word(value: object) -> str:
    """A value as `--set` takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _sysctl_values(name: str, value: object) -> list[str]:
    if not all(isinstance(word, (str, int)) for word in (value if isinstance(value, list) else [value])):
        raise UsageError(f"sysctls.{name}: neither text nor a number", 'write "net.ipv4.tcp_sack" = [0, 1]')
    values: list[str] = _values(f"sysctls.{name}", value, _word)
    parse_sysctls([f"{name}={word}" for word in values])
    return values


def _flattened(table: dict[str, Any], head: str = "") -> Iterator[tuple[str, object]]:
    """`"net.ipv4.tcp_sack" = 1` and `net.ipv4.tcp_sack = 1`, of which TOML makes tables, are the same."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{head}{key}.")
        else:
            yield f"{head}{key}", value
