"""What each module cost in each trial, per byte of payload: `module_tables.modules` without what only a table needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offloadbench.analysis.comparison.usable_trials import Observation
from offloadbench.analysis.profile.attributed_samples import QUANTITIES, TrialBatch, batches, summed
from offloadbench.analysis.profile.attribution import AT_REST
from offloadbench.analysis.trial import metrics
from offloadbench.model import Profile, Run, Trial

if TYPE_CHECKING:
    import pandas as pd

_Key = tuple[str, str, str, int]


def _key(run: Run, trial: Trial) -> _Key:
    return run.run_id, trial.workload, trial.case, trial.repeat


@dataclass(frozen=True)
class ModuleCosts:
    """Costs by trial.

    Attributes:
        quantity: what is counted: instructions, cycles or kernel_cpu_time_ns; "" without any profile.
        problems: runs that did not count it, as sentences.
    """

    quantity: str
    problems: list[str]
    by_trial: dict[_Key, dict[str, float]]

    def known(self, seen: Observation) -> bool:
        """Whether the trial has a profile of the quantity."""
        return _key(seen.run, seen.trial) in self.by_trial

    def of(self, seen: Observation) -> dict[str, float]:
        """Module -> cost per byte in `quantity`, without idle and wake-up latency, of a trial that is known."""
        return self.by_trial[_key(seen.run, seen.trial)]


def _quantities(run: Run) -> set[str]:
    return {event.quantity for trial in run.trials if trial.profile for event in trial.profile.events}


def of_table(runs: Sequence[Run], modules: pd.DataFrame) -> ModuleCosts:
    """The costs of runs whose trials are attributed already.

    Args:
        modules: see `module_tables.modules`; rows of other runs are passed over.
    """
    mine = modules[modules["run"].isin([run.run_id for run in runs]) & ~modules["module"].isin(AT_REST)]
    quantity = next((name for name in QUANTITIES if name in set(mine["quantity"])), "")
    chosen = mine[(mine["quantity"] == quantity) & mine["value_per_byte"].notna()]
    by_trial: dict[_Key, dict[str, float]] = {}
    columns = (chosen[name] for name in ("run", "workload", "case", "repeat", "module", "value_per_byte"))
    for run_id, workload, case, repeat, module, cost in zip(*columns, strict=True):
        by_trial.setdefault((run_id, workload, case, repeat), {})[module] = cost
    return ModuleCosts(quantity, [], by_trial)


def module_costs(runs: Sequence[Run], profile: Profile) -> ModuleCosts:
    """Attribute every profiled trial of the runs; what the first of them counted is compared."""
    counted = [_quantities(run) for run in runs]
    first = next((quantities for quantities in counted if quantities), set())
    quantity = next((name for name in QUANTITIES if name in first), "")
    problems = [
        f"{run.run_id}: no profile of {quantity or 'anything'}, so its modules cannot be compared"
        for run, quantities in zip(runs, counted, strict=True)
        if quantity not in quantities
    ]
    by_trial: dict[_Key, dict[str, float]] = {}
    for run in runs:
        for batch in batches(run, profile):
            by_trial |= _costs(batch, quantity)
    return ModuleCosts(quantity, problems, by_trial)


def _costs(batch: TrialBatch, quantity: str) -> dict[_Key, dict[str, float]]:
    """Of the trials that moved data and have samples of the quantity."""
    sums = summed(batch.rows, ["trial", "module"], batch.busy & (batch.rows["quantity"] == quantity).to_numpy())
    found: dict[_Key, dict[str, float]] = {}
    for place, module, weight in zip(sums["trial"].tolist(), sums["module"], sums["value"].tolist(), strict=True):
        trial = batch.trials[place]
        if payload := metrics.payload_bytes(trial):
            found.setdefault(_key(batch.run, trial), {})[str(module)] = weight / payload
    return found
