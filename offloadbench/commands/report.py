"""Draw a report of one or more run files: findings, plots, proofs and caveats, as HTML, Markdown or files of plots."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from offloadbench.errors import OK, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Several files are drawn together, grouped by NIC; comparable ones are compared with the first."""
    parser.add_argument(
        "files", metavar="FILE", nargs="+", type=Path, help="run files, or a sweep (its folder or sweep.json)"
    )
    parser.add_argument("--output", metavar="FILE", type=Path, help="the file to write (Markdown: default stdout)")
    parser.add_argument("--format", choices=("html", "md"), default="html", help="default: html")
    parser.add_argument("--plots", metavar="DIR", type=Path, help="write each plot there as SVG and PNG")
    parser.add_argument("--profile", metavar="NAME", default="linux", help="attribution profile (default: linux)")


def main(arguments: argparse.Namespace) -> int:
    output, folder = arguments.output, arguments.plots
    if arguments.format == "html" and not output and not folder:
        raise UsageError("report: where to?", "add --output report.html, --plots DIR or --format md")
    from offloadbench import catalog, runfile, sweepfile
    from offloadbench.report import html, markdown, plot_files
    from offloadbench.report.contents import contents

    profile = catalog.profile(arguments.profile)
    files = [file for path in arguments.files for file in sweepfile.run_files(path)]
    runs = [runfile.load(path) for path in files]
    if output and any(output.exists() and output.samefile(path) for path in (*arguments.files, *files)):
        raise UsageError(f"{output}: is one of the run files", "choose another --output")
    found = contents(runs, profile, [path.name for path in files])
    try:
        if output:
            text = html.page(found) if arguments.format == "html" else markdown.render(found)
            # a report can always be made again: what stood there is overwritten
            output.write_text(text, encoding="utf-8")
            print(output)
        elif arguments.format == "md":
            sys.stdout.write(markdown.render(found))
        if folder:
            written = list(plot_files.write(found.plots.every(), folder))
            print(f"{len(written)} files in {folder}", file=sys.stderr)
    except OSError as error:
        raise UsageError(f"{error.filename or output}: {error.strerror}", "choose another place") from error
    return OK
