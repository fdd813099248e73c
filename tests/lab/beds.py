"""For beds that a test builds and closes by itself, without a journal."""

from __future__ import annotations

from offloadbench.changes.change import Change
from offloadbench.changes.made_namespace import MadeNamespace


class Unwritten:
    """A `ChangeLog` for namespaces only, which the bed removes when it is closed."""

    def add(self, change: Change) -> None:
        assert isinstance(change, MadeNamespace), change

    def make(self, change: Change) -> None:
        self.add(change)
        change.apply()

    def forget(self, change: Change) -> None:
        raise AssertionError(change)
