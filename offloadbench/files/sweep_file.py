"""The index of a sweep or batch: sweep.json in a folder, beside one run file a point; written whole after each."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from offloadbench.base.errors import RunFileError
from offloadbench.base.setting import BATCH, RUN, SWEEP
from offloadbench.base.settings import AXES, SETTINGS, axis_title, axis_value
from offloadbench.definitions import catalog
from offloadbench.files import documents, run_file
from offloadbench.model import Frozen, Run, WorkloadDefinition

INDEX_NAME = "sweep.json"
FORMAT: Final = "offloadbench-sweep"
# 1: first version.
FORMAT_VERSION = 1
# all that the engine's options know by name; an axis that begins with `net.` is a sysctl, every other one a
# workload's parameter
BED_AXES = ("nic", *(setting.field for setting in AXES))
SYSCTL_PREFIX = "net."
_FIXED = {
    setting.field: setting
    for setting in SETTINGS
    if setting.field not in ("", "seed", "workloads") and not setting.axis and {SWEEP, BATCH} & setting.defaults.keys()
}


class Point(Frozen, frozen=True, kw_only=True):
    """One point of the grid: a run of its own.

    Attributes:
        bed: bed axis -> value; sysctls: name -> value; parameters: parameter -> value as it was written.
        workloads: names, or paths of TOML files, of those that this point tells something new about; a workload that
            does not know a parameter runs once, not once a value.
        file: name of the run file in the sweep's folder.
        problem: why the point has failed; "" otherwise.
    """

    number: int
    bed: dict[str, Any]
    parameters: dict[str, str]
    workloads: list[str]
    file: str
    sysctls: dict[str, str]
    done: bool = False
    problem: str = ""


class Sweep(Frozen, frozen=True, kw_only=True):
    """A sweep and how far it has come.

    Attributes:
        nics: NIC -> its load side, "" where it is both.
        sysctls: the same at every point.
        axes: axis -> its values, for those with more than one.
        others: field -> value of settings that are the same at every point and have no field here.
    """

    format: Literal["offloadbench-sweep"]
    format_version: int
    nics: dict[str, str]
    cases: str
    duration_s: int
    warmup_s: float
    repeats: int
    seed: int
    profile: bool
    sysctls: dict[str, str]
    wire: Literal["tap", "netem", "auto"] = "tap"
    axes: dict[str, list[Any]]
    points: list[Point]
    others: Mapping[str, Any] = {}


def grid(
    bed: dict[str, list[Any]],
    parameters: dict[str, list[str]],
    definitions: Sequence[WorkloadDefinition],
    sysctls: dict[str, list[str]] | None = None,
) -> list[Point]:
    """Every combination of the values, each workload only where its own parameters or the bed are new.

    Args:
        bed: each of `BED_AXES` that matters -> values; sysctls: name -> values.
        parameters: parameter -> values, as written.

    Raises:
        UsageError: no workload knows a parameter.
    """
    catalog.override_parameters(list(definitions), [f"{key}={values[0]}" for key, values in parameters.items()])
    seen: set[str] = set()
    points: list[Point] = []
    outer = bed | (sysctls or {})
    for values in itertools.product(*outer.values(), *parameters.values()):
        place = dict(zip(outer, values, strict=False))
        chosen = dict(zip(parameters, values[len(outer) :], strict=True))
        fresh = []
        for definition in definitions:
            known = {key: value for key, value in chosen.items() if key in definition.parameters}
            identity = repr((place, definition.name, known))
            if identity not in seen:
                seen.add(identity)
                fresh.append(definition)
        if fresh:
            used = {key for definition in fresh for key in definition.parameters}
            number = len(points) + 1
            points.append(
                Point(
                    number=number,
                    bed={axis: value for axis, value in place.items() if axis in bed},
                    sysctls={axis: value for axis, value in place.items() if axis not in bed},
                    parameters={key: value for key, value in chosen.items() if key in used},
                    workloads=[definition.name for definition in fresh],
                    file=f"{number:03d}.json",
                )
            )
    return points


def begun(fixed: Mapping[str, Any], **more: Any) -> Sweep:
    """A sweep of which nothing is measured yet.

    Args:
        fixed: field -> value of the settings that are the same at every point.
        more: what else a sweep has.
    """
    own = {name: value for name, value in fixed.items() if name in Sweep.__struct_fields__}
    others = {name: value for name, value in fixed.items() if name not in own}
    return Sweep(format=FORMAT, format_version=FORMAT_VERSION, others=others, **({"sysctls": {}} | own), **more)


def fixed_of(sweep: Sweep) -> dict[str, Any]:
    """Field -> value of the settings that are the same at every point."""
    own = {setting.field: getattr(sweep, setting.field) for setting in SETTINGS if hasattr(sweep, setting.field)}
    return own | {field: value for field, value in sweep.others.items() if field in _FIXED}


def values_of(point: Point, sweep: Sweep) -> dict[str, Any]:
    """Field -> value of every setting at a point, which has an order and losses of its own."""
    nic = point.bed["nic"]
    place = {axis: value for axis, value in point.bed.items() if axis in BED_AXES}
    return (
        fixed_of(sweep)
        | place
        | {
            "peer": sweep.nics[nic],
            "seed": sweep.seed + point.number,
            "sysctls": {**sweep.sysctls, **point.sysctls},
        }
    )


def otherwise(wanted: Sweep, found: Sweep) -> list[str]:
    """In what a sweep that is there differs from one that is asked for, as ends of a sentence; seeds may differ.

    A setting that its index does not know had its default.
    """
    asked, had = (_values_of(sweep) for sweep in (wanted, found))
    told = [
        f"its {setting.title or setting.name} is {setting.form(had[field])}, not {setting.form(asked[field])}"
        for field, setting in _FIXED.items()
        if asked[field] != had[field]
    ]
    axes = [
        [(_padded(point.bed), point.sysctls, point.parameters, point.workloads) for point in sweep.points]
        for sweep in (wanted, found)
    ]
    return told or (["its grid is another"] if axes[0] != axes[1] or wanted.nics != found.nics else [])


def _values_of(sweep: Sweep) -> dict[str, Any]:
    values = fixed_of(sweep)
    return {field: values.get(field, setting.before) for field, setting in _FIXED.items()}


def _padded(bed: Mapping[str, Any]) -> dict[str, Any]:
    return {**{setting.field: setting.parse(setting.defaults[RUN]) for setting in AXES}, **bed}


def title(axis: str) -> str:
    """`rtt_s` -> 'RTT'; a parameter's own name."""
    return "NIC" if axis == "nic" else axis_title(axis)


