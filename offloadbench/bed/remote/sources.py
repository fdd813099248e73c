"""What is sent to a load host: the agent, and the sources of a role module with all that it imports from here."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PACKAGE = __name__.partition(".")[0]


def text_of(module: str) -> str | None:
    """Source of a module of this package; None for a package or for anything else."""
    path = _ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py")
    return path.read_text() if module.startswith(f"{_PACKAGE}.") and path.is_file() else None


def closure(module: str) -> dict[str, str]:
    """A module's source and those of all modules of this package that it imports: name -> text.

    What a package's own `__init__` defines is not among them: at a load host packages are empty.
    """
    found: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        text = text_of(name)
        if text is None or name in found:
            continue
        found[name] = text
        waiting += imported(text)
    return found


def imported(text: str) -> list[str]:
    """Names of modules that a source may import."""
    names = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def agent(call: str) -> bytes:
    """A program that is the agent: it ends with this call into the module `agent`."""
    parts = closure(f"{__package__}.agent")
    return f"{importer()}\n\nimported_from({parts!r})\nfrom {__package__} import agent\n{call}\n".encode()


def importer() -> str:
    """The program that a role's process begins with."""
    text = text_of(f"{__package__}.importer")
    assert text is not None
    return text


def sha256(program: bytes) -> str:
    return hashlib.sha256(program).hexdigest()
