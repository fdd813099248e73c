"""The parts of the reference that are made from the code: each a function that gives Markdown."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from offloadbench.analysis import table_columns
from offloadbench.base import environment
from offloadbench.base.errors import EXIT_CODES
from offloadbench.base.setting import BENCH, RUN
from offloadbench.base.settings import LINK_SETTINGS
from offloadbench.commands import command_parser
from offloadbench.commands.options import run_defaults
from offloadbench.definitions import catalog
from offloadbench.files import probe_file, run_file

_FILE_FIELD = 60


def _cell(text: str) -> str:
    """Text for a cell of a table: code as it is, the rest with what Markdown would read escaped."""
    parts = " ".join(text.split()).split("`")
    return "`".join(
        part if number % 2 else part.replace("|", "\\|").replace("<", "&lt;") for number, part in enumerate(parts)
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    return [*lines, *(f"| {' | '.join(map(_cell, row))} |" for row in rows), ""]


def _code(text: object) -> str:
    return f"`{text}`" if str(text) else ""


# ---------------------------------------------------------------- the parser


def _written(action: argparse.Action) -> str:
    """An argument as it is typed."""
    value = action.metavar
    if value is None and action.choices is not None:
        value = f"{{{','.join(map(str, action.choices))}}}"
    value = " ".join(value) if isinstance(value, tuple) else value or action.dest.upper()
    if not action.option_strings:
        return f"{value}..." if action.nargs in ("*", "+", argparse.REMAINDER) else value
    name = ", ".join(action.option_strings)
    if action.nargs == 0:
        return name
    return f"{name} {value}{' ...' if action.nargs in ('*', '+') else ''}"


def _help(action: argparse.Action) -> str:
    text = (action.help or "") % {"prog": "offloadbench", "default": action.default}
    # a word, not `ssh://user@host`
    return text[:1].upper() + text[1:] if re.match(r"[a-z]+[ ,]", text) else text


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    for group in parser._action_groups:
        actions = [
            action
            for action in group._group_actions
            if action.help != argparse.SUPPRESS
            and not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
        ]
        if not actions:
            continue
        title = group.title or ""
        if title not in ("options", "positional arguments"):
            yield from (f"**{title}**{': ' if group.description else ''}{group.description or ''}", "")
        yield from _table(["argument", "meaning"], [(_code(_written(action)), _help(action)) for action in actions])


def _command(parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    yield from (f"{'#' * level} {parser.prog}", "", _cell(parser.description or ""), "")
    yield from _arguments(parser)
    for below in command_parser.subparsers(parser).values():
        yield from _command(below, level + 1)


def commands() -> str:
    """Every command with its arguments."""
    parser = command_parser.build()
    lines = list(_arguments(parser))
    for below in command_parser.subparsers(parser).values():
        lines += _command(below, 2)
    return "\n".join(lines)


def run_options() -> str:
    """The options of `run` with their variables and keys."""
    rows = []
    for name, setting in run_defaults.OPTIONS.items():
        default = setting.defaults[RUN]
        shown = "" if default in (None, "", [], False) else str(default)
        rows.append((_code(setting.option), _code(run_defaults.variable_of(name)), _code(name), _code(shown)))
    return "\n".join(_table(["option", "variable", "key in offloadbench.toml", "default"], rows))


def environment_variables() -> str:
    """What is read besides the variables of options."""
    return "\n".join(
        _table(["variable", "meaning"], [(_code(name), text) for name, text in environment.VARIABLES.items()])
    )


def link_settings() -> str:
    """The rows of `offloadbench.base.settings`."""
    rows = [
        (
            _code(row.option), _code(row.plan_key), _code(row.field), _code(row.defaults[BENCH]),
            row.help,
        )
        for row in LINK_SETTINGS
    ]  # fmt: skip
    return "\n".join(_table(["option", "key of a plan", "axis and column", "default", "meaning"], rows))


# ---------------------------------------------------------------- tables, codes, files


def tables() -> str:
    """Every table of `export` with its columns."""
    lines = []
    for name in table_columns.TABLE_NAMES:
        lines += [f"## {name}", "", table_columns.title(name), ""]
        lines += _table(
            ["column", "unit", "meaning"],
            [
                (_code(column), table_columns.unit(column), text)
                for column, text in table_columns.meanings(name).items()
            ],
        )
    return "\n".join(lines)


def exit_codes() -> str:
    """Code, name, meaning."""
    return "\n".join(
        _table(
            ["code", "name", "meaning"],
            [(str(code), meaning.short, meaning.sentence) for code, meaning in sorted(EXIT_CODES.items())],
        )
    )


def schema() -> str:
    """The fields of both kinds of file, from their JSON Schema."""
    lines = []
    for title, document in (("Run file", run_file.schema()), ("Probe file", probe_file.schema())):
        lines += [f"## {title}", "", f"Format `{document['title']}`.", ""]
        root = document["$ref"].rpartition("/")[2]
        found = document["$defs"]
        for name in (root, *sorted(found.keys() - {root})):
            lines += [f"### {name}", "", _paragraph(found[name].get("description", "")), ""]
            properties = found[name].get("properties", {})
            if properties:
                lines += _table(
                    ["field", "type", "default"],
                    [(_code(field), _type(spec), _default(spec)) for field, spec in properties.items()],
                )
    return "\n".join(lines)


def _paragraph(text: str) -> str:
    """The first paragraph of a docstring; its attributes as a list."""
    first, _, rest = text.partition("\n\n")
    attributes = re.search(r"Attributes:\n((?: .*\n?)+)", rest)
    items = []
    for line in attributes[1].splitlines() if attributes else []:
        found = re.match(r"\s{0,4}([a-z_0-9, ]+): (.*)", line)
        if found:
            items.append(f"- `{found[1]}`: {found[2]}")
        elif items:
            items[-1] += f" {line.strip()}"
    return "\n".join([" ".join(first.split()).replace("<", "&lt;"), "", *(item.replace("<", "&lt;") for item in items)])


def _type(spec: dict[str, Any]) -> str:
    """A JSON Schema type in words."""
    if "$ref" in spec:
        return str(spec["$ref"]).rpartition("/")[2]
    if "anyOf" in spec:
        return " or ".join(_type(one) for one in spec["anyOf"])
    if "enum" in spec:
        return ", ".join(_code(value) if value != "" else "empty" for value in spec["enum"])
    if spec.get("type") == "array":
        return f"list of {_type(spec['items'])}" if "items" in spec else "list"
    if spec.get("type") == "object":
        values = spec.get("additionalProperties")
        return f"map to {_type(values)}" if isinstance(values, dict) and values else "map"
    return str(spec.get("type", "anything"))


def _default(spec: dict[str, Any]) -> str:
    if "default" not in spec:
        return "required"
    text = str(msgspec.json.encode(spec["default"]).decode())
    return _code(text) if len(text) < _FILE_FIELD else "see the schema"


# ---------------------------------------------------------------- definitions


def workloads() -> str:
    """Every workload that ships, with its parameters and the comments of its file."""
    lines = []
    for path in sorted(catalog.definitions_folder("workloads").glob("*.toml")):
        definition = catalog.workload(path.stem)
        lines += [f"## {definition.name}", "", f"{definition.title}.", ""]
        notes = _comments(path.read_text(encoding="utf-8"))
        lines += _table(
            ["parameter", "default", "meaning"],
            [(_code(key), _code(value), notes.get(key, "")) for key, value in definition.parameters.items()],
        )
    return "\n".join(lines)


def _comments(text: str) -> dict[str, str]:
    """Key of a TOML file -> the comment above it."""
    found: dict[str, str] = {}
    above: list[str] = []
    for line in text.splitlines():
        if line.startswith("#"):
            above.append(line.lstrip("# "))
        else:
            key = line.partition("=")[0].strip()
            if above and "=" in line:
                found[key] = " ".join(above)
            above = []
    return found


def cases() -> str:
    """Every case that ships."""
    found = catalog.all_cases()
    groups = sorted({group for case in found for group in case.groups})
    lines = ["## Groups", ""]
    lines += _table(
        ["group", "cases"],
        [(_code(group), ", ".join(case.name for case in found if group in case.groups)) for group in groups],
    )
    lines += ["`all` means all of them.", "", "## Cases", ""]
    lines += _table(
        ["case", "groups", "state", "defined by"],
        [
            (
                _code(case.name), ", ".join(case.groups), case.title,
                ", ".join(f"{name} {'on' if case.features[name] else 'off'}" for name in case.defining)
                + (f", gso_max_segs {case.gso_max_segs}" if case.gso_max_segs else ""),
            )
            for case in found
        ],
    )  # fmt: skip
    lines += ["## Short names", ""]
    lines += _table(
        ["short name", "features of the kernel"],
        [(_code(name), ", ".join(features)) for name, features in catalog.ALIASES.items()],
    )
    return "\n".join(lines)


def modules() -> str:
    """The modules of the default profile by layer."""
    profile = catalog.profile("linux")
    lines = []
    for floor, title in profile.floors.items():
        lines += [f"## {title[:1].upper()}{title[1:]}", ""]
        lines += _table(
            ["module", "what it is"],
            [(_code(leaf.name), leaf.title) for leaf in profile.leaves if leaf.floor == floor],
        )
    return "\n".join(lines)


def drivers() -> str:
    """Every driver file."""
    rows = []
    for name, driver in catalog.drivers().items():
        rows.append((_code(name), driver.title, ", ".join(driver.kernel_names), driver.source))
    return "\n".join(_table(["file", "device", "names in the kernel", "read in"], rows))


def profiles() -> str:
    """The page beside the profiles."""
    return (catalog.definitions_folder("profiles") / "README.md").read_text(encoding="utf-8")


PARTS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "run": run_options,
    "environment": environment_variables,
    "link": link_settings,
    "tables": tables,
    "exit-codes": exit_codes,
    "schema": schema,
    "workloads": workloads,
    "cases": cases,
    "modules": modules,
    "drivers": drivers,
    "profiles": profiles,
}
