"""How the help of a command with many options is divided: by what a reader looks for."""

from __future__ import annotations

import argparse

from offloadbench.base.settings import LINK_SETTINGS

_LINK = tuple(setting.name.replace("_", "-") for setting in LINK_SETTINGS)
_GROUPS = {
    "what is measured": ("nic", "force", "cases", "workloads", "set"),
    "the peer of a real NIC": ("peer", "fleet", "on-lost-worker", "dut"),
    "how long and how often": ("duration", "warmup", "repeats", "runs", "precision", "max-repeats", "seed"),
    "the link, where --nic lab emulates it": (*_LINK, "wire"),
    "both ends, and the NIC": ("sysctl", "mtu", "rx-ring", "tx-ring"),
    "the kernel profile, and why a sender waits": (
        "no-profile", "call-graph", "keep-perf", "waits", "capture", "tune",
    ),
    "the result": ("output", "overwrite", "no-report", "resume", "dry-run", "show", "plot"),
}  # fmt: skip
# the commands whose options are of these groups
COMMANDS = ("run", "sweep")


def arrange(parser: argparse.ArgumentParser) -> None:
    """Move the options of a parser into the groups; what no group has stays where it is."""
    by_name = {option.removeprefix("--"): action for action in parser._actions for option in action.option_strings}
    for title, names in _GROUPS.items():
        members = [by_name[name] for name in names if name in by_name]
        if not members:
            continue
        group = parser.add_argument_group(title)
        for action in members:
            parser._optionals._group_actions.remove(action)
            group._group_actions.append(action)
