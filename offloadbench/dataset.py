"""Runs as tidy pandas tables: the Python API. `offloadbench.load` makes one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from offloadbench.analysis.table_index import TABLES
from offloadbench.base import similar
from offloadbench.base.errors import UsageError
from offloadbench.definitions import catalog
from offloadbench.files import run_file
from offloadbench.model import Profile, Run


@dataclass(frozen=True, repr=False)
class Dataset:
    """Run files read together; every table is made when it is first asked for.

    The columns are those of `offloadbench export`, and just as stable. All tables share run (id), workload, case and,
    below the level of effects, repeat.

    Attributes:
        runs: what was captured, typed (`offloadbench.model`).
    """

    runs: Sequence[Run]
    profile: Profile

    def __repr__(self) -> str:
        """One line: a notebook shows it after every cell."""
        count, trials = len(self.runs), sum(len(run.trials) for run in self.runs)
        nics = ", ".join(dict.fromkeys(run.nic.name for run in self.runs))
        return f"Dataset({count} run{'s' if count != 1 else ''}: {nics}, {trials} trial{'s' if trials != 1 else ''})"

    def _repr_html_(self) -> str:
        """A row a run, for notebooks."""
        rows = [
            {
                "NIC": run.nic.name,
                "driver": run.nic.driver,
                "Linux": run.host.kernel,
                "created (UTC)": run.created_utc,
                "workloads": ", ".join(dict.fromkeys(trial.workload for trial in run.trials)),
                "cases": ", ".join(dict.fromkeys(trial.case for trial in run.trials)),
                "trials": len(run.trials),
                "ok": sum(trial.outcome == "ok" for trial in run.trials),
            }
            for run in self.runs
        ]
        return pd.DataFrame(rows).to_html(index=False, border=0)

    @classmethod
    def load(cls, paths: Sequence[Path | str], profile: str = "linux") -> Dataset:
        """Read run files.

        Raises:
            RunFileError: a file that cannot be read.
            UsageError: no path, or no such profile.
        """
        if not paths:
            raise UsageError("no run file is named", "offloadbench.load('result.json')")
        return cls([run_file.load(path) for path in paths], catalog.profile(profile))

    def table(self, name: str) -> pd.DataFrame:
        """A table by the name that `offloadbench export --table` knows.

        Raises:
            UsageError: no such table.
        """
        if name not in TABLES:
            raise UsageError(f"no table {name!r}", similar.hint(name, TABLES, f"known: {', '.join(TABLES)}"))
        return TABLES[name](self.runs, self.profile)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row a trial: throughput_bits_per_s, cpu_s_per_gb, cpu_busy_ratio, outcome and more."""
        return self.table("trials")

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One row a second of every trial."""
        return self.table("samples")

    @cached_property
    def features(self) -> pd.DataFrame:
        """One row per feature that a trial set or that was dragged along."""
        return self.table("features")

    @cached_property
    def modules(self) -> pd.DataFrame:
        """One row per module and event of every profiled trial: value, value_per_byte, share_ratio."""
        return self.table("modules")

    @cached_property
    def effects(self) -> pd.DataFrame:
        """One row per factor, pair of its levels and headline metric: ratio, difference, intervals, verdict.

        Raises:
            StatisticError: a test cannot be made.
        """
        return self.table("effects")

    @cached_property
    def effect_modules(self) -> pd.DataFrame:
        """One row per factor, pair of its levels and module: what the module saves, and its share of the saving."""
        return self.table("effect_modules")
