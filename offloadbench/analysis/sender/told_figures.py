"""The figures of a sentence, kept under their names while it is written, so that a table can give them back."""

from __future__ import annotations

from collections.abc import Callable


class Figures(dict[str, float]):
    """Name -> value of what a sentence tells."""

    def tell(self, name: str, value: float, form: Callable[[float], str]) -> str:
        """The value in words, remembered."""
        self[name] = float(value)
        return form(value)


def whole(value: float) -> str:
    """A count."""
    return f"{value:.0f}"
