"""Compare runs with runs, or the cases of one run with each other: by how much, and how sure."""

from __future__ import annotations

import argparse
import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from offloadbench.base import similar
from offloadbench.base.errors import REGRESSION, UNDECIDED, UsageError

if TYPE_CHECKING:
    from offloadbench.analysis.comparison.changes import Comparison
    from offloadbench.analysis.comparison.gate import Gate, Outcome
    from offloadbench.analysis.comparison.groups import RunGroup
    from offloadbench.analysis.statistics.run_means import KnownScatter
    from offloadbench.model import Profile, Run

FORMAT_NAMES = ("table", "markdown", "json", "csv", "junit", "github")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Two sides of several runs, or several files (the first is the baseline), or the cases of one file."""
    parser.add_argument("files", metavar="FILE", nargs="*", type=Path, help="run files, the baseline first")
    parser.add_argument("--baseline", metavar="FILE", nargs="+", type=Path, default=[], help="runs of one side")
    parser.add_argument(
        "--candidate", metavar="FILE", nargs="+", type=Path, default=[], help="runs of the other: 3 a side decide"
    )
    parser.add_argument(
        "--scatter-from", metavar="FILE", nargs="+", type=Path, default=[],
        help="more runs of the configuration, to learn how far identical runs lie apart",
    )  # fmt: skip
    parser.add_argument(
        "--run-scatter", metavar="[NAME=]PCT[:RUNS]", action="append", default=[],
        help="how far identical runs lie apart: standard deviation of their means, of one metric or all, and of how "
        "many runs it is known (default: exactly): 8%%, cpu_s_per_gb=8%%:6",
    )  # fmt: skip
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
    parser.add_argument("--strict", action="store_true", help="exit 4 when the data cannot decide; print what would")
    parser.add_argument("--profile", metavar="NAME", default="linux", help="attribution profile (default: linux)")
    parser.add_argument("--force", action="store_true", help="compare runs of other NICs, windows or workloads too")


def _metrics(arguments: argparse.Namespace, gates: list[Gate]) -> list[str]:
    """The headline metrics, and those that were asked for or are bounded."""
    from offloadbench.analysis.comparison.usable_trials import HEADLINES, LESS_IS_BETTER, MORE_IS_BETTER

    wrong = [name for name in arguments.metric if name not in LESS_IS_BETTER | MORE_IS_BETTER]
    if wrong:
        known = sorted(LESS_IS_BETTER | MORE_IS_BETTER)
        raise UsageError(
            f"--metric {wrong[0]}: no such metric", similar.hint(wrong[0], known, f"known: {', '.join(known)}")
        )
    return list(dict.fromkeys([*HEADLINES, *arguments.metric, *(gate.metric for gate in gates)]))


def _known(texts: list[str]) -> dict[str, KnownScatter]:
    """Metric -> scatter between runs, as `--run-scatter` says; a value without a name is of all."""
    from offloadbench.analysis.comparison.usable_trials import LESS_IS_BETTER, MORE_IS_BETTER
    from offloadbench.analysis.statistics.run_means import EXACT, KnownScatter
    from offloadbench.base.units import parse_percent

    metrics = LESS_IS_BETTER | MORE_IS_BETTER
    found: dict[str, KnownScatter] = {}
    for text in texts:
        match = re.fullmatch(r"(?:(\w+)=)?([^:=]+)(?::(\d+))?", text)
        if not match or (match[1] and match[1] not in metrics) or (match[3] and int(match[3]) < 2):
            raise UsageError(
                f"--run-scatter {text!r}: not a scatter", "for example: 8%, or cpu_s_per_gb=8%:6 of 6 runs"
            )
        scatter = KnownScatter(math.log1p(parse_percent(match[2])), int(match[3]) - 1 if match[3] else EXACT)
        found |= dict.fromkeys([match[1]] if match[1] else sorted(metrics), scatter)
    return found


def _groups(arguments: argparse.Namespace) -> list[RunGroup]:
    """The sides as they were given."""
    from offloadbench.analysis.comparison.groups import RunGroup
    from offloadbench.files import run_file

    if bool(arguments.baseline) != bool(arguments.candidate):
        raise UsageError("--baseline and --candidate go together", "name the runs of both sides")
    if arguments.baseline and arguments.files:
        raise UsageError(
            f"{arguments.files[0]} is on neither side", "name it after --baseline, --candidate or --scatter-from"
        )
    if not arguments.baseline and not arguments.files:
        raise UsageError("nothing to compare", "name run files, or --baseline FILE... --candidate FILE...")
    if arguments.baseline:
        sides = {"baseline": arguments.baseline, "candidate": arguments.candidate}
    else:
        sides = {f"{path} ({index})" if index else str(path): [path] for index, path in enumerate(arguments.files)}
    found = []
    for name, paths in sides.items():
        runs = [run_file.load(path) for path in paths]
        found.append(RunGroup(str(paths[0]) if len(paths) == 1 else name, runs, [str(path) for path in paths]))
    return found


def _is_inside(arguments: argparse.Namespace) -> bool:
    return bool(arguments.within or (len(arguments.files) == 1 and not arguments.baseline))


def _comparisons(
    arguments: argparse.Namespace, groups: list[RunGroup], profile: Profile, gates: list[Gate]
) -> list[Comparison]:
    from offloadbench.analysis.comparison import changes
    from offloadbench.analysis.comparison.groups import RunGroup, ScatterSource
    from offloadbench.files import run_file

    metrics = _metrics(arguments, gates)
    elsewhere = arguments.scatter_from or arguments.run_scatter
    if _is_inside(arguments):
        if arguments.baseline or elsewhere:
            raise UsageError("--within compares the cases of each file", "leave out what is of several runs")
        return [
            changes.within(group.runs[0], profile, reference=arguments.reference, by=arguments.by, metrics=metrics)
            for group in groups
        ]
    if arguments.reference:
        raise UsageError("--reference is for the cases inside a run", "add --within, or leave it out")
    if arguments.run_scatter and arguments.by == "module":
        raise UsageError("--run-scatter is of metrics, not of modules", "use --scatter-from, or several runs a side")
    more = [run_file.load(path) for path in arguments.scatter_from]
    scatter = ScatterSource(
        RunGroup("--scatter-from", more, [str(path) for path in arguments.scatter_from]), _known(arguments.run_scatter)
    )
    return [
        changes.between_groups(
            groups, profile, scatter=scatter, by=arguments.by, metrics=metrics, force=arguments.force
        )
    ]


def _effects(run: Run, profile: Profile) -> list[str]:
    """What the run's factors do, in sentences, with the modules where it was profiled."""
    from offloadbench.analysis.comparison.factor_effects import effects
    from offloadbench.analysis.comparison.judging import judged
    from offloadbench.analysis.comparison.usable_trials import observations

    answers = judged(observations(run))
    every = effects(answers)
    # a workload whose run was not made for effects would only say so five times
    told = {effect.workload for effect in every if effect.judgement}
    found = [effect for effect in every if effect.workload in told]
    if not found:
        return []
    from offloadbench.analysis.comparison import effect_shares
    from offloadbench.analysis.comparison.module_costs import module_costs
    from offloadbench.analysis.tables import effect_tables

    return effect_tables.sentences(found, effect_shares.shares(answers.seen, module_costs([run], profile)))


