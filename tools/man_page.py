"""The man page, made from the parser of the command line by argparse-manpage."""

from __future__ import annotations

import re

from argparse_manpage.manpage import Manpage

from offloadbench.base import environment
from offloadbench.base.errors import EXIT_CODES
from offloadbench.commands import command_parser
from offloadbench.version import __version__

_FILES = {
    "offloadbench.toml": "in the current folder: defaults of the options of run",
    "/var/lib/offloadbench": "journals of what was changed, and locks",
    "/var/cache/offloadbench": "files that ftp-get serves",
}


def _roff(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace("`", "")


def _items(rows: dict[str, str]) -> str:
    """A list of tagged paragraphs."""
    return "\n".join(f".TP\n.B {_roff(name)}\n{_roff(text)}" for name, text in rows.items())


def text() -> str:
    """offloadbench(1) as roff."""
    parser = command_parser.build()
    # the section on exit codes says more
    parser.epilog = None
    page = Manpage(parser, format="single-commands-section")
    page.description = (parser.description or "").rstrip(".")
    page.source = f"{parser.prog} {__version__}"
    page.manual = "User Commands"
    page.add_section("exit status", "=", _items({str(code): it.sentence for code, it in sorted(EXIT_CODES.items())}))
    variables = {"OFFLOADBENCH_OPTION": "the default of an option of run: OFFLOADBENCH_PEER for --peer"}
    page.add_section("environment", "=", _items(variables | environment.VARIABLES))
    page.add_section("files", "=", _items(_FILES))
    page.add_section("see also", "=", ".BR ethtool (8),\n.BR tc (8),\n.BR perf (1),\n.BR ss (8)")
    # a help text that begins with dots is no macro
    return re.sub(r"^\.\.", r"\\&..", str(page), flags=re.MULTILINE)
