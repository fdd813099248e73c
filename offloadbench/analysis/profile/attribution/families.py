"""What no table knows by its own name or path: by what the tables know of names and functions like it.

Functions of a driver begin alike, and a module that lies nowhere in the kernel tree still has functions that modules
of the tree have too. Both are votes, which decide only where nearly all agree.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache

from offloadbench.analysis.profile.attribution.rules import OTHER, Rules
from offloadbench.analysis.profile.attribution.symbols import SymbolTable
from offloadbench.definitions import catalog
from offloadbench.definitions.module_names import ModuleNames
from offloadbench.definitions.name_tables import NameTable

# names that begin so, before they may speak for one more; and how many of them must agree
_FEWEST, _AGREEING_RATIO = 10, 0.95
# letters before the underscore: `i_`, `vm_` and the like are nobody's
_SHORTEST = 3
# functions of a module that the tables know, before they may speak for the others
_FEWEST_OF_MODULE, _KNOWN_RATIO, _MAJORITY_RATIO = 3, 0.2, 0.8
# of a family with thousands of names, every so many are asked
_ASKED = 400


class Families:
    """Votes of the names that the tables know.

    Args:
        modules: functions of loadable modules.
    """

    def __init__(self, symbols: SymbolTable, rules: Rules, names: NameTable, modules: ModuleNames) -> None:
        self._symbols = symbols
        self._rules = rules
        self._names = names
        self._modules = modules
        self._of_prefix: dict[str, tuple[str, str]] = {}
        self._of_module: dict[str, str] = {}

    def like(self, name: str) -> tuple[str, str]:
        """The leaf of the functions whose names begin like this one, and a file that most of them are from.

        Returns:
            ("", "") where there are too few, or they do not agree.
        """
        bare = name.lstrip("_")
        for end in _cuts(bare):
            prefix = name[: len(name) - len(bare)] + bare[:end]
            found = self._of_prefix.get(prefix)
            if found is None:
                found = self._of_prefix[prefix] = self._vote(prefix)
            if found[0]:
                return "" if found[0] == OTHER else found[0], found[1]
        file = next((files[0] for prefixes, files in _drivers() if name.startswith(prefixes)), "")
        return (self._rules.by_module("", file), file) if file else ("", "")

    def _vote(self, prefix: str) -> tuple[str, str]:
        """Leaf and commonest file of the names that begin so; "" for the leaf where too few agree."""
        linked = list(self._linked(prefix))
        rows = [*linked, *self._modules.beginning(prefix)]
        if len(rows) < _FEWEST:
            return "", ""
        votes: Counter[str] = Counter()
        files: Counter[tuple[str, str]] = Counter()
        for name, paths in rows[:: 1 + len(rows) // _ASKED]:
            leaves = {self._rules.by_source(name, path): path for path in paths}
            votes.update(leaves.keys())
            files.update(leaves.items())
        (leaf, count), *_ = votes.most_common(1)
        if count < _AGREEING_RATIO * votes.total():
            return "", ""
        return leaf, max((pair for pair in files if pair[0] == leaf), key=files.__getitem__)[1]

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._names.by_name)

    def _linked(self, prefix: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Names of the kernel's own that begin so, with their files."""
        for at in range(bisect.bisect_left(self._sorted, prefix), len(self._sorted)):
            name = self._sorted[at]
            if not name.startswith(prefix):
                return
            yield name, self._names.by_name[name]

    def module_leaf(self, module: str) -> str:
        """The leaf of a module that no table knows, by what is known of its driver, or by the functions that it shares.

        Returns:
            "" where it shares too few with modules of the tree, or these do not agree.
        """
        found = self._of_module.get(module)
        if found is None:
            file = next((driver.files[0] for driver in catalog.drivers().values() if module in driver.modules), "")
            named = self._rules.by_module("", file) if file else ""
            found = self._of_module[module] = named or self._module_vote(self._symbols.names_of(module))
        return found

    def _module_vote(self, names: Iterable[str]) -> str:
        votes: Counter[str] = Counter()
        total = 0
        for name in names:
            total += 1
            paths = self._symbols.module_paths(name)
            leaves = {self._rules.by_module("", path) or OTHER for path in paths}
            if len(leaves) == 1:
                votes.update(leaves)
        if votes.total() < max(_FEWEST_OF_MODULE, _KNOWN_RATIO * total):
            return ""
        (leaf, count), *_ = votes.most_common(1)
        return leaf if leaf != OTHER and count >= _MAJORITY_RATIO * votes.total() else ""


@lru_cache(maxsize=1)
def _drivers() -> list[tuple[tuple[str, ...], list[str]]]:
    """Of every driver that something is known of: beginnings of its functions' names, and its files."""
    return [(tuple(driver.prefixes), driver.files) for driver in catalog.drivers().values() if driver.prefixes]


def _cuts(name: str) -> Iterator[int]:
    """Where a name may be cut behind an underscore, the longest beginning first."""
    for end in range(len(name) - 1, _SHORTEST, -1):
        if name[end - 1] == "_":
            yield end
