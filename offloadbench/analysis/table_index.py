"""Every table that `export` prints and `offloadbench.load` gives, by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from offloadbench.analysis.findings import finding_tables
from offloadbench.analysis.profile import module_tables
from offloadbench.analysis.sender import command_times, limit_tables
from offloadbench.analysis.tables import bench_table, effect_tables, quality, trial_tables
from offloadbench.model import Profile, Run

TABLES: dict[str, Callable[[Sequence[Run], Profile], pd.DataFrame]] = {
    "benches": lambda runs, profile: bench_table.benches(runs),
    "trials": lambda runs, profile: trial_tables.trials(runs),
    "samples": lambda runs, profile: trial_tables.samples(runs),
    "features": lambda runs, profile: trial_tables.features(runs),
    "proofs": lambda runs, profile: trial_tables.proofs(runs),
    "statistics": lambda runs, profile: trial_tables.statistics(runs),
    "quality": lambda runs, profile: quality.quality(runs, module_tables.modules(runs, profile)),
    "counts": lambda runs, profile: quality.counts(runs),
    "doubts": lambda runs, profile: quality.doubts(runs),
    "modules": module_tables.modules,
    "methods": module_tables.methods,
    "module_seconds": module_tables.seconds,
    "processes": module_tables.processes,
    "cpus": module_tables.cpus,
    "stacks": module_tables.stacks,
    "limits": lambda runs, profile: limit_tables.limits(runs),
    "bounds": lambda runs, profile: limit_tables.bounds(runs),
    "evidence": lambda runs, profile: limit_tables.evidence(runs),
    "gaps": lambda runs, profile: limit_tables.gaps(runs),
    "write_commands": lambda runs, profile: command_times.table(runs),
    "effects": lambda runs, profile: effect_tables.effect_rows(runs),
    "effect_modules": effect_tables.share_rows,
    "findings": finding_tables.finding_rows,
    "waterfall": finding_tables.fall_rows,
}
