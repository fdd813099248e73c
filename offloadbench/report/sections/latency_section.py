"""How long commands take, from submission to end, of workloads that have commands."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from offloadbench.report.cells import Cell, Head, Table, number
from offloadbench.report.material import Material, benches
from offloadbench.report.section import Block, Section

_COLUMNS = {f"latency_{name}_us": title for name, title in (("p50", "Median"), ("p90", "90 %"), ("p99", "99 %"))}
_COLUMNS |= {"latency_max_us": "Longest"}


def _milliseconds(value_us: float) -> Cell:
    return number(value_us, f"{value_us / 1e3:.3g} ms")


def _latencies(material: Material, where: str, rows: pd.DataFrame) -> Table:
    cases = [case for case in material.results.cases if case in set(rows["case"])]
    medians = rows.groupby("case")[list(_COLUMNS)].median().to_dict("index")
    cells = [
        [Cell(case, str(rank)), *(_milliseconds(medians[case][name]) for name in _COLUMNS)]
        for rank, case in enumerate(cases)
    ]
    heads = [Head("Case"), *(Head(title, True) for title in _COLUMNS.values())]
    return Table(f"{where}: time from a command's submission to its end; medians over the trials", heads, cells)


def _write(material: Material) -> Iterator[Block]:
    known = material.usable[material.usable["latency_p50_us"].notna()]
    for (nic, workload), rows in benches(known):
        yield _latencies(material, f"{nic}, {workload}", rows)


SECTION = Section("latency", "Latency", 95, _write, nav="latency", rows=("trials",), measured=True)
