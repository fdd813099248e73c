"""Tables of a report: figures rounded for people, with the exact value to sort by."""

from __future__ import annotations

import math
from dataclasses import dataclass

from offloadbench.analysis.trial import toggle_proof

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
    """A table with what stands above it; one without rows is not shown."""

    caption: str
    heads: list[Head]
    rows: list[list[Cell]]


def kind_of(verdict: str) -> str:
    """Of a badge with this verdict."""
    return _KINDS.get(verdict, _PLAIN)


def badge(verdict: str) -> Badge:
    """A verdict as a badge."""
    return Badge(verdict.replace("_", " "), kind_of(verdict))


def number(value: float, text: str) -> Cell:
    """A figure; a dash that sorts last where there is none."""
    return Cell("\N{EN DASH}" if math.isnan(value) else text, "" if math.isnan(value) else repr(float(value)))


def without_constants(table: Table, labels: tuple[str, ...]) -> Table:
    """The table without those columns that say the same in every row."""
    kept = [
        index
        for index, head in enumerate(table.heads)
        if head.label not in labels or len({row[index].text for row in table.rows}) > 1
    ]
    rows = [[row[index] for index in kept] for row in table.rows]
    return Table(table.caption, [table.heads[index] for index in kept], rows)
