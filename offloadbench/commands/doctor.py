"""Say what this machine can measure and what it would fall back to; changes nothing."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from offloadbench.base.errors import OK, HostError, UsageError
from offloadbench.commands.tune import path_arguments

if TYPE_CHECKING:
    from offloadbench.analysis.tcp_tuning.needs import PathTarget


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Exit code 0 when a run can work, 3 when it cannot."""
    parser.add_argument("--nic", metavar="NIC", help="also look at this NIC")
    parser.add_argument("--bandwidth", metavar="RATE", help="judge TCP's parameters for a path of this bottleneck")
    parser.add_argument("--rtt", metavar="TIME", help="and this round trip time")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")


def main(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from offloadbench.engine import machine_check

    checks = machine_check.examine(arguments.nic, _target(arguments))
    if arguments.format == "json":
        print(json.dumps([asdict(check) for check in checks], indent=1))
    else:
        for check in checks:
            print(f"{check.level:<5} {check.name}: {check.text}" + (f" ({check.hint})" if check.hint else ""))
            if check.cost:
                print(f"      costs: {check.cost}")
            if check.source and check.level != "ok":
                print(f"      source: {check.source}")
    return HostError.exit_code if any(check.level == "fail" for check in checks) else OK


def _target(arguments: argparse.Namespace) -> PathTarget | None:
    from offloadbench.engine.tcp_tuning.apply import target_here

    if arguments.bandwidth is None and arguments.rtt is None:
        return None
    if arguments.bandwidth is None or arguments.rtt is None:
        raise UsageError("--bandwidth and --rtt belong together", "for example: --bandwidth 10gbit --rtt 40ms")
    return target_here(None, **path_arguments(arguments))
