"""Which known word a misspelt one was meant to be. Standard library only: every `--help` imports it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# difflib's measure, 0 to 1: 0.6 is its own default
_LIKE_ENOUGH = 0.6


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most like this one, whatever the case of its letters; "" where none is like it."""
    by_folded = {name.casefold(): name for name in known}
    found = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=_LIKE_ENOUGH)
    return by_folded[found[0]] if found else ""


def hint(word: str, known: Iterable[str], otherwise: str) -> str:
    """`did you mean tso? known: ...`; only the latter where no known word is like this one."""
    near = nearest(word, known)
    return f"did you mean {near}? {otherwise}" if near else otherwise
