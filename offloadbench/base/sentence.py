"""Sentences that know their figures: a template plus named values, each with where it stands in an exported table.

A template is a literal of the code, so that a number in it is a constant; everything else in a sentence is a figure
with its source, or words of the data. `tests/unit/test_claims.py` looks every figure up where it says it comes from.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any


def only(cells: Sequence[float]) -> float:
    """The one value of all cells.

    Raises:
        ValueError: there is none, or they differ.
    """
    (value,) = set(cells)
    return value


def complement(cells: Sequence[float]) -> float:
    """What is left of one."""
    return 1 - only(cells)


def of_change(cells: Sequence[float]) -> float:
    """The ratio of a change."""
    return 1 + only(cells)


@dataclass(frozen=True, slots=True)
class Source:
    """Cells of a table of `offloadbench export`.

    Attributes:
        table: its name.
        column: of the cells.
        where: column -> value of the rows; of several values any.
        derive: makes the figure of the cells, in the order of the table.
        over: another column, by whose cell each cell is divided; "" for none.
        times: another column, by whose cell each cell is multiplied; "" for none.
        minus, plus: a figure that is taken away, or added.
    """

    table: str
    column: str
    where: Mapping[str, object]
    derive: Callable[[Sequence[float]], float] = only
    over: str = ""
    times: str = ""
    minus: Source | None = None
    plus: Source | None = None


CONSTANT = Source("", "", {})
"""Of a figure that is a constant of the code."""
COUNTED = Source("", "", {})
"""Of a figure that counts the sentences themselves."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A figure: its value, how it is written, and where it comes from."""

    value: float
    form: Callable[[float], str]
    source: Source | None = None

    def __str__(self) -> str:
        return self.form(self.value)


@dataclass(frozen=True, slots=True)
class NamedFigure:
    """A figure in a sentence, under its name there."""

    name: str
    quantity: Quantity

    def __str__(self) -> str:
        return str(self.quantity)


@dataclass(frozen=True, slots=True)
class Quoted:
    """Words of the data in a sentence: names, formulas, reasons."""

    name: str
    text: str

    def __str__(self) -> str:
        return self.text


Piece = str | NamedFigure | Quoted
"""A `str` is of the template."""


class Sentence(str):
    """A text with what it is made of; wherever a text will do it is one."""

    pieces: tuple[Piece, ...]

    def __new__(cls, pieces: Sequence[Piece]) -> Sentence:
        """Joined."""
        found = super().__new__(cls, "".join(map(str, pieces)))
        found.pieces = tuple(pieces)
        return found

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (self.pieces,)

    @property
    def figures(self) -> list[NamedFigure]:
        """In order."""
        return [piece for piece in self.pieces if isinstance(piece, NamedFigure)]

    def traced(self, sources: Mapping[str, Source]) -> Sentence:
        """The same, with a source by its name for every figure that has none yet."""
        return Sentence([_traced(piece, sources) for piece in self.pieces])

    def capitalized(self) -> Sentence:
        """The same with a large first letter, where it begins with words of its template."""
        first, *rest = self.pieces
        return Sentence([first[:1].upper() + first[1:], *rest]) if isinstance(first, str) else self


def _traced(piece: Piece, sources: Mapping[str, Source]) -> Piece:
    if not isinstance(piece, NamedFigure) or piece.quantity.source or piece.name not in sources:
        return piece
    return replace(piece, quantity=replace(piece.quantity, source=sources[piece.name]))


def say(template: str, /, **parts: str | Quantity) -> Sentence:
    """A sentence.

    Args:
        template: a literal with the names of parts in braces.
        parts: figures, other sentences, which keep their pieces, and words of the data.
    """
    pieces: list[Piece] = []
    for words, name, _, _ in string.Formatter().parse(template):
        if words:
            pieces.append(words)
        if name is not None:
            pieces += _pieces(name, parts[name])
    return Sentence(pieces)


def _pieces(name: str, part: str | Quantity) -> Sequence[Piece]:
    if isinstance(part, Sentence):
        return part.pieces
    if isinstance(part, Quantity):
        return [NamedFigure(name, part)]
    return [Quoted(name, part)] if part else []


def join(separator: str, parts: Sequence[str]) -> Sentence:
    """Sentences one after the other."""
    pieces: list[Piece] = []
    for number, part in enumerate(parts):
        pieces += [separator] if number and separator else []
        pieces += part.pieces if isinstance(part, Sentence) else [Quoted("text", part)]
    return Sentence(pieces)


def amount(name: str, quantity: Quantity) -> Sentence:
    """A figure by itself, under a name that is not written out where it is told."""
    return Sentence([NamedFigure(name, quantity)])


def mean_of(cells: Sequence[float], count: int) -> float:
    """The mean over `count`; a cell that is not there is zero."""
    return sum(cells) / count