def format_value(axis: str, value: float | str | None) -> str:
    """`rtt_s`, 0.02 -> '20 ms'; a parameter as it was written; None (a workload without it) -> '-'."""
    return "-" if value is None else axis_value(axis, value)


def is_parameter(axis: str) -> bool:
    """Whether an axis is a workload's parameter."""
    return axis not in BED_AXES and not axis.startswith(SYSCTL_PREFIX)


def in_words(values: Mapping[str, Any]) -> str:
    """Axis -> value as 'RTT 20 ms, sndbuf 16MiB'; a NIC by its name alone."""
    return ", ".join(
        str(value) if axis == "nic" else f"{title(axis)} {format_value(axis, value)}" for axis, value in values.items()
    )


def place_of(point: Point, sweep: Sweep) -> dict[str, Any]:
    """The point's value on each of the sweep's axes that it has."""
    values = {**point.bed, **point.sysctls, **point.parameters}
    return {axis: values[axis] for axis in sweep.axes if axis in values}


def describe(point: Point, sweep: Sweep) -> str:
    """A point in words: its place on the axes, and its workloads."""
    place = place_of(point, sweep)
    return ", ".join([*([in_words(place)] if place else []), *(Path(word).stem for word in point.workloads)])


def save(sweep: Sweep, folder: Path) -> None:
    """Write the index.

    Raises:
        RunFileError: it could not be written.
    """
    data = msgspec.json.format(msgspec.json.encode(sweep), indent=1)
    documents.write_whole(folder / INDEX_NAME, data, "the sweep's index")


def load(folder: Path) -> Sweep:
    """Read the index of a sweep's folder.

    Raises:
        RunFileError: missing, damaged, or of a newer format.
    """
    path = folder / INDEX_NAME
    try:
        sweep = msgspec.json.decode(path.read_bytes(), type=Sweep)
    except OSError as error:
        raise RunFileError(f"{path}: {error.strerror}", "give the folder that `offloadbench sweep` made") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RunFileError(f"{path}: not the index of a sweep: {error}", "start a new sweep") from error
    if sweep.format_version > FORMAT_VERSION:
        raise RunFileError(
            f"{path}: sweep format {sweep.format_version}, this offloadbench reads up to {FORMAT_VERSION}",
            "install a newer offloadbench",
        )
    return sweep


def load_runs(sweep: Sweep, folder: Path) -> list[Run]:
    """The run files of the points that were measured, finished or not, in the order of the grid.

    Raises:
        RunFileError: one is damaged.
    """
    return [run_file.load(folder / point.file) for point in sweep.points if (folder / point.file).exists()]


def run_files(path: Path) -> list[Path]:
    """The run files that a sweep's folder or index stands for, of points that were measured; any other path itself.

    Raises:
        RunFileError: the index is damaged, or nothing was measured.
    """
    folder = path.parent if path.name == INDEX_NAME else path
    if folder is path and not path.is_dir():
        return [path]
    files = [folder / point.file for point in load(folder).points if (folder / point.file).exists()]
    if not files:
        raise RunFileError(
            f"{path}: no point of the sweep was measured yet", "offloadbench sweep --resume --output ..."
        )
    return files
