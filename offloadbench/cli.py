"""The entry point: parse, call a command, turn errors into one line and an exit code.

pandas, scipy and seaborn are imported by what needs them, so that --help stays quick.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from offloadbench import commands
from offloadbench.base.errors import INTERRUPTED, Interrupted, OffloadbenchError
from offloadbench.base.signals import ENDING
from offloadbench.commands.options import run_defaults
from offloadbench.version import __version__

# a command makes much that lives until it ends: at Python's 700 new objects between two searches for cycles, the search
# takes a fifth of the time of a report
_NEW_OBJECTS = 50_000


class _Parser(argparse.ArgumentParser):
    """Takes options by their whole names only: what an abbreviation means changes with every new option.

    The parsers of commands, and those below them, are of the same class.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})


def _parser(command: str = "") -> argparse.ArgumentParser:
    """Of this command, or of all."""
    parser = _Parser(
        prog="offloadbench",
        description="What each network offload (TSO, GSO, checksum) is worth on your NIC, kernel and load.",
        epilog="exit codes: 0 ok, 1 regression, 2 usage, 3 host, 4 undecided, 5 traffic or a failed trial, 6 feature, "
        "7 profiler, 8 run file, 9 restore, 10 statistic, 130 interrupted",
    )
    parser.add_argument("--version", action="version", version=f"offloadbench {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in commands.subcommands(command):
        name = module.__name__.rpartition(".")[2]
        summary = (module.__doc__ or "").partition("\n")[0]
        subparser = subparsers.add_parser(name, help=summary, description=module.__doc__)
        module.add_arguments(subparser)
        subparser.set_defaults(main=module.main)
    return parser


def typed_options(parser: argparse.ArgumentParser, words: list[str]) -> frozenset[str]:
    """What was typed, by the names of the fields: a default that is typed is among them, one that is not is not."""
    _without_defaults(parser)
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            found = parser.parse_args(words)
        except SystemExit:
            return frozenset()
    return frozenset(vars(found))


def _without_defaults(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        action.default = argparse.SUPPRESS
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                _without_defaults(below)
    parser._defaults.clear()


def _interrupt(number: int, frame: FrameType | None) -> None:
    del frame
    raise Interrupted(f"interrupted by {signal.Signals(number).name}")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the process's exit code."""
    gc.set_threshold(_NEW_OBJECTS)
    for number in ENDING:
        signal.signal(number, _interrupt)
    try:
        typed = sys.argv[1:] if arguments is None else arguments
        words = run_defaults.expand(typed, os.environ, Path())
        chosen = _parser(words[0] if words else "").parse_args(words)
        chosen.typed = typed_options(_parser(words[0] if words else ""), typed)
        code: int = chosen.main(chosen)
    except (OffloadbenchError, Interrupted) as error:
        commands.show_error(error)
        return error.exit_code
    except BrokenPipeError:
        # the reader of our output went away, as `| head` does; nothing more can be told it
        with contextlib.suppress(OSError):
            sys.stdout.close()
        return INTERRUPTED
    return code