def _to_decide(
    arguments: argparse.Namespace, comparison: Comparison, found: list[Outcome], groups: list[RunGroup]
) -> list[str]:
    """What is open, and the commands that would decide it; nothing where all is decided."""
    from offloadbench.analysis.comparison import deciding, gate
    from offloadbench.analysis.statistics.holm import INDICATION, TOO_FEW
    from offloadbench.report import basis

    without = (TOO_FEW, INDICATION)
    undecided = [row for row in comparison.rows if row.judgement.verdict in without]
    if arguments.strict:
        undecided += [outcome.row for outcome in found if outcome.state == gate.OPEN]
    if not undecided or arguments.by == "module":
        return []
    units = deciding.units_needed(comparison, found)
    what = f"open: {basis.listed(undecided)}"
    if not units:
        return [f"{what}; more runs than are worth it would be needed: the change is too near its bound, or too small"]
    options = [word for text in arguments.fail_on for word in ("--fail-on", text)]
    options += ["--by", arguments.by] if arguments.by != "case" else []
    options += ["--strict"] if arguments.strict else []
    if _is_inside(arguments):
        return [what, *deciding.inside(groups[0].runs[0], groups[0].names[0], units, options)]
    return [what, *deciding.between(groups, units, options)]


def main(arguments: argparse.Namespace) -> int:
    from offloadbench.analysis.comparison import compatibility, gate
    from offloadbench.definitions import catalog
    from offloadbench.report import compare_text as formats

    gates = [gate.parse(text) for text in arguments.fail_on]
    if gates and arguments.by == "module":
        raise UsageError("--fail-on bounds metrics of trials, not of modules", "leave --by module out")
    if arguments.within and len(arguments.files) > 1 and arguments.format not in ("table", "markdown"):
        raise UsageError(f"--format {arguments.format} holds one comparison", "give --within one file at a time")
    profile = catalog.profile(arguments.profile)
    groups = _groups(arguments)
    found = _comparisons(arguments, groups, profile, gates)
    inside = _is_inside(arguments)
    codes = []
    for index, comparison in enumerate(found):
        described = [groups[index]] if inside else groups
        outcomes = gate.outcomes(gates, comparison)
        to_decide = _to_decide(arguments, comparison, outcomes, described)
        if not arguments.strict:
            gate.require(gates, comparison, "; ".join(to_decide) or "compare other runs, or bound another metric")
        heads = [
            f"{name}: {run.nic.name}, {run.nic.driver}, Linux {run.host.kernel}, {run.created_utc}"
            for group in described
            for run, name in zip(group.runs, group.names, strict=True)
        ]
        heads += [] if inside else [compatibility.likeness([run for group in groups for run in group.runs])]
        effects = _effects(described[0].runs[0], profile) if inside else []
        sheet = formats.Sheet(comparison, outcomes, heads, effects, to_decide)
        sys.stdout.write(formats.FORMATS[arguments.format](sheet))
        codes.append(gate.exit_code(gates, comparison, strict=arguments.strict))
        if gates and codes[-1] == UNDECIDED:
            _say_why(outcomes, comparison)
    # a regression outweighs what is undecided
    return REGRESSION if REGRESSION in codes else max(codes)


def _say_why(outcomes: list[Outcome], comparison: Comparison) -> None:
    """Formats for programs have no place for it."""
    from offloadbench.analysis.comparison import gate

    open_rows = [f"{outcome.row.question} ({outcome.gate})" for outcome in outcomes if outcome.state == gate.OPEN]
    reasons = [f"undecided: {', '.join(open_rows)}"] if open_rows else []
    reasons += [f"missing: {text}" for text in comparison.missing]
    sys.stderr.write(f"no gate failed, but not all could be decided: {'; '.join(reasons) or 'nothing to compare'}\n")
