"""One subject, one room: names are unique in the package, and the architecture page knows every room."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

import offloadbench

PACKAGE = Path(offloadbench.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
PAGE = (PACKAGE.parent / "docs" / "architecture.md").read_text()
ROOMS = sorted(
    path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*") if path.is_dir() and list(path.glob("*.py"))
)
# that every package may have
_OF_PYTHON = {"__init__", "__main__"}


def test_no_two_files_have_one_name() -> None:
    found = defaultdict(list)
    for path in FILES:
        if path.stem not in _OF_PYTHON:
            found[path.stem].append(path.relative_to(PACKAGE).as_posix())
    # a command's file has the name that is typed; what it calls has one of its own
    assert {stem: paths for stem, paths in found.items() if len(paths) > 1} == {}


def test_no_two_classes_have_one_name() -> None:
    found = defaultdict(list)
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(path.relative_to(PACKAGE).as_posix())
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}


@pytest.mark.parametrize("room", ROOMS)
def test_the_architecture_page_names_every_room(room: str) -> None:
    assert f"`{room}/`" in PAGE


def test_the_architecture_page_names_no_room_and_no_file_that_is_not_there() -> None:
    named = set(re.findall(r"`([a-z_0-9/]+/(?:[a-z_0-9]+\.py)?)`", PAGE))
    roots = (PACKAGE, PACKAGE.parent)
    assert [name for name in sorted(named) if not any((root / name).exists() for root in roots)] == []


@pytest.mark.parametrize("room", [room for room in ROOMS if room not in ("report/plots", "commands")])
def test_every_room_says_what_is_in_it(room: str) -> None:
    init = PACKAGE / room / "__init__.py"
    assert ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))), f"{room}/__init__.py has no docstring"


def test_a_setting_of_the_emulated_link_is_named_in_four_files() -> None:
    """A row, a field, and the two that carry it out: whatever else would name one could lose the next."""
    naming = [path.relative_to(PACKAGE).as_posix() for path in FILES if "jitter" in path.read_text(encoding="utf-8")]
    assert naming == [
        "base/settings.py", "bed/cable.py", "kernel/netdev/qdisc.py", "model/emulated_link.py",
    ]  # fmt: skip
