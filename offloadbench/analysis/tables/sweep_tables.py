"""Tables of a sweep: every trial with its place on every axis, and medians."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd

from offloadbench.analysis.profile import module_tables
from offloadbench.analysis.sender import limit_tables
from offloadbench.analysis.sender.theory import CONGESTION_WINDOW
from offloadbench.analysis.tables import trial_tables
from offloadbench.base.settings import LINK_FIELDS
from offloadbench.files.sweep_file import in_words, is_parameter
from offloadbench.model import Profile, Run, WorkloadDefinition

FIGURES = ("throughput_bits_per_s", "goodput_bits_per_s", "cpu_busy_ratio", "cpu_s_per_gb", "retrans_segments")


class Axed(Protocol):
    """What has axes, as `sweepfile.Sweep` does."""

    @property
    def axes(self) -> Mapping[str, list[Any]]: ...


@dataclass(frozen=True, slots=True)
class Grid:
    """Axes of runs that belong to one sweep, without its index."""

    axes: Mapping[str, list[Any]]


def grid(runs: Sequence[Run]) -> Grid | None:
    """The grid that runs of a sweep stand on; None unless they stand at several RTTs of one."""
    axes: dict[str, list[Any]] = {}
    for run in runs:
        for axis, value in run.sweep.items():
            known = axes.setdefault(axis, [])
            if value not in known:
                known.append(value)
    return Grid(axes) if len(axes.get("rtt_s", [])) > 1 else None


def axis_columns(sweep: Axed) -> list[str]:
    """Columns of `trials` that hold the sweep's axes."""
    return [f"set_{axis}" if is_parameter(axis) else axis for axis in sweep.axes]


def trials(sweep: Axed, runs: Sequence[Run]) -> pd.DataFrame:
    """One row a trial of the sweep: the columns of `tables.trials`, the bed's, the sysctls' and the parameters' axes.

    Columns: those of `tables.trials`; `LINK_FIELDS`; the other axes that are settings, and sysctls, where the sweep
    varies them; `set_<key>` for each parameter that it varies, as it was written, None where the workload does not know
    it; setting: the place on every axis but RTT in words, "" without any.
    """
    keys = [axis for axis in sweep.axes if is_parameter(axis)]
    others = [axis for axis in sweep.axes if not is_parameter(axis) and axis not in ("nic", *LINK_FIELDS)]
    parts = []
    for run in runs:
        rows = trial_tables.trials([run])
        for axis in LINK_FIELDS:
            rows[axis] = getattr(run.bed, axis)
        for axis in others:
            rows[axis] = run.sweep.get(axis)
        known = {workload.name: _values(workload, keys) for workload in run.plan.workloads}
        for key in keys:
            rows[f"set_{key}"] = pd.Series(
                [known[name].get(key) for name in rows["workload"]], index=rows.index, dtype=object
            )
        place = {axis: run.sweep.get(axis) for axis in sweep.axes if not is_parameter(axis) and axis != "rtt_s"}
        words = {name: in_words(place | values) for name, values in known.items()}
        rows["setting"] = rows["workload"].map(words)
        parts.append(rows)
    if parts:
        return pd.concat(parts, ignore_index=True)
    columns = [*trial_tables.trials([]).columns, *LINK_FIELDS, *others, *(f"set_{key}" for key in keys), "setting"]
    return pd.DataFrame(columns=columns)


def _values(workload: WorkloadDefinition, keys: Sequence[str]) -> dict[str, Any]:
    return {key: workload.parameters[key] for key in keys if key in workload.parameters}


def medians(sweep: Axed, rows: pd.DataFrame) -> pd.DataFrame:
    """One row per place on the axes, workload and case: medians of `FIGURES` over the trials that are ok.

    Returns:
        Columns: the axes, workload, case, trials, `FIGURES`, and foreign_share (other processes' part of the measured
        CPUs' busy time, NaN where it is not known); sorted by the axes in the sweep's own order.
    """
    good = rows[rows["outcome"] == "ok"]
    good = good.assign(foreign_share=good["foreign_cpu_ratio"] / good["cpu_busy_ratio"])
    by = [*axis_columns(sweep), "workload", "case"]
    groups = good.groupby(by, dropna=False, sort=False)
    table = groups[[*FIGURES, "foreign_share"]].median()
    table.insert(0, "trials", groups.size())
    table = table.reset_index()
    for column in axis_columns(sweep):
        # grouping makes NaN of None
        table[column] = table[column].astype(object).where(table[column].notna(), None)
    columns = dict(zip(axis_columns(sweep), sweep.axes.values(), strict=True))
    places = [
        (*(_rank(row[column], values) for column, values in columns.items()), row["workload"], row["case"])
        for row in table.to_dict("records")
    ]
    return table.iloc[sorted(range(len(table)), key=places.__getitem__)].reset_index(drop=True)


def _rank(value: object, values: Sequence[Any]) -> int:
    """Where a value stands on its axis; before all of them where the workload does not know the parameter."""
    return next((rank for rank, known in enumerate(values) if str(known) == str(value)), -1)


def biggest_modules(
    sweep: Axed, runs: Sequence[Run], profile: Profile, count: int = 3
) -> dict[tuple[Any, ...], list[tuple[str, float]]]:
    """Which modules took most CPU at every place: (*axes, workload, case) -> modules with their shares of busy time.

    Means over the repeats; empty where nothing was profiled.
    """
    keys = ["run", "workload", "case", "repeat"]
    rows = trials(sweep, runs).query("outcome == 'ok'")[list(dict.fromkeys([*keys, *axis_columns(sweep)]))]
    shares = module_tables.modules(runs, profile).dropna(subset="share_ratio").drop_duplicates([*keys, "module"])
    found: dict[tuple[Any, ...], list[tuple[str, float]]] = {}
    for place, group in rows.merge(shares, on=keys).groupby([*axis_columns(sweep), "workload", "case"], dropna=False):
        sums = group.groupby("module")["share_ratio"].sum() / group.groupby("repeat").ngroups
        known = tuple(None if value != value else value for value in place)  # noqa: PLR0124 - NaN, for a None
        found[known] = [(str(module), float(share)) for module, share in sums.nlargest(count).items()]
    return found


def theory(sweep: Axed, runs: Sequence[Run]) -> pd.DataFrame:
    """What theory allows at every place: the lowest bound that link and workload set, the congestion window left out,
    which the network sets and not we.

    Returns:
        Columns: workload, setting, case, rtt_s, bound_bits_per_s, bound. Empty where no sender was followed.
    """
    places = trials(sweep, runs)[["run", "workload", "case", "repeat", "setting", "rtt_s"]]
    bounds = limit_tables.bounds(runs)
    chosen = bounds[(bounds["bound"] != CONGESTION_WINDOW) & ~bounds["exceeded"].astype(bool)].sort_values(
        "bound_bits_per_s"
    )
    lowest = chosen.drop_duplicates(["run", "workload", "case", "repeat"])
    found = places.merge(lowest, on=["run", "workload", "case", "repeat"])
    return found[["workload", "setting", "case", "rtt_s", "bound_bits_per_s", "bound"]]
