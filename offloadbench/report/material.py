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
from offloadbench.analysis.findings.findings import Finding
from offloadbench.analysis.sender.limit_tables import Judged
from offloadbench.analysis.tables.results import Results
from offloadbench.base.sentence import Sentence
from offloadbench.model import Profile
from offloadbench.report.plot import Plot


@dataclass(frozen=True)
class Material:
    """What a report is made of.

    Attributes:
        names: of the run files, as they were given; `run_names` those of the runs in `results`.
        watched: the diagnosis of every watched trial.
        written: the blocks of each section, by its key, as they were written first.
    """

    results: Results
    profile: Profile
    names: list[str]
    run_names: list[str]
    watched: list[Judged]
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
        """The trials that findings rest on."""
        return self.results.trials[self.results.trials["usable"]]

    @cached_property
    def findings(self) -> list[Finding]:
        """Advice first, then what explains it."""
        return findings.find(self.results)

    @cached_property
    def headlines(self) -> list[Finding]:
        """The advice of each bench and workload."""
        return findings.headlines(self.findings)

    @property
    def explaining(self) -> list[Finding]:
        """The findings that are no advice."""
        return [finding for finding in self.findings if not finding.advice]

    @cached_property
    def foreign(self) -> dict[tuple[str, str], Sentence]:
        """Trials whose modules are the work of others too: (run id, words that name it) -> a sentence."""
        return caveats.foreign(self.results)

    @property
    def several(self) -> bool:
        """Whether findings must say of which bench and workload they are."""
        return len(self.results.trials[["nic", "workload"]].drop_duplicates()) > 1


def benches(table: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """The rows of every (nic, workload)."""
    for (nic, workload), rows in table.groupby(["nic", "workload"], sort=False):
        yield (str(nic), str(workload)), rows
