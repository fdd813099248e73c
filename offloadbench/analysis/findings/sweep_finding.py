"""What a sweep found: how far goodput moves over its points, of each workload."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from offloadbench.analysis.tables import sweep_tables
from offloadbench.analysis.tables.sweep_tables import Axed
from offloadbench.base.sentence import Quantity, Sentence, Source, say
from offloadbench.base.units import format_rate
from offloadbench.model import Run


def sweep_finding(sweep: Axed, runs: Sequence[Run]) -> list[Sentence]:
    """One sentence a workload, from the point with the least goodput to the one with the most; medians of trials."""
    rows = sweep_tables.trials(sweep, runs)
    good = rows[(rows["outcome"] == "ok") & rows["goodput_bits_per_s"].notna()]
    return [_told(str(workload), mine) for workload, mine in good.groupby("workload", sort=True)]


def _told(workload: str, rows: pd.DataFrame) -> Sentence:
    places = [
        (float(mine["goodput_bits_per_s"].median()), rank, mine)
        for rank, (_, mine) in enumerate(rows.groupby(["rtt_s", "setting", "case"], sort=False, dropna=False))
    ]
    (low, _, least), (high, _, most) = min(places)[:3], max(places)[:3]
    if least is most:
        return say(
            "{workload}: goodput {high} {where}, the only point with a result.",
            workload=workload,
            high=_goodput(high, most),
            where=_place(most),
        )
    return say(
        "{workload}: goodput from {low} {least} to {high} {most}.",
        workload=workload,
        low=_goodput(low, least),
        least=_place(least),
        high=_goodput(high, most),
        most=_place(most),
    )


def _median(cells: Sequence[float]) -> float:
    return float(pd.Series(cells).median())


def _goodput(value: float, rows: pd.DataFrame) -> Quantity:
    where = {name: tuple(dict.fromkeys(rows[name])) for name in ("run", "workload", "case", "repeat")}
    return Quantity(value, format_rate, Source("trials", "goodput_bits_per_s", where, _median))


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:g} ms"


def _place(rows: pd.DataFrame) -> Sentence:
    """At which RTT, setting and case."""
    first: Mapping[Hashable, Any] = rows.iloc[0].to_dict()
    rtt = Source("benches", "rtt_s", {"run": tuple(dict.fromkeys(rows["run"]))})
    return say(
        "at an RTT of {rtt} ({setting}case {case})",
        rtt=Quantity(float(first["rtt_s"]), _milliseconds, rtt),
        setting=say("{setting}, ", setting=str(first["setting"])) if first["setting"] else "",
        case=str(first["case"]),
    )
