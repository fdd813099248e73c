"""What all data have in common."""

from __future__ import annotations

import msgspec


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """Immutable; fields by name only."""


class Strict(Frozen, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A definition written by hand: a misspelt key is an error, not a silent default."""
