"""Tables of a report: figures rounded for people, with the exact value to sort by."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from offloadbench.analysis.tables.results import Results, instructions_per_cycle
from offloadbench.analysis.trial import toggle_proof
from offloadbench.base.units import format_rate
from offloadbench.base.words import figure, module_label, percent, unit_per_byte

_GOOD, _BAD, _PLAIN = "good", "bad", "plain"
_KINDS = {toggle_proof.PROVEN: _GOOD, toggle_proof.CONTRADICTED: _BAD, "ok": _GOOD, "failed": _BAD, "refused": _BAD}


@dataclass(frozen=True, slots=True)
class Badge:
    """A verdict in one word; kind: good, bad or plain."""

    text: str
    kind: str


@dataclass(frozen=True, slots=True)
class Cell:
    """Text, then verdicts; `order`: what the column sorts by, the text when empty."""

    text: str
    order: str = ""
    badges: tuple[Badge, ...] = ()


@dataclass(frozen=True, slots=True)
class Head:
    """A column's title; numeric columns stand right, words may wrap."""

    label: str
    numeric: bool = False
    words: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    caption: str
    heads: list[Head]
    rows: list[list[Cell]]


def _badge(text: str) -> Badge:
    return Badge(text.replace("_", " "), _KINDS.get(text, _PLAIN))


def number(value: float, text: str) -> Cell:
    """A figure; a dash that sorts last where there is none."""
    return Cell("\N{EN DASH}" if math.isnan(value) else text, "" if math.isnan(value) else repr(float(value)))


def _rate(value: float) -> Cell:
    return number(value, format_rate(value))


def _plain(value: float) -> Cell:
    return number(value, f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}"))


def _without_constants(table: Table, labels: tuple[str, ...]) -> Table:
    """The table without those columns that say the same in every row."""
    kept = [
        index
        for index, head in enumerate(table.heads)
        if head.label not in labels or len({row[index].text for row in table.rows}) > 1
    ]
    rows = [[row[index] for index in kept] for row in table.rows]
    return Table(table.caption, [table.heads[index] for index in kept], rows)


_TRIAL_HEADS = [
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
                Cell("", str(row["outcome"]), (_badge(str(row["outcome"])),)),
                _rate(row["throughput_bits_per_s"]),
                _rate(row["goodput_bits_per_s"]),
                number(row["cpu_busy_ratio"], percent(row["cpu_busy_ratio"])),
                number(row["cpu_s_per_gb"], figure(row["cpu_s_per_gb"])),
                _plain(row["bytes_per_packet"]),
                _plain(row["retrans_segments"]),
                Cell("", "", (_badge("proven" if row["toggle_proven"] else "not proven"),) if measured else ()),
                Cell(str(row["reason"])),
            ]
        )
    return _without_constants(Table("Every trial", _TRIAL_HEADS, rows), ("NIC", "Workload", "Repeat", "Reason"))


def _proof_badges(rows: pd.DataFrame) -> tuple[Badge, ...]:
    """The verdicts of one cell over its repeats; a count where they differ."""
    counts = rows["verdict"].value_counts()
    if len(counts) == 1:
        return (_badge(str(counts.index[0])),)
    return tuple(
        Badge(f"{str(name).replace('_', ' ')} ×{count}", _KINDS.get(str(name), _PLAIN))  # noqa: RUF001 a times sign
        for name, count in counts.items()
    )


_SUBJECTS = {
    "tso": "TSO",
    "gso": "GSO at the socket",
    "tx-checksum": "TX checksum",
    "rx-checksum": "RX checksum",
    "window": "inside the window",
}


