"""Measure every point of a grid: RTT, line rate, loss, queue, and any parameter of the workloads."""

from __future__ import annotations

import argparse
import random
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from offloadbench.commands import cable, progress
from offloadbench.errors import OK, TrafficError, UsageError
from offloadbench.units import format_rate, parse_rate_bits_per_s, parse_time_s

if TYPE_CHECKING:
    from offloadbench.sweepfile import Sweep


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Lists make axes: `--rtt 0,10,20ms`, `--set sndbuf=212992,16MiB`."""
    parser.add_argument("--nic", metavar="NIC", default="lab", help="lab or lab-veth (default: lab)")
    parser.add_argument("--workloads", metavar="LIST", help="names or TOML files")
    parser.add_argument("--cases", metavar="LIST", default="tso", help="as of `run` (default: tso)")
    cable.add_arguments(parser, lists=True)
    parser.add_argument(
        "--set", metavar="KEY=VALUES", action="append", default=[], help="a parameter's value, or a comma list of them"
    )
    parser.add_argument(
        "--duration", metavar="S", type=int, default=10, help="measured window in seconds (default: 10)"
    )
    parser.add_argument("--warmup", metavar="S", type=float, default=5.0, help="warm-up in seconds (default: 5)")
    parser.add_argument("--repeats", metavar="N", type=int, default=1, help="blocks of all cases (default: 1)")
    parser.add_argument(
        "--seed", metavar="N", type=int, help="seed of orders and losses (default: drawn, and recorded)"
    )
    parser.add_argument("--no-profile", action="store_true", help="do not run perf in the measured windows")
    parser.add_argument("--output", metavar="FOLDER", type=Path, help="holds sweep.json and a run file a point")
    parser.add_argument("--resume", action="store_true", help="go on with the sweep in the folder; retry what failed")
    parser.add_argument("--dry-run", action="store_true", help="print the grid and how long it takes")
    parser.add_argument("--show", metavar="FOLDER", type=Path, help="print a sweep's result")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="with --show: draw it against RTT (.svg or .png)")


def main(arguments: argparse.Namespace) -> int:
    if arguments.show:
        print("\n".join(_table(arguments.show)))
        if arguments.plot:
            _draw(arguments.show, arguments.plot)
            print(f"plot: {arguments.plot}")
        return OK
    if arguments.plot:
        raise UsageError("--plot draws a sweep that is there", "add --show FOLDER")
    from offloadbench.engine import sweep as engine

    if not arguments.output and not (arguments.dry_run and not arguments.resume):
        raise UsageError("--output FOLDER is needed", "it holds sweep.json and a run file a point")
    if not arguments.workloads and not arguments.resume:
        raise UsageError(
            "--workloads is needed", "offloadbench sweep --workloads tcp-stream --rtt 0,10,20ms --output rtt"
        )
    wanted = _wanted(arguments) if arguments.workloads else None
    if arguments.dry_run and wanted and not arguments.resume:
        print("\n".join(engine.preview(wanted)))
        return OK
    folder = arguments.output.absolute()
    found = engine.open_sweep(wanted, folder, resume=arguments.resume)
    if arguments.dry_run:
        print("\n".join(engine.preview(found)))
        return OK
    with progress.show() as emit:
        done = engine.execute(found, folder, emit, ["offloadbench", *sys.argv[1:]])
    print("\n".join(_table(folder)))
    failed = [point for point in done.points if not point.done]
    if failed:
        print(f"next: offloadbench sweep --resume --output {arguments.output}")
    return TrafficError.exit_code if failed else OK


# ---------------------------------------------------------------- what is asked for


def _words(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",")]
    if "" in words or len(set(words)) != len(words):
        raise UsageError(f"{text!r}: values are missing or twice there", "write them as a comma list: 0,10,20ms")
    return words


def _times_s(text: str) -> list[float]:
    """`0,10,20ms`: a number without a unit has the unit of the last."""
    words = _words(text)
    unit = re.sub(r"[0-9. ]", "", words[-1])
    return [parse_time_s(word if re.search("[a-z]", word) else word + unit) for word in words]


def _wanted(arguments: argparse.Namespace) -> Sweep:
    """The sweep that the command line asks for."""
    from offloadbench import catalog, sweepfile, traffic

    cable.check_nic(arguments, arguments.nic)
    if arguments.duration < 2 or arguments.warmup < 0 or arguments.repeats < 1:
        raise UsageError("--duration, --warmup or --repeats is too small", "use at least 2, 0 and 1")
    bed: dict[str, list[Any]] = {
        "line_rate_bits_per_s": [parse_rate_bits_per_s(word) for word in _words(arguments.line_rate or "1gbit")],
        "rtt_s": _times_s(arguments.rtt or "0ms"),
        "loss_ratio": [cable.parse_loss(word) for word in _words(arguments.loss or "0")],
        "queue_bytes": [cable.parse_queue_bytes(word) for word in _words(arguments.queue or "0")],
    }
    parameters: dict[str, list[str]] = {}
    for setting in arguments.set:
        key, equals, values = setting.partition("=")
        if not equals or key in parameters:
            raise UsageError(f"--set {setting!r}: no '=', or its key twice", "write --set key=value,value")
        parameters[key] = _words(values)
    # definitions by path are found again by it, from wherever the sweep is resumed
    named = [str(Path(word).absolute()) if word.endswith(".toml") else word for word in _words(arguments.workloads)]
    definitions = [catalog.workload(word) for word in named]
    word_of = {definition.name: word for definition, word in zip(definitions, named, strict=True)}
    catalog.select_cases(arguments.cases)
    points = sweepfile.grid(bed, parameters, definitions)
    for point in points:
        chosen = [definition for definition in definitions if definition.name in point.workloads]
        settings = [f"{key}={value}" for key, value in point.parameters.items()]
        for definition in catalog.override_parameters(chosen, settings):
            traffic.from_definition(definition)
    return sweepfile.Sweep(
        format=sweepfile.FORMAT,
        format_version=sweepfile.FORMAT_VERSION,
        nic=arguments.nic,
        cases=arguments.cases,
        duration_s=arguments.duration,
        warmup_s=arguments.warmup,
        repeats=arguments.repeats,
        seed=random.SystemRandom().randrange(1, 2**31) if arguments.seed is None else arguments.seed,
        profile=not arguments.no_profile,
        sysctls=cable.parse_sysctls(arguments.sysctl),
        wire=arguments.wire or "tap",
        axes={axis: values for axis, values in (bed | parameters).items() if len(values) > 1},
        points=[
            msgspec.structs.replace(point, workloads=[word_of[name] for name in point.workloads]) for point in points
        ],
    )


# ---------------------------------------------------------------- what was found


def _table(folder: Path) -> list[str]:
    """Medians by place on the axes, and what is still missing."""
    from offloadbench import catalog, sweepfile
    from offloadbench.analysis import sweep as analysis

    found = sweepfile.load(folder)
    runs = sweepfile.load_runs(found, folder)
    rows = analysis.medians(found, analysis.trials(found, runs))
    shares = analysis.biggest_modules(found, runs, catalog.profile("linux"))
    columns = dict(zip(analysis.axis_columns(found), found.axes, strict=True))
    head = [*map(sweepfile.title, found.axes), "workload", "case", "goodput", "CPU busy", "CPU s/GB", "trials"]
    head += ["biggest modules"] if shares else []
    lines = [head]
    for row in rows.to_dict("records"):
        place = [sweepfile.format_value(axis, row[column]) for column, axis in columns.items()]
        biggest = shares.get((*(row[column] for column in columns), row["workload"], row["case"]), [])
        lines.append(
            [
                *place, row["workload"], row["case"], format_rate(row["goodput_bits_per_s"]),
                f"{row['cpu_busy_ratio']:.1%}", f"{row['cpu_s_per_gb']:.3f}", str(row["trials"]),
                *([", ".join(f"{module} {share:.0%}" for module, share in biggest)] if shares else []),
            ]
        )  # fmt: skip
    widths = [max(len(line[number]) for line in lines) for number in range(len(head))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    missing = [point for point in found.points if not point.done]
    if missing:
        text.append(f"{len(missing)} of {len(found.points)} points are missing")
        text += [f"  {point.number}: {point.problem}" for point in missing if point.problem]
    return text


def _draw(folder: Path, path: Path) -> None:
    """Throughput against RTT with what theory allows, as a file."""
    from offloadbench import sweepfile
    from offloadbench.report.plots import style
    from offloadbench.report.sweep_views import against_rtt

    if path.suffix not in (".svg", ".png"):
        raise UsageError(f"--plot {path}: neither .svg nor .png", "name the file rtt.svg")
    found = sweepfile.load(folder)
    drawn = against_rtt(found, sweepfile.load_runs(found, folder))
    if drawn is None:
        raise UsageError(f"{folder}: no trial that is ok", "go on with --resume")
    with style.drawing():
        figure = drawn()
        try:
            figure.savefig(path, facecolor="white", dpi=144)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}", "choose another file") from error
