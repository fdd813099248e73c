"""What a file that is to be written is named after: a name must not promise another format than it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from offloadbench.base.errors import UsageError

# files that are JSON, packed as they end (offloadbench.files.documents)
DOCUMENTS = (".json", ".gz", ".xz")


def check(path: Path | None, endings: Sequence[str], option: str = "--output") -> None:
    """A file without an ending promises nothing, so it may be named like that.

    Raises:
        UsageError: it ends in none of these.
    """
    if path is not None and path.suffix and path.suffix.lower() not in endings:
        raise UsageError(
            f"{option} {path}: nothing that ends in {path.suffix} is written", f"let it end in {_listed(endings)}"
        )


def format_of(path: Path | None, asked: str | None, endings: Mapping[str, Sequence[str]], default: str) -> str:
    """The format that is asked for, or that the name promises, or the default.

    Args:
        endings: format -> endings of files that hold it.

    Raises:
        UsageError: the name promises another format, or one that is not written.
    """
    suffix = path.suffix.lower() if path is not None else ""
    if asked:
        known = endings[asked]
        if suffix and suffix not in known:
            raise UsageError(
                f"--output {path}: ends in {suffix}, and --format {asked} is not that",
                f"let it end in {_listed(known)}, or leave --format out",
            )
        return asked
    if not suffix:
        return default
    found = next((name for name, known in endings.items() if suffix in known), None)
    if found is None:
        check(path, [ending for known in endings.values() for ending in known])
    return found or default


def _listed(endings: Sequence[str]) -> str:
    *most, last = dict.fromkeys(endings)
    return f"{', '.join(most)} or {last}" if most else last
