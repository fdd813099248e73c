"""What would decide a comparison that these data leave open: how many runs or repeats, and the commands for them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import PurePath

from offloadbench.analysis.comparison.changes import Comparison
from offloadbench.analysis.comparison.gate import OPEN, Outcome
from offloadbench.analysis.comparison.groups import RunGroup
from offloadbench.analysis.statistics.holm import trials_needed
from offloadbench.model import Run

# two runs a side hardly find anything: t with two degrees of freedom
_FEWEST_RUNS, _FEWEST_REPEATS = 3, 5
# more would take longer than the question is worth, and the machine does not stand still that long
_MOST = 30
# quantile of the normal distribution
_FOUR_OF_FIVE = 0.8416
# options of `run` that a repetition sets itself, with their values
_REPLACED = ("--output", "--resume", "--runs", "--repeats")


def units_needed(comparison: Comparison, outcomes: Sequence[Outcome]) -> int:
    """Runs a side (repeats inside a run) that would decide what is open; 0 where more than `_MOST` would be needed."""
    of_runs = any(row.question.between_runs for row in comparison.rows)
    families: dict[str, int] = {}
    for row in comparison.rows:
        families[row.question.workload] = families.get(row.question.workload, 0) + 1
    needed = _FEWEST_RUNS if of_runs else _FEWEST_REPEATS
    needed = max([needed, *(trials_needed(tests, of_runs=of_runs) for tests in families.values())])
    for outcome in outcomes:
        if outcome.state == OPEN:
            needed = max(needed, _for_bound(outcome, of_runs=of_runs))
    return needed if needed <= _MOST else 0


def _for_bound(outcome: Outcome, *, of_runs: bool) -> int:
    """Units a side with which the interval would leave out the bound in four of five, if it is what it seems."""
    judgement = outcome.row.judgement
    estimate = judgement.estimate
    ratio, low, high = judgement.ratios()
    if estimate.of_runs != of_runs or math.isnan(low) or low <= 0:
        return 0
    away = abs(math.log(ratio / (1 + outcome.gate.bound)))
    reach = math.log(high / low) / 2 + _FOUR_OF_FIVE * estimate.standard_error
    units = min(estimate.units)
    return math.ceil(units * (reach / away) ** 2) if away > reach / math.sqrt(_MOST) else _MOST + 1


def _command(run: Run, output: str, counts: Sequence[str]) -> str:
    """The command of a run, for more of the kind."""
    kept: list[str] = []
    words = iter(run.command)
    for word in words:
        if word in _REPLACED:
            next(words, None)
        elif not word.startswith(tuple(f"{option}=" for option in _REPLACED)):
            kept.append(word)
    return shlex.join([*kept, *counts, "--output", output])


def _more(name: str) -> str:
    """A folder for more runs, named after a run file: `before.json.gz` -> `before-runs`."""
    return f"{PurePath(name).name.split('.')[0]}-runs"


def between(groups: Sequence[RunGroup], runs: int, options: Sequence[str]) -> list[str]:
    """The commands, a line each, that measure enough runs of two sides, and compare them.

    Args:
        options: of the comparison, such as its gates.
    """
    base, other = groups[0], groups[1]
    lines = []
    folders = [_more(group.names[0]) for group in (base, other)]
    if folders[0] == folders[1]:
        folders = [f"baseline-{folders[0]}", f"candidate-{folders[1]}"]
    for group, folder, side in ((base, folders[0], "baseline"), (other, folders[1], "candidate")):
        run = group.runs[0]
        counts = ["--repeats", str(run.plan.repeats), "--runs", str(runs)]
        lines.append(f"with the {side} in place: {_command(run, f'{folder}/', counts)}")
    compared = f"offloadbench compare --baseline {folders[0]}/*.json --candidate {folders[1]}/*.json"
    lines.append("then: " + " ".join([compared, *(shlex.quote(option) for option in options)]))
    return lines


def inside(run: Run, name: str, repeats: int, options: Sequence[str]) -> list[str]:
    """The commands that measure enough repeats of one run, and compare its cases."""
    output = f"{PurePath(name).name.split('.')[0]}-{repeats}.json"
    again = _command(run, output, ["--repeats", str(repeats)])
    return [again, shlex.join(["offloadbench", "compare", output, *options])]
