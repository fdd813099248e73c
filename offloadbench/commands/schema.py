"""Print the JSON Schema of the run file, or of the probe file."""

from __future__ import annotations

import argparse
import sys

from offloadbench.base.errors import OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Two kinds of file are written."""
    parser.add_argument("--of", choices=("run", "probe"), default="run", help="default: run")


def main(arguments: argparse.Namespace) -> int:
    import msgspec

    from offloadbench.files import probe_file, run_file

    found = run_file.schema() if arguments.of == "run" else probe_file.schema()
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    return OK
