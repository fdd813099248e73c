"""Compare runs with the first of them, or the cases of one run with each other: by how much, and how sure."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from offloadbench.errors import REGRESSION, UsageError

if TYPE_CHECKING:
    from offloadbench.analysis.compare import Comparison
    from offloadbench.analysis.gate import Gate
    from offloadbench.model import Profile, Run

FORMAT_NAMES = ("table", "markdown", "json", "csv", "junit", "github")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Several files: the first is the baseline. One file: its cases against the reference case."""
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="run files, the baseline first")
    parser.add_argument("--within", action="store_true", help="compare the cases inside each file, block by block")
    parser.add_argument("--reference", metavar="CASE", default="", help="inside a run (default: first on the ladder)")
    parser.add_argument("--by", choices=("case", "workload", "module"), default="case", help="rows (default: case)")
    parser.add_argument(
        "--metric", metavar="NAME", action="append", default=[], help="a metric more, such as cpu_busy_ratio"
    )
    parser.add_argument("--format", choices=FORMAT_NAMES, default="table", help="default: table")
    parser.add_argument(
        "--fail-on", metavar="BOUND", action="append", default=[], help="exit 1 beyond it: 'cpu_s_per_gb>+5%%'"
    )
    parser.add_argument("--strict", action="store_true", help="exit 4 when the data cannot decide")
    parser.add_argument("--profile", metavar="NAME", default="linux", help="attribution profile (default: linux)")
    parser.add_argument("--force", action="store_true", help="compare runs of other NICs, windows or workloads too")


def _metrics(arguments: argparse.Namespace, gates: list[Gate]) -> list[str]:
    """The headline metrics, and those that were asked for or are bounded: all of them are one family."""
    from offloadbench.analysis.observations import HEADLINES, LESS_IS_BETTER, MORE_IS_BETTER

    wrong = [name for name in arguments.metric if name not in LESS_IS_BETTER | MORE_IS_BETTER]
    if wrong:
        known = ", ".join(sorted(LESS_IS_BETTER | MORE_IS_BETTER))
        raise UsageError(f"--metric {wrong[0]}: no such metric", f"known: {known}")
    return list(dict.fromkeys([*HEADLINES, *arguments.metric, *(gate.metric for gate in gates)]))


def _comparisons(
    arguments: argparse.Namespace, runs: list[Run], profile: Profile, gates: list[Gate]
) -> list[Comparison]:
    from offloadbench.analysis import compare

    metrics = _metrics(arguments, gates)
    if arguments.within or len(runs) == 1:
        return [
            compare.within(run, profile, reference=arguments.reference, by=arguments.by, metrics=metrics)
            for run in runs
        ]
    if arguments.reference:
        raise UsageError("--reference is for the cases inside a run", "add --within, or leave it out")
    names = [str(path) for path in arguments.files]
    return [compare.between(runs, names, profile, by=arguments.by, metrics=metrics, force=arguments.force)]


def _effects(run: Run, profile: Profile) -> list[str]:
    """What the run's factors do, in sentences, with the modules where it was profiled."""
    from offloadbench.analysis.effects import effects

    every = effects(run)
    # a workload whose run was not made for effects would only say so five times
    told = {effect.workload for effect in every if effect.judgement}
    found = [effect for effect in every if effect.workload in told]
    if not found:
        return []
    from offloadbench.analysis import effect_shares, effect_tables
    from offloadbench.analysis.module_costs import module_costs

    return effect_tables.sentences(found, effect_shares.shares(run, module_costs([run], profile)))


def main(arguments: argparse.Namespace) -> int:
    from offloadbench import catalog, runfile
    from offloadbench.analysis import compatibility, gate
    from offloadbench.report import comparison as formats

    gates = [gate.parse(text) for text in arguments.fail_on]
    if gates and arguments.by == "module":
        raise UsageError("--fail-on bounds metrics of trials, not of modules", "use --by case or --by workload")
    if arguments.within and len(arguments.files) > 1 and arguments.format not in ("table", "markdown"):
        raise UsageError(f"--format {arguments.format} holds one comparison", "give --within one file at a time")
    profile = catalog.profile(arguments.profile)
    runs = [runfile.load(path) for path in arguments.files]
    found = _comparisons(arguments, runs, profile, gates)
    inside = arguments.within or len(runs) == 1
    codes = []
    for index, comparison in enumerate(found):
        described = zip(arguments.files, runs, strict=True) if not inside else [(arguments.files[index], runs[index])]
        heads = [
            f"{path}: {run.nic.name}, {run.nic.driver}, Linux {run.host.kernel}, {run.created_utc}"
            for path, run in described
        ]
        heads += [] if inside else [compatibility.likeness(runs)]
        sheet = formats.Sheet(
            comparison,
            gate.outcomes(gates, comparison),
            heads,
            _effects(runs[index], profile) if inside else [],
        )
        sys.stdout.write(formats.FORMATS[arguments.format](sheet))
        codes.append(gate.exit_code(gates, comparison, strict=arguments.strict))
    # a regression outweighs what is undecided
    return REGRESSION if REGRESSION in codes else max(codes)
