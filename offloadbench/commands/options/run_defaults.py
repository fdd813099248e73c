"""Defaults of `run`'s options from the environment and from `offloadbench.toml` in the current folder.

They are put in front of what the user typed, so that whatever is typed wins, and one parser judges all of it. The
variable for --peer is OFFLOADBENCH_PEER, the file's key is `peer`.
"""

from __future__ import annotations

import argparse
import itertools
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from offloadbench.base.errors import UsageError
from offloadbench.base.setting import RUN, Setting
from offloadbench.base.settings import of_command

FILE = "offloadbench.toml"
_VARIABLE = "OFFLOADBENCH_"
# variables that are no options: folders, the ssh to use, a login, a run's mark, and what sets this program up
OTHER_VARIABLES = frozenset(
    _VARIABLE + name for name in ("STATE", "CACHE", "SSH", "CHAP_USER", "CHAP_PASSWORD", "RUN", "VENV", "REQUIRE_ALL")
)
_LOAD_SIDES = frozenset({"peer", "fleet"})
# consents to overwrite what others have stored
_TYPED_ONLY = ("overwrite", "confirm")
# option without its dashes -> its setting
_OPTIONS = {setting.option.removeprefix("--"): setting for setting in of_command(RUN)}


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
    defaults = [_words(_OPTIONS[name], value) for name, value in chosen.items() if name not in typed]
    for word in itertools.chain.from_iterable(defaults):
        consent = word.removeprefix("--set=").partition("=")[0].strip()
        if word.startswith("--set=") and consent in _TYPED_ONLY:
            raise UsageError(f"{consent} is no default: {word[2:]}", f"type it each time: --set {consent}=...")
    return ["run", *(word for words in defaults for word in words), *arguments[1:]]


def words(arguments: argparse.Namespace, without: set[str]) -> list[str]:
    """The options of a parsed command line as they would be typed, where they are not the defaults."""
    chosen = {name: (getattr(arguments, setting.name), setting) for name, setting in _OPTIONS.items()}
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
    unknown = sorted(named.keys() - _OPTIONS.keys())
    if unknown:
        raise UsageError(f"{path}: {unknown[0]} is no option of run", _meant(unknown[0], _OPTIONS))
    return named


def _of_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    named = {setting.name.upper(): name for name, setting in _OPTIONS.items()}
    given = {
        variable.removeprefix(_VARIABLE): value
        for variable, value in environment.items()
        if variable.startswith(_VARIABLE) and variable not in OTHER_VARIABLES and value
    }
    unknown = sorted(given.keys() - named.keys())
    if unknown:
        raise UsageError(
            f"{_VARIABLE}{unknown[0]} in the environment: no option of run has that name",
            _meant(unknown[0], named, _VARIABLE),
        )
    return {named[name]: value for name, value in given.items()}


def _meant(name: str, known: Collection[str], prefix: str = "") -> str:
    import difflib

    close = difflib.get_close_matches(name, known, n=1)
    return f"meant {prefix}{close[0]}?" if close else "see `offloadbench run --help`, or take it away"


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
