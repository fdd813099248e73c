"""One module a subcommand, each with `add_arguments(parser)` and `main(arguments) -> exit code`."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from offloadbench.base.errors import Interrupted, OffloadbenchError

_MEASURING = ("run", "sweep", "batch", "watch", "compare", "report", "export", "modules", "probe")
_NAMES = (*_MEASURING, "cases", "profile", "doctor", "tune", "lab", "restore", "schema", "help", "completion")


def subcommands(only: str = "") -> list[ModuleType]:
    """The subcommands, in the order in which --help lists them.

    Args:
        only: the name of one, which spares the imports of the others; no name of any gives all.
    """
    names = [only] if only in _NAMES else _NAMES
    return [importlib.import_module(f"{__name__}.{name}") for name in names]


def show_error(error: OffloadbenchError | Interrupted) -> None:
    """What is wrong, and what to do about it, on standard error."""
    sys.stderr.write(f"error: {error.message}\n")
    if error.hint:
        sys.stderr.write(f"hint: {error.hint}\n")
