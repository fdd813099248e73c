"""Measure every point of a grid: settings of the emulated link, MTU, and any parameter of the workloads."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offloadbench.base.errors import OK, UsageError
from offloadbench.base.setting import SWEEP
from offloadbench.base.settings import chosen, of_command
from offloadbench.commands import endings, shared_grid
from offloadbench.commands.options import setting_options
from offloadbench.commands.typed import refuse_others

if TYPE_CHECKING:
    from offloadbench.files.sweep_file import Sweep


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Lists make axes: `--rtt 0,10,20ms`, `--set sndbuf=212992,16MiB`."""
    parser.add_argument("--nic", metavar="NIC", default="lab", help="lab or lab-veth (default: lab)")
    setting_options.add_arguments(parser, SWEEP)
    parser.add_argument(
        "--set", metavar="KEY=VALUES", action="append", default=[], help="a parameter's value, or a comma list of them"
    )
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
    setting_options.refuse_lacking(arguments, SWEEP, arguments.nic, "")
    axes = [setting for setting in of_command(SWEEP) if setting.axis]
    bed: dict[str, list[Any]] = {
        setting.field: setting.values(_words(getattr(arguments, setting.name) or str(setting.defaults[SWEEP])))
        for setting in axes
    }
    parameters: dict[str, list[str]] = {}
    for word in arguments.set:
        key, equals, values = word.partition("=")
        if not equals or key in parameters:
            raise UsageError(f"--set {word!r}: no '=', or its key twice", "write --set key=value,value")
        parameters[key] = _words(values)
    others = [setting for setting in of_command(SWEEP) if not setting.axis and setting.name != "workloads"]
    return shared_grid.make(
        nics={arguments.nic: ""},
        bed=bed,
        parameters=parameters,
        workloads=_words(arguments.workloads),
        fixed=chosen(vars(arguments), SWEEP, others),
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
