"""What the sections of a report are made from: the tables of its runs, and what is found in them, each found once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from offloadbench.analysis.findings import caveats, findings
from offloadbench.analysis.findings.caveats import Caveat
from offloadbench.analysis.findings.findings import Finding
from offloadbench.analysis.sender.limit_tables import Judged
from offloadbench.analysis.tables import sweep_tables
from offloadbench.analysis.tables.results import Results
from offloadbench.base.sentence import Sentence
from offloadbench.model import Profile
from offloadbench.report.plot import Plot
from offloadbench.report.run_changes import RunChanges, run_changes


@dataclass(frozen=True)
class Material:
    """What a report is made of.

    Attributes:
        names: of the run files, as they were given; `run_names` those of the runs in `results`.
        watched: the diagnosis of every watched trial.
        summary: only what fits on a page is asked for.
        written: the blocks of each section, by its key, as they were written first.
    """

    results: Results
    profile: Profile
    names: list[str]
    run_names: list[str]
    watched: list[Judged]
    summary: bool = False
    written: dict[str, list[Any]] = field(default_factory=dict, repr=False, compare=False)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False, compare=False)

    def plot(self, draw: partial[Figure], label: Sentence, caption: Sentence) -> Plot:
        """A plot with a number of its own, so that no ids collide on one page.

        Args:
            draw: called with `narrow`, inside `style.drawing`.
            label: what a reader who cannot see it is told.
        """
        return Plot(next(self._numbers), draw, label, caption)

    @cached_property
    def usable(self) -> pd.DataFrame:
        """The trials that findings rest on, in the order of all sections: bench by bench, workloads by name."""
        rows = self.results.trials[self.results.trials["usable"]]
        bench = rows["nic"].map(list(self.results.benches.values()).index)
        return rows.assign(bench=bench).sort_values(["bench", "workload"], kind="stable").drop(columns="bench")

    @cached_property
    def findings(self) -> list[Finding]:
        """Advice first, then what explains it."""
        return findings.find(self.results)

    @cached_property
    def headlines(self) -> list[Finding]:
        """The advice of each bench and workload, in the order of all sections."""
        return sorted(findings.headlines(self.findings), key=self._place)

    @property
    def explaining(self) -> list[Finding]:
        """The findings that are no advice."""
        return sorted((finding for finding in self.findings if not finding.advice), key=self._place)

    def _place(self, finding: Finding) -> tuple[int, str]:
        return list(self.results.benches.values()).index(finding.nic), finding.workload

    @cached_property
    def grid(self) -> sweep_tables.Grid | None:
        """The axes of a sweep over RTT, where these runs are its points."""
        return sweep_tables.grid(self.results.runs)

    @cached_property
    def changes(self) -> tuple[list[RunChanges], list[Sentence]]:
        """What changed between the runs, and remarks on what differs and what is not compared."""
        return run_changes(self.results.runs, self.run_names, self.profile)

    @cached_property
    def caveats(self) -> list[Caveat]:
        """What speaks against the rest, the gravest first."""
        return caveats.collect(self.results, self.foreign)

    @cached_property
    def foreign(self) -> dict[tuple[str, str], Sentence]:
        """Trials whose modules are the work of others too: (run id, words that name it) -> a sentence."""
        return caveats.foreign(self.results)

    @property
    def several(self) -> bool:
        """Whether findings must say of which bench and workload they are."""
        return len(self.results.trials[["nic", "workload"]].drop_duplicates()) > 1


def benches(table: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """The rows of every (nic, workload): bench by bench, workloads by name."""
    order = list(dict.fromkeys(table["nic"]))
    groups = table.groupby(["nic", "workload"], sort=False)
    for (nic, workload), rows in sorted(groups, key=lambda item: (order.index(item[0][0]), str(item[0][1]))):
        yield (str(nic), str(workload)), rows
