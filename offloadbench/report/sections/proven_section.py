"""What the packets and counters showed of each toggle, and the active state of every feature."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from offloadbench.analysis.tables.results import Results
from offloadbench.base.sentence import say
from offloadbench.report.cells import Badge, Cell, Head, Table, badge, kind_of, without_constants
from offloadbench.report.material import Material
from offloadbench.report.section import Block, Paragraph, Section

_SUBJECTS = {
    "tso": "TSO",
    "gso": "GSO at the socket",
    "tx-checksum": "TX checksum",
    "rx-checksum": "RX checksum",
    "window": "inside the window",
}


def _proof_badges(rows: pd.DataFrame) -> tuple[Badge, ...]:
    """The verdicts of one cell over its repeats; a count where they differ."""
    counts = rows["verdict"].value_counts()
    if len(counts) == 1:
        return (badge(str(counts.index[0])),)
    return tuple(
        Badge(f"{str(name).replace('_', ' ')} ×{count}", kind_of(str(name)))  # noqa: RUF001 a times sign
        for name, count in counts.items()
    )


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
    return without_constants(Table(caption, heads, rows), ("NIC", "Workload", "Repeat", "Reason"))


def _state(rows: pd.DataFrame) -> Cell:
    """Requested and active bits of a feature in a case; the first repeat speaks where all agree."""
    first = rows.iloc[0]
    active = "on" if bool(rows["active"].all()) else "off" if not bool(rows["active"].any()) else "varies"
    requested = first["requested"]
    asked = "" if requested is None or pd.isna(requested) else "on" if bool(requested) else "off"
    text = active if asked in ("", active) else f"{active}, asked {asked}"
    flags = [name for name in ("fixed", "dragged", "refused") if bool(rows[name].any())]
    verdicts = [str(verdict) for verdict in rows["proof"].unique() if verdict and verdict not in flags]
    return Cell(text, "", tuple(badge(word) for word in (*flags, *verdicts)))


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


def _write(material: Material) -> Iterator[Block]:
    shown = proofs(material.results)
    if shown.rows:
        yield shown
    else:
        yield Paragraph(say("No trial came far enough to show any packets."))
    yield from features(material.results)


SECTION = Section(
    "proven", "What was proven, and what not", 110, _write, nav="what was proven", rows=("features", "proofs")
)
