"""Options of the emulated cable, as `run`, `sweep` and `lab` share them."""

from __future__ import annotations

import argparse
import re
from typing import Any

from offloadbench.base.errors import UsageError
from offloadbench.base.link_settings import LINK_SETTINGS

_WIRE = "tap"


def add_arguments(parser: argparse.ArgumentParser, *, lists: bool = False) -> None:
    """An option for each setting of the emulated link, which as lists are axes of a sweep; `--wire`, `--sysctl`."""
    many = ", or a comma list" if lists else ""
    for setting in LINK_SETTINGS:
        parser.add_argument(
            f"--{setting.name.replace('_', '-')}",
            metavar=setting.metavar,
            help=f"{setting.help}{many} (default: {setting.default})",
        )
    parser.add_argument(
        "--wire", choices=("tap", "netem", "auto"), help="who emulates the cable: a process between two TAPs, the "
        "kernel's netem on a hop between, or netem where the kernel has it (default: tap)",
    )  # fmt: skip
    parser.add_argument("--sysctl", metavar="NAME=VALUE", action="append", default=[], help="net.* value of both ends")


def check_nic(arguments: argparse.Namespace, nic: str) -> None:
    """Raise UsageError where an emulated link is asked for that the NIC does not have."""
    asked = [name for name in (*(setting.name for setting in LINK_SETTINGS), "wire") if getattr(arguments, name)]
    if not asked or nic == "lab":
        return
    option = asked[0].replace("_", "-")
    if nic == "lab-veth":
        raise UsageError(f"--{option}: lab-veth has no cable: it is as fast as the CPU goes", "use --nic lab")
    raise UsageError(
        f"--{option} is of the emulated link of --nic lab; {nic} has a link of its own, not changed",
        f"leave --{option} out, or use --nic lab",
    )


def settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options as fields of `offloadbench.engine.options.Options`."""
    from offloadbench.model.emulated_link import typed_link

    return {
        "link": typed_link(vars(arguments)),
        "wire": arguments.wire or _WIRE,
        "sysctls": parse_sysctls(arguments.sysctl),
    }


def parse_sysctls(words: list[str]) -> dict[str, str]:
    """`net.ipv4.tcp_sack=0` -> its name and value; only `net.` belongs to a network namespace."""
    values = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not re.fullmatch(r"net(\.[A-Za-z0-9_-]+)+", name):
            raise UsageError(f"--sysctl {word!r}", 'write --sysctl net.ipv4.tcp_wmem="4096 16384 67108864"')
        values[name] = value
    return values
