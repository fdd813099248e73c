"""Is the advice right? Run files with known truth, through everything from the samples to the sentence.

    python -m tests.benchmarks.advice [FILES [THROUGH_REPORT]]

FILES run files (default: 1,000) for every truth and number of repeats are made from a recorded run
(tests/data/run-v1.json): two workloads, cases tso (the state as found), csum and none; lognormal noise of 2 to 5 % a
trial (drawn for each file) and 10 % a block on CPU per GB, 1 % on throughput. Of each file:

- does it order anything (`Keep`, `Switch`, a command) where no case differs from another: at most 2.5 % of files;
- is an order wrong (not the case that costs least) where they differ: at most 2.5 % of files;
- does it give the right order as often as `compare` inside the run shows the difference, of all files and workloads.

The first THROUGH_REPORT files (default: 20) of each also go through the tables of a report, whose sentences must say
the same. Fixed seeds. Exit code 1 when a promise is broken.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from offloadbench.analysis.comparison.judging import COST, Answers, judged
from offloadbench.analysis.comparison.usable_trials import observations
from offloadbench.analysis.findings import findings
from offloadbench.analysis.findings.advice import Kind, advise
from offloadbench.analysis.statistics.holm import CHANGED
from offloadbench.analysis.tables import results
from offloadbench.definitions import catalog
from offloadbench.files import run_file
from offloadbench.model import Run
from tests.unit.repeats import RATE_BITS_PER_S, measured, repeated

REPEATS = (1, 2, 3, 5, 10, 20)
FILES, THROUGH_REPORT = 1000, 20
MOST_WRONG = 0.025
WORKLOADS = ("ftp-get", "iscsi-write")
BLOCK_SIGMA, RATE_SIGMA = 0.10, 0.01
# what each case costs, of a mean of 2 CPU s/GB
TRUTHS: Mapping[str, Mapping[str, float]] = {
    "no difference": {"tso": 1.0, "csum": 1.0, "none": 1.0},
    "tso 10 % cheaper": {"tso": 0.9, "csum": 1.0, "none": 1.0},
    "tso 20 % cheaper": {"tso": 0.8, "csum": 1.0, "none": 1.0},
    "tso 10 % dearer": {"tso": 1.0, "csum": 0.9, "none": 0.9},
    "none 20 % cheaper": {"tso": 1.0, "csum": 1.0, "none": 0.8},
}
_ORDER = re.compile(r"^(Keep|Switch) ")
_CASES = {case.name: case for case in catalog.select_cases("paper")}


def base() -> Run:
    """The recorded run whose host and NIC the made ones have."""
    return run_file.load(Path(__file__).resolve().parents[1] / "data" / "run-v1.json")


def made(recorded: Run, truth: Mapping[str, float], repeats: int, seed: Sequence[int]) -> Run:
    """A run file with this truth and noise of its own."""
    random = np.random.default_rng(seed)
    sigma = random.uniform(0.02, 0.05)
    trials = []
    for workload in WORKLOADS:
        blocks = np.exp(random.normal(0, BLOCK_SIGMA, repeats))
        for name, level in truth.items():
            costs = 2.0 * level * blocks * np.exp(random.normal(0, sigma, repeats))
            rates = RATE_BITS_PER_S * np.exp(random.normal(0, RATE_SIGMA, repeats))
            trials += [
                measured(_CASES[name], repeat, float(cost), rate_bits_per_s=float(rate), workload_name=workload)
                for repeat, (cost, rate) in enumerate(zip(costs, rates, strict=True), 1)
            ]
    return repeated(recorded, trials)


def orders(answers: Answers) -> dict[str, str]:
    """Workload -> the case that is ordered, of those with an order."""
    found = advise(answers, lambda workload, one, other: False)
    return {one.workload: one.state for one in found if one.kind in (Kind.KEEP, Kind.SWITCH)}


def shown(answers: Answers, truth: Mapping[str, float]) -> set[str]:
    """The workloads of which `compare` shows that the state as found and a case that truly differs do so."""
    return {
        workload
        for workload in WORKLOADS
        for case, level in truth.items()
        if level != truth["tso"]
        and (row := answers.of(workload, (("tso", case),), COST)) is not None
        and row.verdict == CHANGED
    }


def said(run: Run) -> dict[str, str]:
    """Workload -> the case that the sentences of a report order; anything that gives a command must."""
    found = findings.find(results.gather([run], catalog.profile("linux")))
    ordering = [one for one in found if _ORDER.match(one.sentence)]
    assert all(one in ordering for one in found if one.command or one.recipes)
    return {one.workload: one.on for one in ordering}


@dataclass
class Count:
    """What the files of one truth and number of repeats gave."""

    files: int = 0
    ordering: int = 0
    wrong: int = 0
    right: int = 0
    shown: int = 0
    disagree: list[str] = field(default_factory=list)

    def add(
        self, recorded: Run, truth: Mapping[str, float], repeats: int, seed: Sequence[int], *, report: bool
    ) -> None:
        """One file more."""
        run = made(recorded, truth, repeats, seed)
        answers = judged(observations(run))
        found = orders(answers)
        best = min(truth.values())
        differ = best != max(truth.values())
        good = {workload for workload, case in found.items() if differ and truth[case] == best}
        self.files += 1
        self.ordering += bool(found)
        self.wrong += bool(set(found) - good)
        self.right += len(good)
        self.shown += len(shown(answers, truth))
        if report and said(run) != found:
            self.disagree.append(str(list(seed)))


def count(truth: str, repeats: int, files: int, through_report: int = 0) -> Count:
    """Files number 0 to `files` of a truth."""
    recorded, found = base(), Count()
    place = list(TRUTHS).index(truth)
    for number in range(files):
        found.add(recorded, TRUTHS[truth], repeats, (place, repeats, number), report=number < through_report)
    return found


def main(files: int, through_report: int) -> int:
    print(f"{files} files each; two workloads, three cases, noise of 2 to 5 % a trial")
    print(f"{'truth':<20} {'repeats':>7} {'orders':>8} {'wrong':>8} {'right':>8} {'shown':>8}")
    good = True
    for truth in TRUTHS:
        for repeats in REPEATS:
            found = count(truth, repeats, files, through_report)
            asked = files * len(WORKLOADS)
            kept = found.wrong <= MOST_WRONG * files and found.right >= found.shown and not found.disagree
            good &= kept
            print(
                f"{truth:<20} {repeats:>7} {found.ordering / files:>8.1%} {found.wrong / files:>8.1%} "
                f"{found.right / asked:>8.1%} {found.shown / asked:>8.1%}  {'ok' if kept else 'BROKEN'}"
                f"{' report differs: ' + ', '.join(found.disagree) if found.disagree else ''}",
                flush=True,
            )
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main(*(int(text) for text in [*sys.argv[1:], *map(str, (FILES, THROUGH_REPORT))][:2])))
