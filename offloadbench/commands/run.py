"""Measure: switch the offloads case by case under load, and write one run file."""

from __future__ import annotations

import argparse
import datetime
import math
import random
import shlex
import sys
from typing import TYPE_CHECKING

from offloadbench.base.errors import OK, OffloadbenchError, TrafficError, UsageError
from offloadbench.base.units import format_rate, parse_percent
from offloadbench.commands import interrupted, run_elsewhere, run_series, show_error
from offloadbench.commands.options import cable_options
from offloadbench.commands.options.run_arguments import add_arguments

if TYPE_CHECKING:
    from offloadbench.commands.options.nic_options import NicTarget
    from offloadbench.engine.options import RunOptions
    from offloadbench.model import Run

__all__ = ["add_arguments", "main"]
_MAX_REPEATS = 20


def _precision(arguments: argparse.Namespace) -> tuple[float, int, int]:
    """The half width asked for, the repeats to begin with, and the most; 0 without --precision."""
    from offloadbench.analysis.comparison.precision import FIRST_LOOK

    if not arguments.precision:
        if arguments.max_repeats is not None:
            raise UsageError("--max-repeats is where --precision gives up", "add --precision 2%, or use --repeats")
        return 0.0, arguments.repeats, 0
    most = _MAX_REPEATS if arguments.max_repeats is None else arguments.max_repeats
    _at_least("max-repeats", most, max(FIRST_LOOK, arguments.repeats))
    return parse_percent(arguments.precision), max(FIRST_LOOK, arguments.repeats), most


def _default_workloads(arguments: argparse.Namespace) -> str:
    # the others have one load host each
    return "ftp-get" if arguments.fleet else "ftp-get,iscsi-write"


def _at_least(name: str, value: float, low: float) -> None:
    if not low <= value < math.inf:
        raise UsageError(f"--{name} {value:g} is too small", f"use at least {low:g}")


def _check_complete(arguments: argparse.Namespace) -> None:
    """Raise UsageError where NIC or cases are missing, or where a run that goes on is asked for something else."""
    # a series names its runs by --resume, and is asked for whole
    goes_on = arguments.resume is not None and arguments.runs is None
    if goes_on:
        if arguments.nic and "," in arguments.nic:
            raise UsageError(
                "--resume goes on with one run file, which has one NIC", "resume each NIC's file by itself"
            )
        from offloadbench.commands import run_resume
        from offloadbench.files import run_file

        run_resume.check(arguments, run_file.load(arguments.resume))
    missing = [f"--{name}" for name in ("nic", "cases") if not getattr(arguments, name) and not goes_on]
    if missing:
        raise UsageError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing",
            "for example: offloadbench run --nic lab --cases paper",
        )


def main(arguments: argparse.Namespace) -> int:
    from offloadbench.engine.options import check_load_side, check_output

    if arguments.runs is not None:
        run_series.check(arguments)
    if arguments.dut:
        run_elsewhere.check(arguments)
    _check_complete(arguments)
    if arguments.call_graph and arguments.no_profile:
        raise UsageError("--call-graph belongs to the profile that --no-profile leaves out", "drop one of them")
    if arguments.keep_perf and arguments.no_profile:
        raise UsageError("--keep-perf keeps the recordings that --no-profile leaves out", "drop one of them")
    if "on_lost_worker" in arguments.typed and not (arguments.fleet or arguments.resume):
        raise UsageError("--on-lost-worker is of the workers of --fleet", "leave it out, or name a --fleet")
    _at_least("duration", arguments.duration, 2)
    _at_least("warmup", arguments.warmup, 0)
    _at_least("repeats", arguments.repeats, 1)
    _precision(arguments)
    if arguments.dut:
        cable_options.check_nic(arguments, arguments.nic)
        return run_elsewhere.main(arguments)
    asked = [_options(arguments, target) for target in _targets(arguments)]
    for options in asked:
        check_load_side(options)
        if len(asked) > 1 and arguments.runs is None:
            check_output(options)
    if arguments.runs is not None:
        return run_series.measure(arguments, asked, lambda options: _measure(options, dry_run=arguments.dry_run))
    if len(asked) == 1:
        return _measure(asked[0], dry_run=arguments.dry_run)
    return _in_turn(asked, dry_run=arguments.dry_run)


def _targets(arguments: argparse.Namespace) -> list[NicTarget]:
    from offloadbench.commands.options import nic_options

    goes_on = arguments.resume is not None and arguments.runs is None
    if goes_on:
        found = [nic_options.NicTarget(arguments.nic or "", arguments.peer, arguments.resume.absolute())]
    else:
        stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
        output = str(arguments.resume) if arguments.resume else arguments.output
        found = nic_options.targets(arguments.nic, arguments.peer, output, stamp)
    for target in found:
        # a run that goes on has its own link
        if not goes_on:
            cable_options.check_nic(arguments, target.nic)
        if arguments.output.endswith("/"):
            nic_options.make_folder(target.output.parent)
    return found


