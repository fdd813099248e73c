"""Defaults of `run`'s options from the environment and from `offloadbench.toml` in the current folder.

They are put in front of what the user typed, so that whatever is typed wins, and one parser judges all of it. The
variable for --peer is OFFLOADBENCH_PEER, the file's key is `peer`.
"""

from __future__ import annotations

import argparse
import itertools
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from offloadbench.base import environment as variables
from offloadbench.base import similar
from offloadbench.base.errors import UsageError
from offloadbench.commands.options.run_arguments import add_arguments

FILE = "offloadbench.toml"
_LOAD_SIDES = frozenset({"peer", "fleet"})
# consents to overwrite what others have stored
_TYPED_ONLY = ("overwrite", "confirm")


def expand(arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> list[str]:
    """The command line of `run` with defaults in front; any other command line, and --resume, as they are.

    Raises:
        UsageError: the file is no TOML, or has a key that is no option, or a consent that must be typed.
    """
    if not arguments or arguments[0] != "run":
        return list(arguments)
    typed = {word.partition("=")[0].removeprefix("--") for word in arguments if word.startswith("--")}
    # a run that goes on has its own; a series is asked for again
    if "help" in typed or ("resume" in typed and "runs" not in typed):
        return list(arguments)
    actions = run_actions()
    upper = _under(_of_environment(environment, actions), dict.fromkeys(typed, None))
    chosen = _under(_of_file(folder / FILE, actions), upper)
    defaults = [_words(name, value, actions[name]) for name, value in chosen.items() if name not in typed]
    for word in itertools.chain.from_iterable(defaults):
        consent = word.removeprefix("--set=").partition("=")[0].strip()
        if word.startswith("--set=") and consent in _TYPED_ONLY:
            raise UsageError(f"{consent} is no default: {word[2:]}", f"type it each time: --set {consent}=...")
    return ["run", *(word for words in defaults for word in words), *arguments[1:]]


def check_names(environment: Mapping[str, str]) -> None:
    """Raise UsageError for a variable that is nearly, but not quite, one that the program reads.

    Others with its prefix may be somebody else's.
    """
    strange = sorted(
        name
        for name in environment
        if name.startswith(variables.PREFIX) and name not in variables.VARIABLES and name not in variables.INTERNAL
    )
    if not strange:
        return
    known = {name.removeprefix(variables.PREFIX) for name in (*variables.VARIABLES, *map(variable_of, run_actions()))}
    for name in strange:
        end = name.removeprefix(variables.PREFIX)
        near = "" if end in known else similar.nearest(end, known)
        if near:
            raise UsageError(f"{name}: no variable of offloadbench", f"did you mean {variables.PREFIX}{near}?")


def variable_of(option: str) -> str:
    return variables.PREFIX + option.upper().replace("-", "_")


def run_actions() -> dict[str, argparse.Action]:
    """Option without its dashes -> what argparse knows of it."""
    parser = argparse.ArgumentParser(add_help=False)
    add_arguments(parser)
    return {option.removeprefix("--"): action for action in parser._actions for option in action.option_strings}


def words(arguments: argparse.Namespace, without: set[str]) -> list[str]:
    """The options of a parsed command line as they would be typed, where they are not argparse's defaults."""
    chosen = {name: (getattr(arguments, action.dest), action) for name, action in run_actions().items()}
    return [
        word
        for name, (value, action) in chosen.items()
        if name not in without and value not in (None, action.default)
        for word in _words(name, value, action)
    ]


def _under(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    """Both, where the upper ones win. There is one load side; one named beside a NIC belongs to it."""
    left_out = _LOAD_SIDES if upper.keys() & _LOAD_SIDES or "nic" in upper.keys() & lower.keys() else frozenset()
    return {name: value for name, value in lower.items() if name not in left_out} | upper


def _of_file(path: Path, actions: Mapping[str, argparse.Action]) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}", "mend it, or take it away") from error
    named = {key.replace("_", "-"): value for key, value in found.items()}
    unknown = sorted(named.keys() - actions.keys())
    if unknown:
        raise UsageError(
            f"{path}: {unknown[0]} is no option of run",
            similar.hint(unknown[0], actions, "see `offloadbench help run`"),
        )
    return named


def _of_environment(environment: Mapping[str, str], actions: Mapping[str, argparse.Action]) -> dict[str, Any]:
    named = {name: variable_of(name) for name in actions}
    return {name: environment[variable] for name, variable in named.items() if environment.get(variable)}


def _words(name: str, value: Any, action: argparse.Action) -> list[str]:
    """An option as it would be typed."""
    if action.nargs == 0:
        if value not in (True, False, "1", "0"):
            raise UsageError(f"{name} = {value!r}: it is either on or off", "write true or false; 1 or 0")
        return [f"--{name}"] if value in (True, "1") else []
    several = isinstance(action, argparse._AppendAction)
    if isinstance(value, list):
        texts = [str(one) for one in value]
        return [f"--{name}={text}" for text in texts] if several else [f"--{name}={','.join(texts)}"]
    return [f"--{name}={value}"]
