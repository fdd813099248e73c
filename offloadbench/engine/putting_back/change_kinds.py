"""Every kind of change, found by the files of the rooms named `changes`; records of changes, written and read."""

from __future__ import annotations

import functools
import importlib
import pkgutil

import msgspec

import offloadbench.bed.changes
import offloadbench.changes
import offloadbench.traffic.changes
from offloadbench.base.shown_text import shown
from offloadbench.changes.change import Change

_ROOMS = (offloadbench.changes, offloadbench.bed.changes, offloadbench.traffic.changes)


class RecordError(Exception):
    """A record says nothing that can be done; the message says why, in one line."""


class _OfKind(msgspec.Struct):
    kind: str


@functools.cache
def kinds() -> dict[str, type[Change]]:
    """Name in the journal -> class."""
    found: dict[str, type[Change]] = {}
    for room in _ROOMS:
        for entry in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
            for each in vars(importlib.import_module(entry.name)).values():
                if _is_kind(each, entry.name):
                    found[each.__struct_config__.tag] = each
    return found


def _is_kind(each: object, module: str) -> bool:
    return (
        isinstance(each, type)
        and issubclass(each, Change)
        and each.__module__ == module
        and module != Change.__module__
    )


def record(change: Change) -> bytes:
    """One line of JSON, without its end.

    Raises:
        RecordError: what it holds could not be read back.
    """
    line = msgspec.json.encode(change)
    if from_record(line) != change:
        raise RecordError(f"a change of kind {kind_of(change)} is not read back as it is written")
    return line


def from_record(line: bytes) -> Change:
    """The change of a record.

    Raises:
        RecordError: its kind is not known, or it holds what that kind cannot.
    """
    try:
        kind = msgspec.json.decode(line, type=_OfKind).kind
        if kind not in kinds():
            raise RecordError(f"unknown kind of change {kind[:40]!r}")
        return msgspec.json.decode(line, type=kinds()[kind])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RecordError(f"no record of a change: {shown(str(error))}") from error


def kind_of(change: Change) -> str:
    """The name in the journal."""
    return str(change.__struct_config__.tag)
