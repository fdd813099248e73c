"""Draw a report of one or more run files: findings, plots, proofs and caveats, as HTML, Markdown or files of plots."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from offloadbench.base.errors import OK, RunFileError, UsageError
from offloadbench.commands import endings

if TYPE_CHECKING:
    from offloadbench.report.material import Material
    from offloadbench.report.plot import Plot

_ENDINGS = {"html": (".html", ".htm"), "md": (".md", ".markdown")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Several files are drawn together, grouped by NIC; comparable ones are compared with the first."""
    parser.add_argument(
        "files", metavar="FILE", nargs="+", type=Path, help="run files, a sweep (its folder or sweep.json), probe files"
    )
    parser.add_argument("--output", metavar="FILE", type=Path, help="the file to write (Markdown: default stdout)")
    parser.add_argument("--format", choices=tuple(_ENDINGS), help="default: as --output ends, else html")
    parser.add_argument("--plots", metavar="DIR", type=Path, help="write each plot there as SVG and PNG")
    parser.add_argument("--profile", metavar="NAME", default="linux", help="attribution profile (default: linux)")
    parser.add_argument(
        "--split", metavar="LEAF", action="append", default=[], help="split a module, as the profile says: driver"
    )


def main(arguments: argparse.Namespace) -> int:
    output, folder = arguments.output, arguments.plots
    if output and any(output.exists() and path.exists() and output.samefile(path) for path in arguments.files):
        raise UsageError(f"{output}: is one of the run files", "choose another --output")
    arguments.format = endings.format_of(output, arguments.format, _ENDINGS, "html")
    missing = [path for path in arguments.files if not path.exists()]
    if missing:
        raise RunFileError(f"{missing[0]}: {os.strerror(errno.ENOENT)}", "give the path of a run file")
    if arguments.format == "html" and not output and not folder:
        raise UsageError("report needs a file to write", "add --output report.html, --plots DIR or --format md")
    from offloadbench.files import sweep_file
    from offloadbench.report.formats import plot_files

    files = [file for path in arguments.files for file in sweep_file.run_files(path)]
    render, plots = _rendering(arguments, files)
    if output and any(output.exists() and output.samefile(path) for path in files):
        raise UsageError(f"{output}: is one of the run files", "choose another --output")
    try:
        if output:
            # a report can always be made again: what stood there is overwritten
            output.write_text(render(), encoding="utf-8")
            print(output)
        elif arguments.format == "md":
            sys.stdout.write(render())
        if folder:
            written = list(plot_files.write(plots(), folder))
            print(f"{len(written)} files in {folder}", file=sys.stderr)
    except OSError as error:
        raise UsageError(f"{error.filename or output}: {error.strerror}", "choose another place") from error
    return OK


def _rendering(arguments: argparse.Namespace, files: list[Path]) -> tuple[Callable[[], str], Callable[[], list[Plot]]]:
    """What writes the text in the format asked for, and what makes the plots, of either kind of file."""
    from offloadbench.files import probe_file

    names = [path.name for path in files]
    as_html = arguments.format == "html"
    of_probes = [probe_file.is_probe(path) for path in files]
    if all(of_probes):
        if "profile" in arguments.typed:
            raise UsageError("--profile: a probe file has no samples to attribute", "leave --profile out")
        if arguments.split:
            raise UsageError("--split: a probe file has no samples to attribute", "leave --split out")
        from offloadbench.report.formats import probe_page

        probes = [probe_file.load(path) for path in files]
        page = partial(probe_page.page, probes, names)
        return page if as_html else partial(probe_page.markdown, probes), partial(probe_page.plots, probes)
    if any(of_probes):
        raise UsageError(f"{files[of_probes.index(True)]}: a probe file among run files", "draw the two apart")
    material = _material(files, names, arguments.profile, arguments.split)
    from offloadbench.report import contents
    from offloadbench.report.formats import html, markdown

    def plots() -> list[Plot]:
        return contents.plots(contents.written(material))

    return partial(html.page if as_html else markdown.render, material), plots


def _material(files: list[Path], names: list[str], profile_name: str, split: list[str]) -> Material:
    from offloadbench.analysis.tables import results
    from offloadbench.base import forked
    from offloadbench.definitions import catalog
    from offloadbench.files import run_file

    runs, profile = [run_file.load(path) for path in files], catalog.profile(profile_name, split)
    with forked.beside([partial(results.profiled, runs, profile)]) as (sampled,):
        # what draws and what weighs take as long to import as the samples take to be attributed
        import scipy.special  # noqa: F401

        from offloadbench.report.contents import collect

        return collect(runs, profile, names, sampled)
