"""What was typed must do something: an option that belongs to another use of the command is refused, never dropped."""

from __future__ import annotations

import argparse
from collections.abc import Collection

from offloadbench.base.errors import UsageError


def refuse_others(arguments: argparse.Namespace, allowed: Collection[str], what: str, hint: str = "") -> None:
    """Raise UsageError for an option that was typed and is not among these.

    Args:
        allowed: fields of the parsed command line.
        what: why it has nothing to do, as the end of a sentence: `--rtt: --show prints what was measured`.
    """
    others = sorted(arguments.typed - set(allowed) - {"command", "subject", "action"})
    if others:
        option = f"--{others[0].replace('_', '-')}"
        raise UsageError(f"{option}: {what}", hint or f"leave {option} out")
