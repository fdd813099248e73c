"""Parameters of a workload's definition, checked one by one."""

from __future__ import annotations

from typing import Any

from offloadbench.base.errors import UsageError
from offloadbench.base.units import parse_size_bytes


def integer(parameters: dict[str, Any], key: str, low: int, high: int) -> int:
    """A whole number within bounds."""
    value = parameters[key]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UsageError(f"{key} = {value!r}: not a whole number from {low} to {high}", f"--set {key}={low}")
    return value


def size_bytes(parameters: dict[str, Any], key: str) -> int:
    """A size, in bytes or with its unit."""
    return parse_size_bytes(str(parameters[key]))
