"""Measure every point of a grid: RTT, line rate, loss, queue, and any parameter of the workloads."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offloadbench.base.errors import OK, UsageError
from offloadbench.base.link_settings import LINK_SETTINGS
from offloadbench.base.units import parse_duration_s, parse_whole_seconds
from offloadbench.commands import endings, shared_grid
from offloadbench.commands.options import cable_options
from offloadbench.commands.typed import refuse_others

if TYPE_CHECKING:
    from offloadbench.files.sweep_file import Sweep


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Lists make axes: `--rtt 0,10,20ms`, `--set sndbuf=212992,16MiB`."""
    parser.add_argument("--nic", metavar="NIC", default="lab", help="lab or lab-veth (default: lab)")
    parser.add_argument("--workloads", metavar="LIST", help="names or TOML files")
    parser.add_argument("--cases", metavar="LIST", default="tso", help="as of `run` (default: tso)")
    cable_options.add_arguments(parser, lists=True)
    parser.add_argument(
        "--set", metavar="KEY=VALUES", action="append", default=[], help="a parameter's value, or a comma list of them"
    )
    parser.add_argument(
        "--duration",
        metavar="TIME",
        type=parse_whole_seconds,
        default=10,
        help="measured window: 10, 30s, 1m (default: 10)",
    )
    parser.add_argument("--warmup", metavar="TIME", type=parse_duration_s, default=5.0, help="warm-up (default: 5)")
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
        refuse_others(arguments, {"show", "plot"}, "--show prints a sweep that was measured")
        endings.check(arguments.plot, (".svg", ".png"), "--plot")
        print("\n".join(shared_grid.table(arguments.show)))
        if arguments.plot:
            _draw(arguments.show, arguments.plot)
            print(f"plot: {arguments.plot}")
        return OK
    if arguments.plot:
        raise UsageError("--plot draws a sweep that is there", "add --show FOLDER")
    if arguments.resume and not arguments.workloads:
        refuse_others(
            arguments,
            {"resume", "output", "dry_run"},
            "--resume goes on with the sweep in the folder, as it was begun",
            "leave it out; or type the whole sweep again, which is then compared",
        )
    if not arguments.output and not (arguments.dry_run and not arguments.resume):
        raise UsageError("--output FOLDER is needed", "it holds sweep.json and a run file a point")
    if not arguments.workloads and not arguments.resume:
        raise UsageError(
            "--workloads is needed", "offloadbench sweep --workloads tcp-stream --rtt 0,10,20ms --output rtt"
        )
    wanted = _wanted(arguments) if arguments.workloads else None
    return shared_grid.measure(
        wanted,
        arguments.output,
        seed=arguments.seed,
        resume=arguments.resume,
        dry_run=arguments.dry_run,
        again=f"offloadbench sweep --resume --output {arguments.output}",
    )


# ---------------------------------------------------------------- what is asked for


def _words(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",")]
    if "" in words or len(set(words)) != len(words):
        raise UsageError(f"{text!r}: values are missing or twice there", "write them as a comma list: 0,10,20ms")
    return words


def _wanted(arguments: argparse.Namespace) -> Sweep:
    """The sweep that the command line asks for."""
    cable_options.check_nic(arguments, arguments.nic)
    if arguments.duration < 2 or arguments.warmup < 0 or arguments.repeats < 1:
        raise UsageError("--duration, --warmup or --repeats is too small", "use at least 2, 0 and 1")
    bed: dict[str, list[Any]] = {
        setting.field: setting.values(_words(getattr(arguments, setting.name) or setting.default))
        for setting in LINK_SETTINGS
    }
    parameters: dict[str, list[str]] = {}
    for setting in arguments.set:
        key, equals, values = setting.partition("=")
        if not equals or key in parameters:
            raise UsageError(f"--set {setting!r}: no '=', or its key twice", "write --set key=value,value")
        parameters[key] = _words(values)
    return shared_grid.make(
        nics={arguments.nic: ""},
        bed=bed,
        parameters=parameters,
        workloads=_words(arguments.workloads),
        cases=arguments.cases,
        duration_s=arguments.duration,
        warmup_s=arguments.warmup,
        repeats=arguments.repeats,
        seed=arguments.seed,
        profile=not arguments.no_profile,
        fixed_sysctls=cable_options.parse_sysctls(arguments.sysctl),
        wire=arguments.wire or "tap",
    )


# ---------------------------------------------------------------- what was found


def _draw(folder: Path, path: Path) -> None:
    """Throughput against RTT with what theory allows, as a file."""
    from offloadbench.files import sweep_file
    from offloadbench.report.plots import style
    from offloadbench.report.sections.sweep_views import against_rtt

    found = sweep_file.load(folder)
    drawn = against_rtt(found, sweep_file.load_runs(found, folder))
    if drawn is None:
        raise UsageError(f"{folder}: no trial that is ok", "go on with --resume")
    with style.drawing():
        figure = drawn()
        try:
            figure.savefig(path, facecolor="white", dpi=144)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}", "choose another file") from error
