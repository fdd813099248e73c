"""Text of somebody else's, fit for one line of a terminal."""

from __future__ import annotations

_MOST_CHARACTERS = 300


def shown(text: str) -> str:
    """The text cut short, with a mark in place of every character that a terminal would obey or that ends a line."""
    cut = text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in cut)
