"""The formats of `compare`, by name, and the endings of files that hold them."""

from __future__ import annotations

from collections.abc import Callable

from offloadbench.report import compare_ci, compare_text
from offloadbench.report.compare_text import Sheet

FORMATS: dict[str, Callable[[Sheet], str]] = {
    "table": compare_text.table,
    "markdown": compare_text.markdown,
    "json": compare_text.json,
    "csv": compare_text.comma_separated,
    "junit": compare_ci.junit,
    "github": compare_ci.github,
}
