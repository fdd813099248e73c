"""The samples of a trial, each with its module, and sums of them: what every table of a profile is made from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from offloadbench.analysis.profile import wakeups
from offloadbench.analysis.profile.attribution import AT_REST, USER, Verdicts, attribute, verdicts_for
from offloadbench.files.packed_columns import unpack_chains
from offloadbench.model import Profile, ProfileCounts, Run, Trial

Mask = npt.NDArray[np.bool_]
# up to here a table of all cells is quicker than sorting the rows
_COUNTED_CELLS = 1 << 18
# trials that are attributed and summed at once: many passes over small tables take ten times as long
_TOGETHER = 64
QUANTITIES = ("instructions", "cycles", "kernel_cpu_time_ns")
"""What a weight can mean, from what tells most about the work to what tells least."""


@dataclass(frozen=True)
class Attributed:
    """A trial with its samples, each with its leaf.

    Attributes:
        rows: see `attributed_rows`.
    """

    run: Run
    trial: Trial
    profile: Profile
    rows: pd.DataFrame

    @property
    def verdicts(self) -> Verdicts:
        return verdicts_for(self.run, self.profile)

    @cached_property
    def busy(self) -> pd.DataFrame:
        """The rows that are neither idle nor wake-up latency: what shares are of."""
        return self.rows[is_busy(self.rows)]

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


@dataclass(frozen=True)
class TrialBatch:
    """Trials of one run that are attributed and summed together.

    Attributes:
        trials: those with a profile.
        rows: see `attributed_rows`; `trial` is the place among the trials.
    """

    run: Run
    trials: list[Trial]
    profile: Profile
    rows: pd.DataFrame

    @property
    def verdicts(self) -> Verdicts:
        return verdicts_for(self.run, self.profile)

    @cached_property
    def busy(self) -> Mask:
        """Which rows are neither idle nor wake-up latency: what shares are of."""
        return is_busy(self.rows)

    @cached_property
    def items(self) -> list[Attributed]:
        """Trial by trial."""
        ends = np.searchsorted(self.rows["trial"], np.arange(len(self.trials)), side="right").tolist()
        return [
            Attributed(self.run, trial, self.profile, self.rows.iloc[begin:end])
            for trial, begin, end in zip(self.trials, [0, *ends], ends, strict=False)
        ]


def is_busy(rows: pd.DataFrame) -> Mask:
    """Which attributed rows are neither idle nor wake-up latency."""
    return ~rows["leaf"].isin(AT_REST).to_numpy()


def batches(run: Run, profile: Profile) -> Iterator[TrialBatch]:
    """The trials of the run that have a profile, attributed."""
    verdicts = verdicts_for(run, profile)
    profiled = [(trial, trial.profile) for trial in run.trials if trial.profile is not None]
    for first in range(0, len(profiled), _TOGETHER):
        chosen = profiled[first : first + _TOGETHER]
        trials = [trial for trial, _ in chosen]
        yield TrialBatch(run, trials, profile, attributed_rows(run, trials, [counts for _, counts in chosen], verdicts))


def attributed_rows(
    run: Run, trials: Sequence[Trial], profiles: Sequence[ProfileCounts], verdicts: Verdicts
) -> pd.DataFrame:
    """Every row of the trials' profiles with its leaf, see `attribution.attribute`; wake-up latency apart."""
    return wakeups.take_out(attribute(profiles, verdicts), trials, len(run.bed.dut_cpus), verdicts.rules)


def summed(rows: pd.DataFrame, by: list[str], where: Mask | None = None) -> pd.DataFrame:
    """value (sum of weights) and samples by these columns, in alphabetical order.

    Args:
        where: the rows that count, by default all; taking them out of the table would copy all of its columns.
    """
    chosen = slice(None) if where is None else np.flatnonzero(where)
    weights = {name: rows[name].to_numpy()[chosen] for name in ("weight", "samples")}
    key = np.zeros(len(weights["weight"]), dtype=np.int64)
    levels = []
    for name in by:
        column = rows[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            codes, level = column.cat.codes.to_numpy()[chosen], column.cat.categories.to_numpy()
        else:
            codes, level = pd.factorize(column.to_numpy()[chosen], sort=True)
        key = key * max(1, len(level)) + codes
        levels.append(level)
    distinct, place = _distinct(key, math.prod(max(1, len(level)) for level in levels))
    # sums stay below 2^53, where float64 counts exactly
    sums = {
        name: np.bincount(place, weights=weights[source], minlength=len(distinct)).astype(np.int64)
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
