"""Print the JSON Schema of the run file, or of the probe file."""

from __future__ import annotations

import argparse
import sys

from offloadbench.errors import OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Two kinds of file are written."""
    parser.add_argument("--of", choices=("run", "probe"), default="run", help="default: run")


def main(arguments: argparse.Namespace) -> int:
    import msgspec

    from offloadbench import probefile, runfile

    found = runfile.schema() if arguments.of == "run" else probefile.schema()
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    return OK
