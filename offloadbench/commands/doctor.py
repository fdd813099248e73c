"""Say what this machine can measure and what it would fall back to; changes nothing."""

from __future__ import annotations

import argparse
import json

from offloadbench.errors import OK, HostError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Exit code 0 when a run can work, 3 when it cannot."""
    parser.add_argument("--nic", metavar="NIC", help="also look at this NIC")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")


def main(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from offloadbench.engine import doctor

    checks = doctor.examine(arguments.nic)
    if arguments.format == "json":
        print(json.dumps([asdict(check) for check in checks], indent=1))
    else:
        for check in checks:
            print(f"{check.level:<5} {check.name}: {check.text}" + (f" ({check.hint})" if check.hint else ""))
    return HostError.exit_code if any(check.level == "fail" for check in checks) else OK