def proofs(results: Results) -> Table:
    """What the packets showed: one row per nic, case and subject."""
    rank = {case: position for position, case in enumerate(results.cases)}
    keys = ["nic", "workload", "case", "subject"]
    groups = sorted(results.proofs.groupby(keys, sort=False), key=lambda item: (item[0][:2], rank[str(item[0][2])]))
    rows = []
    for (nic, workload, case, subject), found in groups:
        details = "; ".join(dict.fromkeys(found["detail"].astype(str)))
        rows.append(
            [
                Cell(str(nic)),
                Cell(str(workload)),
                Cell(str(case), str(rank[str(case)])),
                Cell(_SUBJECTS.get(str(subject), str(subject))),
                Cell("", "", _proof_badges(found)),
                Cell(details),
            ]
        )
    heads = [
        Head("NIC"),
        Head("Workload"),
        Head("Case"),
        Head("Subject"),
        Head("Verdict"),
        Head("What was seen", words=True),
    ]
    caption = "What the packets showed during the warm-up, and the counters in the window"
    return _without_constants(Table(caption, heads, rows), ("NIC", "Workload", "Repeat", "Reason"))


def _state(rows: pd.DataFrame) -> Cell:
    """Requested and active bits of a feature in a case; the first repeat speaks where all agree."""
    first = rows.iloc[0]
    active = "on" if bool(rows["active"].all()) else "off" if not bool(rows["active"].any()) else "varies"
    requested = first["requested"]
    asked = "" if requested is None or pd.isna(requested) else "on" if bool(requested) else "off"
    text = active if asked in ("", active) else f"{active}, asked {asked}"
    flags = [name for name in ("fixed", "dragged", "refused") if bool(rows[name].any())]
    verdicts = [str(verdict) for verdict in rows["proof"].unique() if verdict and verdict not in flags]
    return Cell(text, "", tuple(_badge(word) for word in (*flags, *verdicts)))


def features(results: Results) -> list[Table]:
    """Per nic: features against cases."""
    tables = []
    for nic, found in results.features.groupby("nic", sort=False):
        cases = [case for case in results.cases if case in set(found["case"])]
        rows = []
        for feature, of_feature in found.groupby("feature", sort=True):
            cells = [of_feature[of_feature["case"] == case] for case in cases]
            rows.append([Cell(str(feature)), *(Cell("as found") if cell.empty else _state(cell) for cell in cells)])
        caption = f"{nic}: active state of every feature that a case asked for or that was dragged along"
        tables.append(Table(caption, [Head("Feature"), *(Head(case) for case in cases)], rows))
    return tables


def modules(results: Results, floors: dict[str, str]) -> list[Table]:
    """Per nic and workload: cost and share of each module in each case, and instructions per cycle where counted."""
    tables = []
    table = results.busy_modules
    per_cycle = instructions_per_cycle(results.modules)
    speed = dict(zip(map(tuple, per_cycle.index), per_cycle.tolist(), strict=True))
    for (nic, workload), found in table.groupby(["nic", "workload"], sort=False):
        cases = [case for case in results.cases if case in set(found["case"])]
        cost = found.pivot_table(index=["module", "floor"], columns="case", values="value_per_byte", aggfunc="sum")
        share = found.pivot_table(index=["module", "floor"], columns="case", values="share_ratio", aggfunc="sum")
        order = cost.sum(axis=1).sort_values(ascending=False).index
        costs, shares = cost.to_dict("index"), share.to_dict("index")
        counted_cases = {place[:3] for place in speed}
        here = [(nic, workload, case) in counted_cases for case in cases]
        rows = []
        for module, floor in order:
            row = [Cell(module_label(str(module)))]
            for case, counted in zip(cases, here, strict=True):
                value, ratio = costs[module, floor][case], shares[module, floor][case]
                row += [number(value, figure(value)), number(ratio, percent(ratio))]
                if counted:
                    rate = speed.get((nic, workload, case, module), math.nan)
                    row.append(number(rate, figure(rate)))
            rows.append([*row, Cell(_first_words(floors.get(str(floor), str(floor))))])
        unit = unit_per_byte(str(found["quantity"].iloc[0]))
        heads = [Head("Module")]
        for case, counted in zip(cases, here, strict=True):
            heads += [Head(case, True), Head("share", True), *([Head("IPC", True)] if counted else [])]
        heads.append(Head("Floor"))
        caption = f"{nic}, {workload}: {unit}, and share of all busy samples"
        if any(here):
            caption += "; IPC: instructions per cycle"
        tables.append(Table(caption, heads, rows))
    return tables


def _first_words(text: str) -> str:
    return text.partition(" (")[0]
