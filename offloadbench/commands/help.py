"""Print the help of a command, as its --help does."""

from __future__ import annotations

import argparse

from offloadbench.base.errors import OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Without a command: the list of all."""
    parser.add_argument("words", metavar="COMMAND", nargs="*", help="a command, and what is below it: help lab up")


def main(arguments: argparse.Namespace) -> int:
    from offloadbench.commands import command_parser

    words = arguments.words
    command_parser.build(words[0] if words else "").parse([*words, "--help"])
    return OK
