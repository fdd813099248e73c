"""Print a table of one or more run files as CSV, or call stacks as folded lines."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from offloadbench.errors import OK, UsageError

TABLE_NAMES = (
    "trials",
    "samples",
    "features",
    "modules",
    "methods",
    "module_seconds",
    "processes",
    "cpus",
    "stacks",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The columns are a contract: see the README."""
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="run files")
    parser.add_argument("--table", choices=TABLE_NAMES, required=True, help="which table")
    parser.add_argument(
        "--format",
        choices=("csv", "folded"),
        default="csv",
        help="folded: stacks as lines `case;process;function;...;function weight`, for flame graph tools",
    )
    parser.add_argument("--output", metavar="FILE", type=Path, help="write there instead of standard output")
    parser.add_argument("--profile", metavar="NAME", default="linux", help="attribution profile (default: linux)")


def main(arguments: argparse.Namespace) -> int:
    from offloadbench import catalog, runfile
    from offloadbench.analysis import folded, tables

    if arguments.format == "folded" and arguments.table != "stacks":
        raise UsageError(f"--format folded is of call stacks, not of {arguments.table}", "give --table stacks")
    profile = catalog.profile(arguments.profile)
    runs = [runfile.load(path) for path in arguments.files]
    table = tables.TABLES[arguments.table](runs, profile)
    text = folded.folded(table) if arguments.format == "folded" else table.to_csv(index=False)
    if arguments.output is None:
        sys.stdout.write(text)
        return OK
    try:
        arguments.output.write_text(text)
    except OSError as error:
        raise UsageError(f"{arguments.output}: {error.strerror}", "choose another --output") from error
    return OK
