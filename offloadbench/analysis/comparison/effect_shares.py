"""Where an effect comes from: what each module contributes to the CPU time that a factor saves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from offloadbench.analysis.comparison.contrasts import CONTRASTS, Contrast, pairs_of
from offloadbench.analysis.comparison.judging import blocks
from offloadbench.analysis.comparison.module_costs import ModuleCosts
from offloadbench.analysis.comparison.usable_trials import Observation, Observations
from offloadbench.analysis.statistics import student_t
from offloadbench.analysis.statistics.estimates import ALPHA, Values


@dataclass(frozen=True, slots=True)
class EffectShare:
    """A module's part in what a factor saves.

    Attributes:
        saved_per_byte: cost off minus cost on, in `quantity` per byte of payload; its 95 % interval by Student's t over
            blocks, NaN with one block.
        share: of what all modules together save; below 0 or above 1 where others move the other way. Its 95 % interval
            by the jackknife over blocks (Tukey 1958), NaN with fewer than three.
    """

    run: str
    nic: str
    workload: str
    contrast: Contrast
    module: str
    quantity: str
    blocks: int
    saved_per_byte: float
    saved_low: float
    saved_high: float
    share: float
    share_low: float
    share_high: float


def _savings(found: list[list[tuple[Observation, Observation]]], costs: ModuleCosts) -> tuple[list[str], Values]:
    """Modules, and what each saves: array of (blocks, modules); only blocks whose trials all have a profile.

    Args:
        found: see `judging.blocks`; each pair is (off, on).
    """

    def mean(trials: list[Observation]) -> dict[str, float]:
        found = [costs.of(trial) for trial in trials]
        return {name: sum(cost.get(name, 0.0) for cost in found) / len(found) for cost in found for name in cost}

    profiled = [block for block in found if all(costs.known(seen) for pair in block for seen in pair)]
    sides = [(mean([off for off, _ in block]), mean([on for _, on in block])) for block in profiled]
    modules = sorted({name for off, on in sides for name in (*off, *on)})
    rows = [[off.get(name, 0.0) - on.get(name, 0.0) for name in modules] for off, on in sides]
    return modules, np.array(rows, dtype=float).reshape(len(rows), len(modules))


def _reach(deviations: Values) -> Values:
    """Half widths of 95 % intervals of column means."""
    count = len(deviations)
    if count < 2:
        return np.full(deviations.shape[1], math.nan)
    quantile = student_t.quantile(count - 1, 1 - ALPHA / 2)
    return np.array(quantile * deviations.std(axis=0, ddof=1) / math.sqrt(count))


def _jackknife(savings: Values) -> Values:
    """Pseudo-values of every module's share: array of (blocks, modules)."""
    count = len(savings)
    whole = savings.mean(axis=0)
    without = (savings.sum(axis=0) - savings) / (count - 1)
    shares = without / without.sum(axis=1, keepdims=True)
    return np.array(count * whole / whole.sum() - (count - 1) * shares)


def shares(seen: Observations, costs: ModuleCosts) -> list[EffectShare]:
    """Every module's share in every contrast that the run holds, the largest saving first."""
    found: list[EffectShare] = []
    for workload in seen.workloads():
        for contrast in CONTRASTS:
            pairs = pairs_of(seen, workload, contrast)
            modules, savings = _savings(blocks(seen, workload, pairs), costs) if pairs else ([], np.empty((0, 0)))
            if not len(savings):
                continue
            saved = savings.mean(axis=0)
            reach = _reach(savings)
            # modules that cost the same on both sides have no shares: 0 / 0 is NaN
            with np.errstate(invalid="ignore", divide="ignore"):
                share = saved / saved.sum()
                pseudo = _reach(_jackknife(savings)) if len(savings) > 2 else np.full(len(modules), math.nan)
            found += [
                EffectShare(
                    run=seen.run_ids,
                    nic=seen.run.nic.name,
                    workload=workload,
                    contrast=contrast,
                    module=modules[i],
                    quantity=costs.quantity,
                    blocks=len(savings),
                    saved_per_byte=float(saved[i]),
                    saved_low=float(saved[i] - reach[i]),
                    saved_high=float(saved[i] + reach[i]),
                    share=float(share[i]),
                    share_low=float(share[i] - pseudo[i]),
                    share_high=float(share[i] + pseudo[i]),
                )
                for i in np.argsort(-saved)
            ]
    return found
