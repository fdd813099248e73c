"""Call stacks as folded lines, which flame graph tools read."""

from __future__ import annotations

import pandas as pd

from offloadbench.analysis.tables.results import primary_event


def folded(stacks: pd.DataFrame) -> str:
    """One line `case;process;function;...;function weight` for each stack of a case, repeats summed.

    Of several events only the primary one is given. Where there are several runs or workloads, their names come before
    the case.

    Args:
        stacks: the table of that name.
    """
    chosen = stacks[stacks["event"] == primary_event(stacks)]
    roots = [name for name in ("run", "workload") if chosen[name].nunique() > 1]
    sums = chosen.groupby([*roots, "case", "stack"])["value"].sum().reset_index()
    return "".join(";".join(map(str, row[:-1])) + f" {row[-1]}\n" for row in sums.itertuples(index=False, name=None))
