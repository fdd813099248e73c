"""Draw a report of one or more run files: the findings, plots, proofs and caveats, as one HTML file."""

from __future__ import annotations

import argparse
from pathlib import Path

from offloadbench.errors import OK, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Several files are drawn together, grouped by NIC."""
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="run files")
    parser.add_argument("--output", metavar="FILE", type=Path, required=True, help="the HTML file to write")
    parser.add_argument("--profile", metavar="NAME", default="linux", help="attribution profile (default: linux)")


def main(arguments: argparse.Namespace) -> int:
    from offloadbench import catalog, runfile
    from offloadbench.report import html

    profile = catalog.profile(arguments.profile)
    runs = [runfile.load(path) for path in arguments.files]
    text = html.render(runs, profile, [path.name for path in arguments.files])
    if any(arguments.output.exists() and arguments.output.samefile(path) for path in arguments.files):
        raise UsageError(f"{arguments.output}: is one of the run files", "choose another --output")
    try:
        # a report can always be made again: what stood there is overwritten
        arguments.output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{arguments.output}: {error.strerror}", "choose another --output") from error
    print(arguments.output)
    return OK
