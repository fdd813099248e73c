"""A sweep or a batch: one run for every point of a grid, its index saved after each."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path

import msgspec

from offloadbench.base.errors import (
    FeatureError,
    HostError,
    OffloadbenchError,
    ProfilerError,
    RefusedError,
    RunFileError,
    TrafficError,
    UsageError,
)
from offloadbench.base.units import format_duration
from offloadbench.definitions import catalog
from offloadbench.definitions.plan import TRIAL_OVERHEAD_S
from offloadbench.engine import mtu_and_rings
from offloadbench.engine.options import RunOptions
from offloadbench.engine.progress_events import Emit, Note, PointStarted
from offloadbench.engine.run import execute as engine
from offloadbench.files import sweep_file
from offloadbench.files.sweep_file import Point, Sweep, describe, format_value, title
from offloadbench.model import Run
from offloadbench.model.emulated_link import with_link

Execute = Callable[[RunOptions, Emit], Run]
# building the bed, reading the kernel's symbols, taking everything back
POINT_OVERHEAD_S = 4.0
# what one point may fail of while the others go on; anything else would fail them all
_POINT_ERRORS = (TrafficError, FeatureError, ProfilerError, RefusedError)


def options_of(sweep: Sweep, point: Point, folder: Path, command: list[str]) -> RunOptions:
    """The options of a point's run."""
    return RunOptions(
        workloads=point.workloads,
        output=folder / point.file,
        settings=[f"{key}={value}" for key, value in point.parameters.items()],
        resume=(folder / point.file).exists(),
        command=command,
        sweep=sweep_file.place_of(point, sweep),
        **with_link(sweep_file.values_of(point, sweep)),
    )


def open_sweep(wanted: Sweep | None, folder: Path, *, resume: bool, seed: int | None = None) -> Sweep:
    """The sweep to run: a new one, whose folder is made, or the one that lies there.

    Args:
        wanted: what the command line asks for; with `resume` it may be None.
        seed: asked for by name; what is resumed keeps the one with which it was begun.

    Raises:
        UsageError: the folder holds a sweep already, or another than the one asked for.
        RunFileError: nothing to resume, or the folder cannot be written.
    """
    if resume:
        found = sweep_file.load(folder)
        told = [] if wanted is None else sweep_file.otherwise(wanted, found)
        if told:
            raise UsageError(
                f"{folder} holds another sweep: {told[0]}", "leave everything but --output and --resume out"
            )
        if seed not in (None, found.seed):
            raise UsageError(f"seed {seed}: the sweep in {folder} was begun with {found.seed}", "leave the seed out")
        return found
    assert wanted is not None
    if (folder / sweep_file.INDEX_NAME).exists():
        raise UsageError(f"{folder} holds a sweep already", "go on with it by --resume, or choose another --output")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}", "choose another --output") from error
    sweep_file.save(wanted, folder)
    return wanted


def in_order(sweep: Sweep) -> list[Point]:
    """The points in the order in which they are measured."""
    return random.Random(sweep.seed).sample(sweep.points, len(sweep.points))  # noqa: S311 - repeatable, no secret


def execute(sweep: Sweep, folder: Path, emit: Emit, command: list[str], execute_run: Execute = engine.execute) -> Sweep:
    """Run every point that is not done, in seeded random order, so that drift is no slope along an axis.

    Returns:
        The sweep; points that failed bear their problem and are tried again by the next call.

    Raises:
        OffloadbenchError: what would fail every point alike.
    """
    todo = [point for point in in_order(sweep) if not point.done]
    # of several NICs one may be missing or in use
    bearable = (*_POINT_ERRORS, HostError, UsageError) if len(sweep.nics) > 1 else _POINT_ERRORS
    for position, point in enumerate(todo, 1):
        later_s = sum(_expected_s(sweep, later) for later in todo[position:])
        emit(PointStarted(position, len(todo), describe(point, sweep), later_s))
        problem = ""
        try:
            run = _measure(options_of(sweep, point, folder, command), emit, execute_run)
            failed = [trial for trial in run.trials if trial.outcome == "failed"]
            if not any(trial.outcome == "ok" for trial in run.trials):
                failed = failed or run.trials
            if failed:
                problem = f"{failed[0].workload} {failed[0].case}: {failed[0].reason}"
        except bearable as error:
            problem = error.message
            emit(Note(f"failed: {problem}" + (f" ({error.hint})" if error.hint else "")))
        result = msgspec.structs.replace(point, done=not problem, problem=problem)
        sweep = msgspec.structs.replace(
            sweep, points=[result if known.number == point.number else known for known in sweep.points]
        )
        sweep_file.save(sweep, folder)
    return sweep


def _measure(options: RunOptions, emit: Emit, execute_run: Execute) -> Run:
    """The point's run: gone on with where it can be, else from its beginning."""
    try:
        return execute_run(options, emit)
    except RunFileError as error:
        if not options.resume:
            raise
        emit(Note(f"measured anew: {error.message}"))
        return execute_run(dataclasses.replace(options, resume=False, overwrite=True), emit)


def touched(sweep: Sweep) -> list[str]:
    """Every setting of each NIC and its namespace that the points would touch, with its present value, as lines."""
    lines = []
    for nic, peer in sweep.nics.items():
        points = [point for point in sweep.points if point.bed["nic"] == nic]
        lines.append(f"{nic}, load side {peer}:" if peer else f"{nic}, built for each run:")
        try:
            lines += mtu_and_rings.told(
                nic, [mtu_and_rings.asked_of(options_of(sweep, one, Path(), [])) for one in points]
            )
            lines += engine.touched(options_of(sweep, points[0], Path(), []))
        except OffloadbenchError as error:
            lines.append(f"  cannot be measured: {error.message}" + (f" ({error.hint})" if error.hint else ""))
    return lines


def _trials(sweep: Sweep, point: Point) -> int:
    return len(point.workloads) * len(catalog.select_cases(sweep.cases)) * sweep.repeats


def _expected_s(sweep: Sweep, point: Point) -> float:
    """Expected wall time of a point that is measured whole."""
    return _trials(sweep, point) * (sweep.duration_s + sweep.warmup_s + TRIAL_OVERHEAD_S) + POINT_OVERHEAD_S


def preview(sweep: Sweep) -> list[str]:
    """The points in the order of their measurement, and how long that takes, as lines."""
    todo = [point for point in sweep.points if not point.done]
    trials = sum(_trials(sweep, point) for point in todo)
    total_s = sum(_expected_s(sweep, point) for point in todo)
    lines = [
        f"{len(todo)} of {len(sweep.points)} points to measure on {', '.join(sweep.nics)}, {trials} trials, about "
        f"{format_duration(total_s)}, seed {sweep.seed}"
    ]
    for axis, values in sweep.axes.items():
        lines.append(f"{title(axis)}: {', '.join(format_value(axis, value) for value in values)}")
    for point in in_order(sweep):
        state = " (done)" if point.done else f" (failed: {point.problem})" if point.problem else ""
        lines.append(f"{point.number:3d}. {describe(point, sweep)}{state}")
    lines.append("points are measured in this order, drawn from the seed; each is a run that puts everything back")
    return lines
