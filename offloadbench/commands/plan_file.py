"""A plan file of `batch`, read and turned into the sweep that it describes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from offloadbench.base import similar
from offloadbench.base.errors import UsageError
from offloadbench.base.link_settings import LINK_SETTINGS
from offloadbench.commands import shared_grid
from offloadbench.commands.options import cable_options
from offloadbench.model.batch_plan import BatchNic, BatchPlan, PlanFile

if TYPE_CHECKING:
    from offloadbench.files.sweep_file import Sweep

# IPv4 asks for 68 (RFC 791); below 576 no host need take a datagram whole (RFC 1122)
_LEAST_MTU_BYTES = 576
# what a header of IPv4 can say
_MOST_MTU_BYTES = 65535
_KEYS = tuple(field.name for field in msgspec.structs.fields(PlanFile))


def read(path: Path) -> tuple[Sweep, int | None]:
    """The sweep that the plan describes, and the seed that it names, if it names one.

    Raises:
        UsageError: the plan cannot be read, or a key or a value in it is wrong.
    """
    plan = _decode(path)
    try:
        return _sweep(plan), plan.seed
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


def _sweep(plan: BatchPlan) -> Sweep:
    nics = _nics(plan)
    for key, value, least in (
        ("duration_s", plan.duration_s, 2), ("warmup_s", plan.warmup_s, 0), ("repeats", plan.repeats, 1)
    ):  # fmt: skip
        if value < least:
            raise UsageError(f"{key} = {value} is too small", f"use at least {least}")
    if not plan.workloads:
        raise UsageError("workloads names none", 'for example: workloads = ["ftp-get"]')
    given = [
        *(setting.name for setting in LINK_SETTINGS if getattr(plan, setting.name)),
        *(["wire"] if plan.wire != "tap" else []),
    ]
    for nic in nics:
        if given and nic != "lab":
            raise UsageError(
                f"{given[0]} is of the emulated cable, which {nic} does not have",
                "leave it out, or write a plan of its own for NIC lab",
            )
    return shared_grid.make(
        nics=nics,
        bed={
            **{
                setting.field: _values(setting.name, getattr(plan, setting.name), setting.parse, setting.default)
                for setting in LINK_SETTINGS
            },
            "mtu_bytes": _values("mtu", plan.mtu, _mtu, 0),
            "rx_ring": _values("rx_ring", plan.rx_ring, _descriptors, 0),
            "tx_ring": _values("tx_ring", plan.tx_ring, _descriptors, 0),
        },
        sysctls={name: _sysctl_values(name, value) for name, value in _flattened(plan.sysctls)},
        parameters={name: _values(f"parameters.{name}", value, _word) for name, value in plan.parameters.items()},
        workloads=_values("workloads", plan.workloads, str),
        cases=plan.cases,
        duration_s=plan.duration_s,
        warmup_s=plan.warmup_s,
        repeats=plan.repeats,
        seed=plan.seed,
        profile=plan.profile,
        wire=plan.wire,
    )


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


def _mtu(size: int) -> int:
    if size and not _LEAST_MTU_BYTES <= size <= _MOST_MTU_BYTES:
        raise UsageError(f"{size} is no MTU", f"use {_LEAST_MTU_BYTES} to {_MOST_MTU_BYTES}, or 0: as found")
    return size


def _descriptors(count: int) -> int:
    if count < 0:
        raise UsageError(f"{count} is no number of descriptors", "see `ethtool -g` for the most, or 0: as found")
    return count


def _word(value: object) -> str:
    """A value as `--set` takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _sysctl_values(name: str, value: object) -> list[str]:
    if not all(isinstance(word, (str, int)) for word in (value if isinstance(value, list) else [value])):
        raise UsageError(f"sysctls.{name}: neither text nor a number", 'write "net.ipv4.tcp_sack" = [0, 1]')
    values: list[str] = _values(f"sysctls.{name}", value, _word)
    cable_options.parse_sysctls([f"{name}={word}" for word in values])
    return values


def _flattened(table: dict[str, Any], head: str = "") -> Iterator[tuple[str, object]]:
    """`"net.ipv4.tcp_sack" = 1` and `net.ipv4.tcp_sack = 1`, of which TOML makes tables, are the same."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{head}{key}.")
        else:
            yield f"{head}{key}", value
