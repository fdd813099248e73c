"""Every trial, one row each."""

from __future__ import annotations

from collections.abc import Iterator

from offloadbench.analysis.tables.results import Results
from offloadbench.base.units import format_rate
from offloadbench.base.words import figure, percent
from offloadbench.report.cells import Cell, Head, Table, badge, number, without_constants
from offloadbench.report.material import Material
from offloadbench.report.section import Block, Section

_HEADS = [
    Head("NIC"),
    Head("Workload"),
    Head("Case"),
    Head("Repeat", True),
    Head("Outcome"),
    Head("Throughput", True),
    Head("Goodput", True),
    Head("CPU busy", True),
    Head("CPU s/GB", True),
    Head("Bytes/packet", True),
    Head("Sent again", True),
    Head("Toggles"),
    Head("Reason", words=True),
]


def _rate(value: float) -> Cell:
    return number(value, format_rate(value))


def _plain(value: float) -> Cell:
    return number(value, f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}"))


def trials(results: Results) -> Table:
    """One row a trial, in ladder order."""
    rank = {case: position for position, case in enumerate(results.cases)}
    table = results.trials.assign(rank=results.trials["case"].map(rank))
    rows = []
    for row in table.sort_values(["nic", "workload", "rank", "repeat"], kind="stable").to_dict("records"):
        also = str(row["also_named"])
        measured = row["outcome"] == "ok"
        rows.append(
            [
                Cell(str(row["nic"])),
                Cell(str(row["workload"])),
                Cell(f"{row['case']} = {also.replace(' ', ' = ')}" if also else str(row["case"]), str(row["rank"])),
                Cell(str(row["repeat"]), str(row["repeat"])),
                Cell("", str(row["outcome"]), (badge(str(row["outcome"])),)),
                _rate(row["throughput_bits_per_s"]),
                _rate(row["goodput_bits_per_s"]),
                number(row["cpu_busy_ratio"], percent(row["cpu_busy_ratio"])),
                number(row["cpu_s_per_gb"], figure(row["cpu_s_per_gb"])),
                _plain(row["bytes_per_packet"]),
                _plain(row["retrans_segments"]),
                Cell("", "", (badge("proven" if row["toggle_proven"] else "not proven"),) if measured else ()),
                Cell(str(row["reason"])),
            ]
        )
    return without_constants(Table("Every trial", _HEADS, rows), ("NIC", "Workload", "Repeat", "Reason"))


def _write(material: Material) -> Iterator[Block]:
    yield trials(material.results)


SECTION = Section("trials", "Trials", 120, _write, nav="trials", rows=("trials",))
