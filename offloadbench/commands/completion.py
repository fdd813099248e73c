"""Print the shell completion of this program, for bash, zsh or tcsh."""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from offloadbench.base.errors import OK

SHELLS = ("bash", "zsh", "tcsh")
_FOLDERS = frozenset({"FOLDER", "DIR"})
# NICs of the machine on which a key is pressed, not of the one that made the script
_NICS = {"bash": "_offloadbench_nics", "zsh": "_offloadbench_nics", "tcsh": "`echo lab lab-veth; ls /sys/class/net`"}
_PREAMBLE = {
    "bash": '_offloadbench_nics() { compgen -W "lab lab-veth $(ls /sys/class/net 2>/dev/null)" -- "$1"; }\n',
    "zsh": "_offloadbench_nics() { local -a nics; nics=(lab lab-veth /sys/class/net/*(N:t)); _values NIC $nics; }\n",
    "tcsh": "",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """An installation has bash's and zsh's below share/ already, where these shells look for them."""
    parser.add_argument("shell", choices=SHELLS, help='for example: eval "$(offloadbench completion bash)"')


def main(arguments: argparse.Namespace) -> int:
    sys.stdout.write(script(arguments.shell))
    return OK


def script(shell: str) -> str:
    """The completion script of one shell."""
    import shtab

    from offloadbench.commands import command_parser

    parser = command_parser.build()
    names = {"--cases": _case_names(), "--workloads": _stems("workloads"), "--profile": _stems("profiles")}
    for below in command_parser.with_all_below(parser):
        for action in below._actions:
            _complete(action, names)
    return str(shtab.complete(parser, shell=shell, root_prefix="offloadbench", preamble=_PREAMBLE[shell]))


def _complete(action: argparse.Action, names: dict[str, list[str]]) -> None:
    """Tell shtab what the argument takes; it reads the attribute `complete`, and choices."""
    import shtab

    marked: Any = action
    metavar = str(action.metavar or "")
    if "--nic" in action.option_strings:
        marked.complete = _NICS
    elif metavar in _FOLDERS:
        marked.complete = shtab.DIRECTORY
    elif "FILE" in metavar or metavar.endswith(".toml"):
        marked.complete = shtab.FILE
    for option in action.option_strings:
        if option in names and not action.choices:
            action.choices = names[option]


def _folder(name: str) -> Path:
    """As `offloadbench.definitions.catalog` finds it, without what that imports: a wheel is built with this."""
    package = Path(__file__).resolve().parents[1]
    return next(folder for folder in (package / name, package.parent / name) if folder.is_dir())


def _stems(name: str) -> list[str]:
    return sorted(path.stem for path in _folder(name).glob("*.toml"))


def _case_names() -> list[str]:
    return sorted({"all", *_names_of_cases()})


def _names_of_cases() -> Iterator[str]:
    for path in (_folder("profiles") / "cases").glob("*.toml"):
        case = tomllib.loads(path.read_text(encoding="utf-8"))
        yield case["name"]
        yield from case["groups"]
