"""`run --runs N`: N runs one after another, each with a file of its own, and how far their means scatter.

Every run builds and tears down for itself, so that what differs between runs differs between these as well.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from offloadbench.base.errors import OK, OffloadbenchError, UsageError
from offloadbench.base.setting import RUN
from offloadbench.commands import interrupted, show_error

if TYPE_CHECKING:
    from offloadbench.engine.options import RunOptions
    from offloadbench.model import Run

FEWEST = 2
# of the command line, what may differ between a series and the command that goes on with it
_FREE = {"output", "resume", "overwrite", "no-report", "force", "dry-run", "runs", "seed"}
Measure = Callable[["RunOptions"], int]


def files(output: Path, count: int) -> list[Path]:
    """`x.json` -> `x-1.json` to `x-N.json`; `x.json.gz` keeps both its suffixes."""
    stem, dot, suffixes = output.name.partition(".")
    return [output.with_name(f"{stem}-{number}{dot}{suffixes}") for number in range(1, count + 1)]


def check(arguments: argparse.Namespace) -> None:
    """Raise UsageError where a series cannot be what was asked for."""
    if arguments.runs < FEWEST:
        raise UsageError(f"--runs {arguments.runs}: a series has {FEWEST} runs or more", "leave --runs out for one run")
    if arguments.dut:
        raise UsageError("--runs and --dut: the runs are made on that host", "start them there, or one at a time")
    if arguments.resume and arguments.output:
        raise UsageError("--resume names the files of the series, as --output did", "leave --output out")


def measure(arguments: argparse.Namespace, targets: Sequence[RunOptions], measure_one: Measure) -> int:
    """Make the runs that are missing or unfinished: run 1 of every NIC, then run 2, and so on.

    Args:
        targets: a NIC's options each, whose output names its series.

    Returns:
        The highest of the exit codes; what fails of one run leaves the others to be made.
    """
    series = [(options, files(options.output, arguments.runs)) for options in targets]
    planned = [
        dataclasses.replace(options, output=paths[number], seed=options.seed + number, resume=False)
        for number in range(arguments.runs)
        for options, paths in series
    ]
    codes, todo = [OK], []
    for options in planned:
        state = _state(options, arguments) if arguments.resume else "missing"
        if state == "missing" and not arguments.dry_run:
            from offloadbench.engine.options import check_output

            check_output(options)
        todo.append((options, state))
    again = shlex.quote(str(targets[0].output))
    for options, state in todo:
        print(f"{options.output.name}{': is there already' if state == 'finished' else ':'}", flush=True)
        if state == "finished":
            continue
        try:
            with interrupted.with_the_way_on(lambda: f"the same command with --resume {again} instead of --output"):
                codes.append(measure_one(dataclasses.replace(options, resume=state == "unfinished")))
        except OffloadbenchError as error:
            show_error(error)
            codes.append(error.exit_code)
    if not arguments.dry_run:
        for _, paths in series:
            print("\n".join(_told(paths)))
    return max(codes)


def _state(options: RunOptions, arguments: argparse.Namespace) -> str:
    """`finished`, `unfinished` or `missing`.

    Raises:
        UsageError: the file is of another command.
    """
    from offloadbench.files import run_file

    if not options.output.exists():
        return "missing"
    run = run_file.load(options.output)
    if _asked(run.command[2:]) != _asked(_words(arguments)):
        raise UsageError(
            f"{options.output} was measured by another command: {shlex.join(run.command)}",
            "go on with the same options, with --resume instead of --output",
        )
    failed = any(trial.outcome == "failed" for trial in run.trials)
    return "finished" if run.finished_utc and not failed else "unfinished"


def _words(arguments: argparse.Namespace) -> list[str]:
    from offloadbench.commands.options import run_defaults

    return run_defaults.words(arguments, _FREE)


def _asked(words: Sequence[str]) -> list[str]:
    """The options of a command line in one spelling, but for those that may differ."""
    from offloadbench.commands.options import setting_options

    parser = argparse.ArgumentParser(add_help=False)
    setting_options.add_arguments(parser, RUN)
    return _words(parser.parse_args(words))


def _told(paths: Sequence[Path]) -> list[str]:
    """How far the runs lie apart, and how to compare them with others."""
    from offloadbench.analysis.comparison import run_scatter
    from offloadbench.files import run_file

    runs: list[Run] = [run_file.load(path) for path in paths if path.exists()]
    names = [shlex.quote(str(path)) for path in paths if path.exists()]
    if len(runs) < FEWEST:
        return ["fewer than two runs were made: how far runs lie apart is not known"]
    try:
        found = run_scatter.sentences(run_scatter.run_scatter(runs))
    except OffloadbenchError as error:
        found = [f"how far the runs lie apart cannot be told: {error.message}"]
    return [*found, f"compare with others: offloadbench compare --baseline {' '.join(names)} --candidate FILE..."]
