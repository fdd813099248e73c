"""Options of settings, as the commands that measure share them: each is made from its row in the table."""

from __future__ import annotations

import argparse
from typing import Any

from offloadbench.base.setting import SWEEP, Setting
from offloadbench.base.settings import of_command, refuse


def add_arguments(parser: argparse._ActionsContainer, command: str) -> None:
    """An option for each setting that the command takes; a comma list of values makes an axis of a sweep."""
    for setting in of_command(command):
        _add(parser, setting, command)


def _add(parser: argparse._ActionsContainer, setting: Setting, command: str) -> None:
    default = setting.defaults[command]
    if setting.is_flag:
        parser.add_argument(setting.option, action="store_true", help=setting.help)
        return
    many = command == SWEEP and setting.axis
    shown: dict[str, Any] = {"help": setting.help + ("; a comma list makes an axis" if many else "")}
    if default and not setting.repeated:
        shown["help"] += f" (default: {default:g})" if isinstance(default, float) else f" (default: {default})"
    if setting.choices:
        shown["choices"] = setting.choices
    else:
        shown["metavar"] = setting.metavar
    if setting.repeated:
        shown["action"] = "append"
    # one that a testbed may refuse must be seen to be asked for
    shown["default"] = None if setting.lacks else [] if setting.repeated else default
    parser.add_argument(setting.option, type=str if many else setting.typed, **shown)


def refuse_lacking(arguments: argparse.Namespace, command: str, nic: str, peer: str) -> None:
    """Raise UsageError where a setting is asked for that this NIC and this load side do not have."""
    from offloadbench.bed.opening import kind_of

    asked = [setting for setting in of_command(command) if setting.lacks and asked_for(arguments, setting)]
    refuse(nic, kind_of(nic, peer), asked, lambda setting: setting.option)


def asked_for(arguments: argparse.Namespace, setting: Setting) -> bool:
    """Whether it was typed, or stands in the environment or in `offloadbench.toml`; of those that may be refused."""
    return getattr(arguments, setting.name) is not None
