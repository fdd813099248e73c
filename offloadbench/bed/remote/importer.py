"""Import modules from sources held in memory: what a role's process runs first where offloadbench is not installed.

Standard library of Python 3.7. It is sent over as text (see `offloadbench.bed.remote.sources`), never imported here.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import runpy
import sys
from typing import Any


class Importer(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finder and loader of modules by their sources; a package above one of them is empty."""

    def __init__(self, sources: dict[str, str]) -> None:
        self._sources = sources

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        del path, target
        if name not in self._sources and not self.is_package(name):
            return None
        return importlib.util.spec_from_loader(name, self, is_package=self.is_package(name))

    def is_package(self, name: str) -> bool:
        return any(known.startswith(name + ".") for known in self._sources)

    def get_source(self, name: str) -> str:
        return self._sources.get(name, "")


def imported_from(sources: dict[str, str]) -> None:
    """From now on import these modules from their sources."""
    sys.meta_path.insert(0, Importer(sources))


def play(module: str, sources: dict[str, str]) -> None:
    """Run a module as this process's main one."""
    imported_from(sources)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
