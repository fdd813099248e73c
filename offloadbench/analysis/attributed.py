"""The samples of a trial, each with its module, and sums of them: what every table of a profile is made from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import union_categoricals

from offloadbench.analysis.attribution import IDLE, USER, Verdicts, attribute, verdicts_for
from offloadbench.model import Profile, Run, Trial
from offloadbench.packed import unpack_chains

# up to here a table of all cells is quicker than sorting the rows
_COUNTED_CELLS = 1 << 18
# what tables are made of: columns of `attribution.attribute`
_SUMMED = (
    "event", "quantity", "cpu", "second", "comm", "ko", "leaf", "floor", "module", "method", "caller", "samples",
    "weight",
)  # fmt: skip
QUANTITIES = ("instructions", "cycles", "kernel_cpu_time_ns")
"""What a weight can mean, from what tells most about the work to what tells least."""


@dataclass(frozen=True)
class Attributed:
    """A trial with its samples, each with its leaf.

    Attributes:
        rows: see `attribution.attribute`.
    """

    run: Run
    trial: Trial
    profile: Profile
    rows: pd.DataFrame

    @property
    def verdicts(self) -> Verdicts:
        return verdicts_for(self.run.kallsyms, self.profile)

    @cached_property
    def busy(self) -> pd.DataFrame:
        """The rows that are not idle: what shares are of."""
        return self.rows[self.rows["leaf"] != IDLE]

    @cached_property
    def stacks(self) -> pd.DataFrame:
        """Busy weight by call stack; no rows where call chains were not recorded.

        Columns: event, quantity, comm, chain (index into `frames`, -1 without callers), symbol (the sampled function,
        `user` in user mode), module, value, samples.
        """
        assert self.trial.profile is not None
        rows = self.busy if self.trial.profile.chain_count else self.busy.iloc[:0]
        sums = summed(rows, ["event", "quantity", "comm", "chain", "symbol", "module"])
        user = sums["symbol"] == ""
        return sums.assign(symbol=sums["symbol"].mask(user, USER), chain=sums["chain"].mask(user, -1))

    @cached_property
    def frames(self) -> list[list[int]]:
        """For each call chain, the indexes of its functions among the kernel's symbols, the outermost first."""
        assert self.trial.profile is not None
        chains = unpack_chains(self.trial.profile)
        if not chains:
            return []
        indexes = self.verdicts.symbols.lookup(np.concatenate(chains)).tolist()
        ends = np.cumsum([len(chain) for chain in chains]).tolist()
        return [indexes[begin:end][::-1] for begin, end in zip([0, *ends], ends, strict=False)]


def attributed(run: Run, trial: Trial, profile: Profile) -> pd.DataFrame:
    """The trial's samples with their leaves, see `attribution.attribute`; only for a trial with a profile."""
    assert trial.profile is not None
    return attribute(trial.profile, verdicts_for(run.kallsyms, profile))


@dataclass(frozen=True)
class Batch:
    """Trials of one run that are summed together."""

    items: list[Attributed]

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The samples of all trials, see `attribution.attribute`, and `trial`: the place among the items."""
        frames = [item.rows for item in self.items]
        columns: dict[str, Any] = {"trial": np.repeat(np.arange(len(frames)), [len(frame) for frame in frames])}
        for name in _SUMMED:
            parts = [frame[name] for frame in frames]
            if isinstance(parts[0].dtype, pd.CategoricalDtype):
                columns[name] = union_categoricals(parts, sort_categories=True)
            else:
                columns[name] = np.concatenate([part.to_numpy() for part in parts])
        return pd.DataFrame(columns)

    @cached_property
    def busy(self) -> pd.DataFrame:
        """The rows that are not idle: what shares are of."""
        return self.rows[self.rows["leaf"] != IDLE]


def whole_by(rows: pd.DataFrame) -> list[str]:
    """What tells apart the wholes that shares are of: the event, and the trial where there are several."""
    return [name for name in ("trial", "event", "quantity") if name in rows]


def summed(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """value (sum of weights) and samples by these columns, in alphabetical order."""
    key = np.zeros(len(rows), dtype=np.int64)
    levels = []
    for name in by:
        column = rows[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            codes, level = column.cat.codes.to_numpy(np.int64), column.cat.categories.to_numpy()
        else:
            codes, level = pd.factorize(column.to_numpy(), sort=True)
        key = key * max(1, len(level)) + codes
        levels.append(level)
    distinct, place = _distinct(key, math.prod(max(1, len(level)) for level in levels))
    # sums stay below 2^53, where float64 counts exactly
    sums = {
        name: np.bincount(place, weights=rows[source], minlength=len(distinct)).astype(np.int64)
        for name, source in (("value", "weight"), ("samples", "samples"))
    }
    columns: dict[str, npt.NDArray[np.generic]] = {}
    for name, level in zip(reversed(by), reversed(levels), strict=True):
        columns[name] = level[distinct % max(1, len(level))]
        distinct = distinct // max(1, len(level))
    return pd.DataFrame({name: columns[name] for name in by} | sums)


def _distinct(key: npt.NDArray[np.int64], cells: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The keys that occur, ascending, and the place of each row's among them; every key is below `cells`."""
    if cells > _COUNTED_CELLS:
        return np.unique(key, return_inverse=True)
    distinct = np.flatnonzero(np.bincount(key, minlength=cells))
    places = np.zeros(cells, dtype=np.int64)
    places[distinct] = np.arange(len(distinct))
    return distinct, places[key]
