"""Every table that `export` prints and `offloadbench.load` gives, by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from offloadbench.analysis import (
    bench_table,
    effect_tables,
    finding_tables,
    limits,
    module_tables,
    quality,
    tables,
    write_commands,
)
from offloadbench.model import Profile, Run

TABLES: dict[str, Callable[[Sequence[Run], Profile], pd.DataFrame]] = {
    "benches": lambda runs, profile: bench_table.benches(runs),
    "trials": lambda runs, profile: tables.trials(runs),
    "samples": lambda runs, profile: tables.samples(runs),
    "features": lambda runs, profile: tables.features(runs),
    "proofs": lambda runs, profile: tables.proofs(runs),
    "statistics": lambda runs, profile: tables.statistics(runs),
    "quality": lambda runs, profile: quality.quality(runs, module_tables.modules(runs, profile)),
    "counts": lambda runs, profile: quality.counts(runs),
    "doubts": lambda runs, profile: quality.doubts(runs),
    "modules": module_tables.modules,
    "methods": module_tables.methods,
    "module_seconds": module_tables.seconds,
    "processes": module_tables.processes,
    "cpus": module_tables.cpus,
    "stacks": module_tables.stacks,
    "limits": lambda runs, profile: limits.limits(runs),
    "bounds": lambda runs, profile: limits.bounds(runs),
    "evidence": lambda runs, profile: limits.evidence(runs),
    "gaps": lambda runs, profile: limits.gaps(runs),
    "write_commands": lambda runs, profile: write_commands.table(runs),
    "effects": lambda runs, profile: effect_tables.effect_rows(runs),
    "effect_modules": effect_tables.share_rows,
    "findings": finding_tables.finding_rows,
    "waterfall": finding_tables.fall_rows,
}
