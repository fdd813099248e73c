"""Measure a matrix told by a plan file: NICs, sysctls, MTU, rings, workloads and their parameters, cases."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from offloadbench.base.errors import UsageError
from offloadbench.commands import shared_grid

_REPORT = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The documentation describes the plan (how-to/batch.md); `sweep --show FOLDER` prints the result again."""
    parser.add_argument("plan", metavar="PLAN.toml", type=Path, nargs="?", help="the plan; --resume needs none")
    parser.add_argument(
        "--output", metavar="FOLDER", type=Path, help="sweep.json, a run file a point, the report (default: PLAN)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the batch in the folder; retry what failed")
    parser.add_argument("--dry-run", action="store_true", help="print order, duration and every setting touched")


def main(arguments: argparse.Namespace) -> int:
    from offloadbench.commands import plan_file

    if not arguments.plan and not (arguments.resume and arguments.output):
        raise UsageError("a plan is needed", "offloadbench batch plan.toml, or --resume --output FOLDER")
    wanted, seed = plan_file.read(arguments.plan) if arguments.plan else (None, None)
    folder = arguments.output or Path(arguments.plan.stem)
    code = shared_grid.measure(
        wanted,
        folder,
        seed=seed,
        resume=arguments.resume,
        dry_run=arguments.dry_run,
        again=f"offloadbench batch --resume --output {shlex.quote(str(folder))}",
        touched=True,
    )
    if not arguments.dry_run:
        _report(folder)
    return code


def _report(folder: Path) -> None:
    """One report over all points that were measured."""
    from offloadbench.definitions import catalog
    from offloadbench.files import sweep_file
    from offloadbench.report.formats import html

    found = sweep_file.load(folder)
    runs = sweep_file.load_runs(found, folder)
    if not any(trial.outcome == "ok" for run in runs for trial in run.trials):
        return
    path = folder / _REPORT
    try:
        names = [sweep_file.describe(point, found) for point in found.points if (folder / point.file).exists()]
        path.write_text(html.render(runs, catalog.profile("linux"), names), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "choose another --output") from error
    print(f"report: {path}")
