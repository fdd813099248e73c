"""Lines in colour, where the terminal has it; every line says in words too what its colour says."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from offloadbench.report.compare_text import Line

# select graphic rendition, ECMA-48
_STYLES = {"WORSE": "\x1b[1;31m", "BETTER": "\x1b[32m", "OPEN": "\x1b[33m"}
_RESET = "\x1b[0m"


def has_colour(stream: TextIO) -> bool:
    """Whether the stream is a terminal with colours, and nobody asked for none (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def write(lines: Iterable[Line], stream: TextIO | None = None) -> None:
    """To standard output unless told otherwise."""
    stream = stream or sys.stdout
    colour = has_colour(stream)
    for tone, line in lines:
        style = _STYLES.get(tone.name, "") if colour else ""
        stream.write(f"{style}{line}{_RESET}\n" if style and line else f"{line}\n")
