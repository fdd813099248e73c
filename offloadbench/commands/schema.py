"""Print the JSON Schema of the run file."""

from __future__ import annotations

import argparse
import sys

from offloadbench.errors import OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None: there is one format."""
    del parser


def main(arguments: argparse.Namespace) -> int:
    import msgspec

    from offloadbench import runfile

    del arguments
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(runfile.schema())).decode() + "\n")
    return OK
