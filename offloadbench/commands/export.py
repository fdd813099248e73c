"""Print a table of one or more run files as CSV."""

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
    parser.add_argument("--output", metavar="FILE", type=Path, help="write there instead of standard output")
    parser.add_argument("--profile", metavar="NAME", default="linux", help="attribution profile (default: linux)")


def main(arguments: argparse.Namespace) -> int:
    from offloadbench import catalog, runfile
    from offloadbench.analysis import tables

    profile = catalog.profile(arguments.profile)
    runs = [runfile.load(path) for path in arguments.files]
    text = tables.TABLES[arguments.table](runs, profile).to_csv(index=False)
    if arguments.output is None:
        sys.stdout.write(text)
        return OK
    try:
        arguments.output.write_text(text)
    except OSError as error:
        raise UsageError(f"{arguments.output}: {error.strerror}", "choose another --output") from error
    return OK
