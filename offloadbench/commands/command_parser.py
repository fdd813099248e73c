"""The parser of the command line: whole option names only, and errors as every other error of the program."""

from __future__ import annotations

import argparse
import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from offloadbench import commands
from offloadbench.base.errors import EXIT_CODES, UsageError
from offloadbench.base.similar import hint
from offloadbench.commands.options import option_groups
from offloadbench.version import __version__

PROGRAM = "offloadbench"
_INVALID_CHOICE = re.compile(r"(?P<what>(?P<name>.+?): invalid choice: '(?P<word>.*)') \(choose from .*\)", re.DOTALL)


class CommandParser(argparse.ArgumentParser):
    """Takes options by their whole names only: what an abbreviation means changes with every new option.

    The parsers of commands, and those below them, are of the same class.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with argparse's own message, without its usage, and with what may have been meant."""
        text = message.removeprefix("argument ")
        wrong = _INVALID_CHOICE.fullmatch(text)
        choices = self._choices(wrong["name"]) if wrong else []
        if not wrong or not choices:
            raise UsageError(text, f"see `{PROGRAM} help{self.prog.removeprefix(PROGRAM)}`")
        raise UsageError(wrong["what"], hint(wrong["word"], choices, f"known: {', '.join(choices)}"))

    def _choices(self, name: str) -> list[str]:
        """Of the argument that an error of argparse names."""
        for action in self._actions:
            if name in ("/".join(action.option_strings), action.metavar, action.dest):
                return [str(choice) for choice in action.choices or ()]
        return []

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """What was typed; what is unknown raises UsageError with what may have been meant."""
        found, unknown = self.parse_known_args(words)
        if unknown:
            raise UsageError(f"unrecognized arguments: {' '.join(unknown)}", self._meant(unknown, found))
        return found

    def _meant(self, unknown: Sequence[str], found: argparse.Namespace) -> str:
        """The hint for arguments that no option and no place takes."""
        page = f"see `{PROGRAM} help {found.command}`"
        options = [word.partition("=")[0] for word in unknown if word.startswith("-")]
        return hint(options[0], set(_options(self)), page) if options else page


def build(command: str = "") -> CommandParser:
    """The parser of one command, which spares the imports of the others; any other word gives that of all."""
    parser = CommandParser(
        prog=PROGRAM,
        description="What each network offload (TSO, GSO, checksum) is worth on your NIC, kernel and load.",
        epilog=f"exit codes: {', '.join(f'{code} {meaning.short}' for code, meaning in EXIT_CODES.items())}",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument(
        "--debug", action="store_true", help="print the traceback of an error; may stand anywhere on the command line"
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    for module in commands.subcommands(command):
        name = module.__name__.rpartition(".")[2]
        summary = (module.__doc__ or "").partition("\n")[0]
        subparser = subparsers.add_parser(name, help=summary, description=module.__doc__)
        module.add_arguments(subparser)
        if name in option_groups.COMMANDS:
            option_groups.arrange(subparser)
        subparser.set_defaults(main=module.main)
    return parser


def typed_options(parser: CommandParser, words: Sequence[str]) -> frozenset[str]:
    """What was typed, by the names of the fields: a default that is typed is among them, one that is not is not."""
    for below in with_all_below(parser):
        for action in below._actions:
            action.default = argparse.SUPPRESS
        below._defaults.clear()
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            found = parser.parse(words)
        except (SystemExit, UsageError):
            return frozenset()
    return frozenset(vars(found))


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers right below this one, by the words that choose them."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= action.choices
    return found


def with_all_below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for below in subparsers(parser).values():
        yield from with_all_below(below)


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Every option of the parser and of those below it."""
    for below in with_all_below(parser):
        for action in below._actions:
            yield from action.option_strings
