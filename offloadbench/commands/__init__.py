"""One module a subcommand, each with `add_arguments(parser)` and `main(arguments) -> exit code`."""

from __future__ import annotations

import sys
from types import ModuleType

from offloadbench.errors import Interrupted, OffloadbenchError


def subcommands() -> list[ModuleType]:
    """The subcommands, in the order in which --help lists them."""
    from offloadbench.commands import (
        batch,
        cases,
        compare,
        doctor,
        export,
        lab,
        modules,
        probe,
        profile,
        report,
        restore,
        run,
        schema,
        sweep,
        tune,
        watch,
    )

    measuring = [run, sweep, batch, watch, compare, report, export, modules, probe]
    return [*measuring, cases, profile, doctor, tune, lab, restore, schema]


def show_error(error: OffloadbenchError | Interrupted) -> None:
    """What is wrong, and what to do about it, on standard error."""
    sys.stderr.write(f"error: {error.message}\n")
    if error.hint:
        sys.stderr.write(f"hint: {error.hint}\n")