def _options(arguments: argparse.Namespace, target: NicTarget) -> RunOptions:
    from offloadbench.engine.options import RunOptions

    precision_ratio, repeats, max_repeats = _precision(arguments)
    if arguments.fleet and arguments.peer:
        raise UsageError("--fleet is the load side, and so is --peer", "leave one of them out")
    workloads = [name for name in (arguments.workloads or _default_workloads(arguments)).split(",") if name]
    if not workloads:
        raise UsageError("--workloads names none", "for example: --workloads ftp-get")
    if arguments.seed is None:
        arguments.seed = random.SystemRandom().randrange(1, 2**31)
    return RunOptions(
        nic=target.nic,
        peer=f"fleet:{arguments.fleet}" if arguments.fleet else target.peer,
        on_lost_worker=arguments.on_lost_worker,
        cases=arguments.cases or "",
        workloads=workloads,
        output=target.output,
        duration_s=arguments.duration,
        warmup_s=arguments.warmup,
        repeats=repeats,
        precision_ratio=precision_ratio,
        max_repeats=max_repeats,
        seed=arguments.seed,
        **cable_options.settings(arguments),
        settings=arguments.set,
        force=arguments.force,
        resume=arguments.resume is not None,
        profile=not arguments.no_profile,
        keep_perf=arguments.keep_perf,
        call_graph=arguments.call_graph,
        waits=arguments.waits,
        capture=arguments.capture,
        tune=arguments.tune is not None,
        command=["offloadbench", *sys.argv[1:]],
    )


def _in_turn(asked: list[RunOptions], *, dry_run: bool) -> int:
    """Several NICs, one after the other; what fails of one leaves the others to be measured.

    Returns:
        The highest of the exit codes.
    """
    codes = []
    for options in asked:
        print(f"{options.nic}:", flush=True)
        try:
            codes.append(_measure(options, dry_run=dry_run))
        except OffloadbenchError as error:
            show_error(error)
            codes.append(error.exit_code)
    files = [shlex.quote(str(options.output)) for options in asked if options.output.exists()]
    if len(files) > 1 and not dry_run:
        print(f"together: offloadbench report {' '.join(files)} --output report.html")
    return max(codes)


def _measure(options: RunOptions, *, dry_run: bool) -> int:
    from offloadbench.analysis.comparison import steadiness
    from offloadbench.commands import progress
    from offloadbench.engine.run import execute as engine

    if dry_run:
        print("\n".join(engine.preview(options)))
        return OK
    again = f"offloadbench run --resume {shlex.quote(str(options.output))}"
    with interrupted.with_the_way_on(lambda: again if options.output.exists() else ""), progress.show() as emit:
        run = engine.execute(options, emit)
    doubts = [f"warning: {text}" for text in steadiness.told(steadiness.doubts(run))]
    for text in progress.wrapped(doubts, sys.stderr):
        sys.stderr.write(f"{text}\n")
    for text in progress.wrapped([*_why(run), *_tuned(run)], sys.stdout):
        print(text)
    print(f"result: {options.output}")
    print(f"next: offloadbench report {shlex.quote(str(options.output))} --output report.html")
    failed = [trial for trial in run.trials if trial.outcome == "failed"]
    if not failed and not any(trial.outcome == "ok" for trial in run.trials):
        reasons = "; ".join(dict.fromkeys(trial.reason for trial in run.trials))
        raise TrafficError(f"no trial could be measured: {reasons}", f"offloadbench cases --nic {options.nic}")
    return TrafficError.exit_code if failed else OK


def _why(run: Run) -> list[str]:
    """What limited each trial whose sender was watched."""
    from offloadbench.analysis.sender import limit_tables

    return [
        f"{row['workload']} {row['case']}, repeat {row['repeat']}: {row['sentence']}"
        for row in limit_tables.limits([run]).to_dict("records")
    ]


def _tuned(run: Run) -> list[str]:
    """Before, after and theory of every workload that ran with a raised send buffer too."""
    from offloadbench.analysis.sender import limit_tables
    from offloadbench.engine.run.raised_send_buffer import SUFFIX

    bounds = limit_tables.bounds([run])
    bounds = bounds[~bounds["exceeded"].astype(bool)]
    lines = []
    for (workload, case), before in bounds.groupby(["workload", "case"], sort=False):
        after = bounds[(bounds["workload"] == f"{workload}{SUFFIX}") & (bounds["case"] == case)]
        if after.empty:
            continue
        was, now = (float(rows["goodput_bits_per_s"].median()) for rows in (before, after))
        theory = after.sort_values("bound_bits_per_s").iloc[0]
        lines.append(
            f"{workload} {case}: send buffer raised: {format_rate(was)} -> {format_rate(now)} ({now / was:.1f} times); "
            f"theory allows {format_rate(theory['bound_bits_per_s'])} by {theory['bound']}"
        )
    return lines
