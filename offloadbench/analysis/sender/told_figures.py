"""The figures of a sentence, kept under their names while it is written, so that a table can give them back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from offloadbench.base.sentence import NamedFigure, Piece, Quoted, Sentence


class Figures(dict[str, float]):
    """Name -> value of what a sentence tells.

    Attributes:
        forms: name -> how it was written.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forms: dict[str, Callable[[float], str]] = {}

    def tell(self, name: str, value: float, form: Callable[[float], str]) -> str:
        """The value in words, remembered."""
        self[name] = float(value)
        self.forms[name] = form
        return form(value)

    def add(self, other: Figures) -> None:
        """Those of a part of the sentence."""
        self.update(other)
        self.forms.update(other.forms)


def whole(value: float) -> str:
    """A count."""
    return f"{value:.0f}"


def found_in(text: str, known: Mapping[str, NamedFigure | Quoted]) -> Sentence:
    """The text as a sentence: where a known figure or name stands, it is one; all else is words of the data.

    Args:
        known: by how it is written.
    """
    if not known:
        return Sentence([Quoted("words", text)])
    longest_first = sorted(filter(None, known), key=len, reverse=True)
    pattern = re.compile(rf"(?<![\w.])({'|'.join(map(re.escape, longest_first))})(?![\w])")
    pieces: list[Piece] = []
    for at, part in enumerate(pattern.split(text)):
        if part:
            pieces.append(known[part] if at % 2 else Quoted("words", part))
    return Sentence(pieces)
