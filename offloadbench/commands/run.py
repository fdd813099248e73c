"""Measure: switch the offloads case by case under load, and write one run file."""

from __future__ import annotations

import argparse
import datetime
import random
import shlex
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from offloadbench.base.errors import OK, OffloadbenchError, TrafficError, UsageError
from offloadbench.base.setting import RUN
from offloadbench.base.settings import FLEET_PREFIX, SETTINGS, check_together, chosen
from offloadbench.base.units import format_rate
from offloadbench.commands import interrupted, run_elsewhere, run_series, show_error
from offloadbench.commands.options import setting_options

if TYPE_CHECKING:
    from offloadbench.commands.options.nic_options import NicTarget
    from offloadbench.engine.options import RunOptions
    from offloadbench.model import Run

_MAX_REPEATS = 20
# five blocks give verdicts; a long window a case would give none in the same minutes
_QUICK = {"cases": "tso,none", "repeats": 5, "duration": 5, "warmup": 2.0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Every option of `offloadbench run`: the contract that others script against."""
    setting_options.add_arguments(parser, RUN)


def _precision(values: Mapping[str, Any]) -> tuple[float, int, int]:
    """The half width asked for, the repeats to begin with, and the most; 0 without --precision."""
    from offloadbench.analysis.comparison.precision import FIRST_LOOK

    ratio, repeats, most = (values[field] for field in ("precision_ratio", "repeats", "max_repeats"))
    if not ratio:
        if most is not None:
            raise UsageError("--max-repeats is where --precision gives up", "add --precision 2%, or use --repeats")
        return 0.0, repeats, 0
    most, least = _MAX_REPEATS if most is None else most, max(FIRST_LOOK, repeats)
    if most < least:
        raise UsageError(f"--max-repeats {most} is too small", f"use at least {least}")
    return ratio, least, most


def _default_workloads(arguments: argparse.Namespace) -> list[str]:
    # the others have one load host each
    return ["ftp-get"] if arguments.fleet else ["ftp-get", "iscsi-write"]


def _check_complete(arguments: argparse.Namespace) -> None:
    """Raise UsageError where the NIC is missing, or where a run that goes on is asked for something else."""
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
    if not goes_on and not arguments.nic:
        raise UsageError("--nic is missing", "for example: offloadbench run --nic lab")


def _quick_look(arguments: argparse.Namespace) -> None:
    """What a run measures that was not told what: enough for a verdict in a few minutes."""
    typed = [name for name in _QUICK if name in arguments.typed or getattr(arguments, name) != _default(name)]
    for name, value in _QUICK.items():
        if name not in typed:
            setattr(arguments, name, value)
    print(
        f"no --cases: every offload on (tso) against none, {arguments.repeats} repeats of {arguments.duration} s; "
        "`--cases ladder` tells TSO, GSO and checksum offload apart",
        flush=True,
    )


def _default(name: str) -> Any:
    return next(setting.defaults[RUN] for setting in SETTINGS if setting.name == name)


def main(arguments: argparse.Namespace) -> int:
    from offloadbench.bed.remote import wait
    from offloadbench.engine.options import check_output
    from offloadbench.model.emulated_link import with_link

    if arguments.runs is not None:
        run_series.check(arguments)
    if arguments.dut:
        run_elsewhere.check(arguments)
    _check_complete(arguments)
    if not arguments.cases and (arguments.resume is None or arguments.runs is not None):
        _quick_look(arguments)
    values = with_link(chosen(vars(arguments), RUN))
    check_together(values)
    _precision(values)
    if arguments.dut:
        setting_options.refuse_lacking(arguments, RUN, arguments.nic, wait.PREFIX)
        return run_elsewhere.main(arguments)
    if values["seed"] is None:
        values["seed"] = random.SystemRandom().randrange(1, 2**31)
    asked = [_options(arguments, target, values) for target in _targets(arguments)]
    for options in asked:
        if len(asked) > 1 and arguments.runs is None:
            check_output(options)
    # of a series the page is of all of it
    page = not arguments.no_report and arguments.runs is None

    def measure(options: RunOptions) -> int:
        return _measure(options, dry_run=arguments.dry_run, page=page)

    if arguments.runs is not None:
        return run_series.measure(arguments, asked, measure)
    if len(asked) == 1:
        return measure(asked[0])
    return _in_turn(asked, measure, dry_run=arguments.dry_run)


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
            load_side = f"{FLEET_PREFIX}{arguments.fleet}" if arguments.fleet else target.peer
            setting_options.refuse_lacking(arguments, RUN, target.nic, load_side)
        if arguments.output.endswith("/"):
            nic_options.make_folder(target.output.parent)
    return found


def _options(arguments: argparse.Namespace, target: NicTarget, values: dict[str, Any]) -> RunOptions:
    from offloadbench.engine.options import RunOptions

    if arguments.fleet and arguments.peer:
        raise UsageError("--fleet is the load side, and so is --peer", "leave one of them out")
    if arguments.workloads and not values["workloads"]:
        raise UsageError("--workloads names none", "for example: --workloads ftp-get")
    precision_ratio, repeats, max_repeats = _precision(values)
    asked = values | {
        "nic": target.nic,
        "peer": f"{FLEET_PREFIX}{arguments.fleet}" if arguments.fleet else target.peer,
        "cases": values["cases"] or "",
        "workloads": values["workloads"] or _default_workloads(arguments),
        "precision_ratio": precision_ratio,
        "repeats": repeats,
        "max_repeats": max_repeats,
        "output": target.output,
        "resume": arguments.resume is not None,
        "command": ["offloadbench", *sys.argv[1:]],
    }
    return RunOptions(**asked)


def _in_turn(asked: list[RunOptions], measure: run_series.Measure, *, dry_run: bool) -> int:
    """Several NICs, one after the other; what fails of one leaves the others to be measured.

    Returns:
        The highest of the exit codes.
    """
    codes = []
    for options in asked:
        print(f"{options.nic}:", flush=True)
        try:
            codes.append(measure(options))
        except OffloadbenchError as error:
            show_error(error)
            codes.append(error.exit_code)
    files = [shlex.quote(str(options.output)) for options in asked if options.output.exists()]
    if len(files) > 1 and not dry_run:
        print(f"together: offloadbench report {' '.join(files)} --output report.html")
    return max(codes)


def _measure(options: RunOptions, *, dry_run: bool, page: bool) -> int:
    from offloadbench.analysis.comparison import steadiness
    from offloadbench.commands import progress, run_answer
    from offloadbench.engine.run import execute as engine

    if dry_run:
        print("\n".join(engine.preview(options)))
        return OK
    again = f"offloadbench run --resume {shlex.quote(str(options.output))}"
    with interrupted.with_the_way_on(lambda: again if options.output.exists() else ""), progress.show() as emit:
        run = engine.execute(options, emit)
    found = run_answer.material(run, options.output)
    for text in progress.wrapped(list(run_answer.lines(found)), sys.stdout):
        print(text, flush=True)
    doubts = [f"warning: {text}" for text in steadiness.told(steadiness.doubts(run))]
    for text in progress.wrapped(doubts, sys.stderr):
        sys.stderr.write(f"{text}\n")
    for text in progress.wrapped([*_why(run), *_tuned(run)], sys.stdout):
        print(text)
    print(f"result: {options.output}")
    if page:
        print(run_answer.write_page(found, options.output, again=options.resume or options.overwrite))
    else:
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
