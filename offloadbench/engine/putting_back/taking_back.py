"""Changes are taken back the last first, each tried whatever happens to the others."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from offloadbench.base.errors import RestoreError
from offloadbench.changes.change import Change, Tell
from offloadbench.engine.putting_back.change_kinds import kind_of


@dataclass(slots=True)
class Leftovers:
    """What is not as it was.

    Attributes:
        changes: that could not be taken back, in the order in which they were made.
        reasons: a part of a sentence for each.
        commands: what a person types, or does, for each.
    """

    changes: list[Change] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    def add(self, reason: str, command: str) -> None:
        self.reasons.append(reason)
        self.commands.append(command)

    def extend(self, other: Leftovers) -> None:
        self.changes += other.changes
        self.reasons += other.reasons
        self.commands += other.commands

    def check(self) -> None:
        """Raise RestoreError unless there is nothing left."""
        if self.reasons:
            raise RestoreError(
                f"could not put back everything: {'; '.join(self.reasons)}",
                f"still needed: {' ; '.join(self.commands)}",
            )


def take_back(changes: Sequence[Change], tell: Tell) -> Leftovers:
    """Undo changes; returns what could not be undone, with the commands still needed."""
    left = Leftovers()
    for change in reversed(changes):
        present = change
        try:
            present = change.at_present(tell)
            present.undo(tell)
        # whatever went wrong with one, the others must be tried
        except Exception as error:
            left.changes.insert(0, change)
            left.add(f"{kind_of(change)}: {error}", present.command)
    return left


# ---------------------------------------------------------------- what taking back overwrites


@dataclass(slots=True)
class _Setting:
    """Attributes: ours: all that this run found or left there."""

    was: Any
    now: Any
    ours: list[Any] = field(default_factory=list)


def overwritten(changes: Sequence[Change]) -> list[str]:
    """Sentences about settings that are neither as these changes found them nor as they have set them."""
    known: dict[tuple[str, str | None, str], _Setting] = {}
    for change in changes:
        # what is gone, or cannot be read, has nothing that could be seen to be overwritten
        with contextlib.suppress(Exception):
            for seen in change.settings() if change.reachable() else ():
                setting = known.setdefault((seen.ifname, seen.namespace, seen.name), _Setting(seen.was, seen.now))
                setting.ours += [seen.was, seen.asked]
    return [
        f"{ifname + ': ' if ifname else ''}{name} is {_word(setting.now)}, which this run did not set: it goes back to "
        f"{_word(setting.was)}, as it was before"
        for (ifname, _, name), setting in known.items()
        if setting.now not in setting.ours
    ]


def _word(value: Any) -> str:
    return "on" if value is True else "off" if value is False else "absent" if value is None else str(value)
