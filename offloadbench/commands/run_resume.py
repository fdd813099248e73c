"""What `run --resume FILE` may be told beside the file: nothing that the run was measured otherwise with."""

from __future__ import annotations

import argparse
from typing import Any

from offloadbench.base.errors import UsageError
from offloadbench.base.setting import Setting
from offloadbench.base.settings import named, recorded
from offloadbench.model import Run


def check(arguments: argparse.Namespace, run: Run) -> None:
    """Raise UsageError where something is asked for that the run was not measured with."""
    for name in sorted(arguments.typed - {"command"}):
        setting, typed = named(name), getattr(arguments, name)
        if setting.resume == "free":
            continue
        if setting.resume == "never":
            raise UsageError(
                f"{setting.option}: --resume goes on with the cases, parameters and file of that run",
                f"leave {setting.option} out",
            )
        was = recorded(setting, run)
        if setting.asked(setting.parse(typed)) != was and not (setting.leaves_open and typed == setting.leaves_open):
            raise UsageError(
                f"{_spelled(setting, typed)}: {arguments.resume} was measured with {setting.title} "
                f"{setting.form(was)}, and goes on with that",
                f"leave {setting.option} out, or start a new run",
            )


def _spelled(setting: Setting, typed: Any) -> str:
    """As it was typed."""
    if setting.is_flag:
        return setting.option
    return f"{setting.option} {' '.join(typed) if setting.repeated else typed}"
