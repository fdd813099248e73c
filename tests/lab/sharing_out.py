"""How pytest-xdist shares the lab tests out: one at a time, but those that share a bed of their module go together."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

_ROOT = Path(__file__).parents[2]


def scope(nodeid: str) -> str:
    """What goes to one process: the module of a test, where it has a fixture for all of its tests; else the test."""
    module = nodeid.partition("::")[0]
    return module if _shares_a_bed(module) else nodeid


@cache
def _shares_a_bed(module: str) -> bool:
    return 'scope="module"' in (_ROOT / module).read_text()


class BedScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """The scope with the most tests begins."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)
