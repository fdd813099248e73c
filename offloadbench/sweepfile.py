"""The index of a sweep: sweep.json in a folder, beside one run file a point; written whole after every point."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from offloadbench import catalog, runfile
from offloadbench.errors import RunFileError
from offloadbench.model import Frozen, Run, WorkloadDefinition
from offloadbench.units import format_bytes, format_rate

INDEX_NAME = "sweep.json"
FORMAT: Final = "offloadbench-sweep"
# 1: first version.
FORMAT_VERSION = 1
# axes that a bed has, as `BedRecord` and the engine's options name them; every other axis is a workload's parameter
_TITLES = {"line_rate_bits_per_s": "line rate", "rtt_s": "RTT", "loss_ratio": "loss", "queue_bytes": "queue"}
BED_AXES = tuple(_TITLES)


class Point(Frozen, frozen=True, kw_only=True):
    """One point of the grid: a run of its own.

    Attributes:
        bed: every bed axis -> value; parameters: parameter -> value as it was written.
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
    done: bool = False
    problem: str = ""


class Sweep(Frozen, frozen=True, kw_only=True):
    """A sweep and how far it has come.

    Attributes:
        axes: axis -> its values, for those with more than one.
    """

    format: Literal["offloadbench-sweep"]
    format_version: int
    nic: str
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


def grid(
    bed: dict[str, list[Any]], parameters: dict[str, list[str]], definitions: Sequence[WorkloadDefinition]
) -> list[Point]:
    """Every combination of the values, each workload only where its own parameters or the bed are new.

    Args:
        bed: every one of `BED_AXES` -> values.
        parameters: parameter -> values, as written.

    Raises:
        UsageError: no workload knows a parameter.
    """
    catalog.override_parameters(list(definitions), [f"{key}={values[0]}" for key, values in parameters.items()])
    seen: set[str] = set()
    points: list[Point] = []
    for values in itertools.product(*bed.values(), *parameters.values()):
        place = dict(zip(bed, values, strict=False))
        chosen = dict(zip(parameters, values[len(bed) :], strict=True))
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
                    bed=place,
                    parameters={key: value for key, value in chosen.items() if key in used},
                    workloads=[definition.name for definition in fresh],
                    file=f"{number:03d}.json",
                )
            )
    return points


def title(axis: str) -> str:
    """`rtt_s` -> 'RTT'; a parameter's own name."""
    return _TITLES.get(axis, axis)


def format_value(axis: str, value: float | str | None) -> str:
    """`rtt_s`, 0.02 -> '20 ms'; a parameter as it was written; None (a workload without it) -> '-'."""
    if value is None:
        return "-"
    match axis:
        case "rtt_s":
            return f"{float(value) * 1e3:g} ms"
        case "line_rate_bits_per_s":
            return format_rate(float(value))
        case "loss_ratio":
            return f"{float(value) * 100:g} %"
        case "queue_bytes":
            return format_bytes(float(value)) if value else "no limit"
        case _:
            return str(value)


def describe(point: Point, sweep: Sweep) -> str:
    """A point in words: its place on the axes, and its workloads."""
    values = {**point.bed, **point.parameters}
    place = [f"{title(axis)} {format_value(axis, values[axis])}" for axis in sweep.axes if axis in values]
    return ", ".join([*place, *(Path(word).stem for word in point.workloads)])


def save(sweep: Sweep, folder: Path) -> None:
    """Write the index.

    Raises:
        RunFileError: it could not be written.
    """
    data = msgspec.json.format(msgspec.json.encode(sweep), indent=1)
    runfile.write_whole(folder / INDEX_NAME, data, "the sweep's index")


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
    return [runfile.load(folder / point.file) for point in sweep.points if (folder / point.file).exists()]


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
