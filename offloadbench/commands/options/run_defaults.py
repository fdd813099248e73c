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
from offloadbench.base.setting import RUN, Setting
from offloadbench.base.settings import of_command

FILE = "offloadbench.toml"
_LOAD_SIDES = frozenset({"peer", "fleet"})
# consents to overwrite what others have stored
_TYPED_ONLY = ("overwrite", "confirm")
# option without its dashes -> its setting
OPTIONS = {setting.option.removeprefix("--"): setting for setting in of_command(RUN)}


def expand(arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> list[str]:
    """The command line of `run` with defaults in front; any other command line, and --resume, as they are.

    Raises:
        UsageError: the file is no TOML, it or a variable names no option, or a consent must be typed.
    """
    if not arguments or arguments[0] != "run":
        return list(arguments)
    typed = {word.partition("=")[0].removeprefix("--") for word in arguments if word.startswith("--")}
    # a run that goes on has its own; a series is asked for again
    if "help" in typed or ("resume" in typed and "runs" not in typed):
        return list(arguments)
    upper = _under(_of_environment(environment), dict.fromkeys(typed, None))
    chosen = _under(_of_file(folder / FILE), upper)
    defaults = [_words(OPTIONS[name], value) for name, value in chosen.items() if name not in typed]
    for word in itertools.chain.from_iterable(defaults):
        consent = word.removeprefix("--set=").partition("=")[0].strip()
        if word.startswith("--set=") and consent in _TYPED_ONLY:
            raise UsageError(f"{consent} is no default: {word[2:]}", f"type it each time: --set {consent}=...")
    return ["run", *(word for words in defaults for word in words), *arguments[1:]]


def check_names(environment: Mapping[str, str]) -> None:
    """Raise UsageError for a variable that is nearly, but not quite, one that the program reads."""
    for name in _unknown(environment):
        if near := _near(name):
            raise UsageError(f"{name}: no variable of offloadbench", f"did you mean {near}?")


def _near(name: str) -> str:
    """The variable that a misspelt one was meant to be; what all begin with tells nothing."""
    known = [known.removeprefix(variables.PREFIX) for known in (*variables.VARIABLES, *map(variable_of, OPTIONS))]
    near = similar.nearest(name.removeprefix(variables.PREFIX), known)
    return near and variables.PREFIX + near


def variable_of(option: str) -> str:
    """The variable of an option of `run`, which is named without its dashes."""
    return variables.PREFIX + option.upper().replace("-", "_")


def _unknown(environment: Mapping[str, str]) -> list[str]:
    """Variables with our prefix that are set, and that nothing reads."""
    read = {*variables.VARIABLES, *variables.OTHERS, *map(variable_of, OPTIONS)}
    return sorted(name for name in environment if name.startswith(variables.PREFIX) and name not in read)


def words(arguments: argparse.Namespace, without: set[str]) -> list[str]:
    """The options of a parsed command line as they would be typed, where they are not the defaults."""
    chosen = {name: (getattr(arguments, setting.name), setting) for name, setting in OPTIONS.items()}
    return [
        word
        for name, (value, setting) in chosen.items()
        if name not in without and value not in (None, [], setting.defaults[RUN])
        for word in _words(setting, value)
    ]


def _under(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    """Both, where the upper ones win. There is one load side; one named beside a NIC belongs to it."""
    left_out = _LOAD_SIDES if upper.keys() & _LOAD_SIDES or "nic" in upper.keys() & lower.keys() else frozenset()
    return {name: value for name, value in lower.items() if name not in left_out} | upper


def _of_file(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}", "mend it, or take it away") from error
    named = {key.replace("_", "-"): value for key, value in found.items()}
    unknown = sorted(named.keys() - OPTIONS.keys())
    if unknown:
        raise UsageError(
            f"{path}: {unknown[0]} is no option of run",
            similar.hint(unknown[0], OPTIONS, "see `offloadbench help run`"),
        )
    return named


def _of_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    check_names(environment)
    unknown = _unknown(environment)
    if unknown:
        raise UsageError(
            f"{unknown[0]} in the environment: no option of run has that name",
            "see `offloadbench help run`, or unset it",
        )
    named = {name: variable_of(name) for name in OPTIONS}
    return {name: environment[variable] for name, variable in named.items() if environment.get(variable)}


def _words(setting: Setting, value: Any) -> list[str]:
    """An option as it would be typed."""
    if setting.is_flag:
        if value not in (True, False, "1", "0"):
            raise UsageError(f"{setting.option[2:]} = {value!r}: it is either on or off", "write true or false; 1 or 0")
        return [setting.option] if value in (True, "1") else []
    if isinstance(value, list):
        texts = [str(one) for one in value]
        together = texts if setting.repeated else [",".join(texts)]
        return [f"{setting.option}={text}" for text in together]
    return [f"{setting.option}={value}"]
