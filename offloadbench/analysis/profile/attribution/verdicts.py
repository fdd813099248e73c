"""The leaf of every kernel symbol, and the method that decided."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from offloadbench.analysis.profile.attribution.bound_driver import UNBOUND, BoundDriver
from offloadbench.analysis.profile.attribution.driver_parts import Parts
from offloadbench.analysis.profile.attribution.families import Families
from offloadbench.analysis.profile.attribution.rules import DRIVER, GUEST, IDLE, OTHER, SHADOW, USER, WAKE, Rules
from offloadbench.analysis.profile.attribution.symbols import NEIGHBOURS, NOT_FOUND, TABLE, Symbol, SymbolTable
from offloadbench.definitions.name_tables import NameTable

# folders at the top of the kernel tree that hold modules
_IN_TREE = re.compile(r"/((?:drivers|net|fs|block|crypto|virt|arch/\w+)/.*)$")
MODULE, FUNCTION, HELPER, PREFIX = "module", "function", "helper", "prefix"
METHODS = (USER, GUEST, IDLE, WAKE, MODULE, SHADOW, "debuginfo", "table", FUNCTION, NEIGHBOURS, HELPER, PREFIX, OTHER)
"""In the order in which they are tried; `irq_shadow` is tried for clock samples only, `wakeup_latency`
where there is an idle clock too."""


@dataclass(frozen=True, slots=True)
class SymbolVerdict:
    """Where a symbol's samples go.

    Attributes:
        method: one of METHODS.
        module: the loadable module, "" for the kernel itself.
        share: what it is shown under where the profile splits its leaf.
    """

    leaf: str
    method: str
    module: str = ""
    share: str = ""


class Verdicts:
    """Judges the symbols of one kernel by one profile.

    Args:
        ko_paths: loadable module -> path of its .ko on the machine that made the run.
        bound: what drives the NIC under test.
    """

    def __init__(
        self,
        symbols: SymbolTable,
        rules: Rules,
        names: NameTable,
        ko_paths: Mapping[str, str],
        bound: BoundDriver = UNBOUND,
    ) -> None:
        self.symbols = symbols
        self.rules = rules
        self._ko_paths = dict(names.modules) | {
            name: inside
            for name, path in ko_paths.items()
            if (inside := _inside_tree(path)) or name not in names.modules
        }
        self._bound = bound
        # a profile of somebody's own may have no such leaf
        self._has_driver = DRIVER in rules.floors
        self._parts = Parts(rules.profile)
        self._families = Families(symbols, rules, names, symbols.modules)
        self._groups = {leaf: group for group, leaves in rules.profile.groups.items() for leaf in leaves}
        self._known: dict[int, SymbolVerdict] = {}

    def shown(self, verdict: SymbolVerdict) -> str:
        """What a verdict is shown under: its share of a leaf that is split, or the profile's group of its leaf."""
        return verdict.share or self._groups.get(verdict.leaf, verdict.leaf)

    def of(self, index: int) -> SymbolVerdict:
        """The verdict on a symbol, whatever kind of event sampled it."""
        verdict = self._known.get(index)
        if verdict is None:
            verdict = self._known[index] = self.judge(self.symbols.symbol(index))
        return verdict

    def shadowed(self, index: int) -> bool:
        """Whether samples taken by an interrupt on this symbol are work of others, done while interrupts were off."""
        if index < 0 or self.of(index).method in (IDLE, MODULE):
            return False
        return self.symbols.symbol(index).name in self.rules.shadow

    def ends_interrupt(self, index: int) -> bool:
        """Whether clock samples on this symbol fell due in the handler of the interrupt that it ends."""
        return index >= 0 and self.symbols.symbol(index).name in self.rules.softirq_entry

    def judge(self, symbol: Symbol) -> SymbolVerdict:
        """The verdict on a symbol that need not be in the table."""
        verdict, module, paths = self._place(symbol)
        if not self._parts.needed or verdict.method == IDLE:
            return verdict
        leaf = self._parts.leaf(symbol.name, module, paths) or verdict.leaf
        return replace(verdict, leaf=leaf, share=self._parts.share(leaf, module, paths[:1]))

    def _of_module(self, module: str, ko_path: str) -> str:
        """The leaf of a loadable module; "" where nothing knows it."""
        named = self.rules.by_module(module, "")
        if named:
            return named
        if module in self._bound.modules and self._has_driver:
            return DRIVER
        return self.rules.by_module(module, ko_path) if ko_path else self._families.module_leaf(module)

    def _unmistakable(self, name: str) -> tuple[str, ...]:
        """The .ko files that have a function of this name, where all that begins like it is of their leaf too.

        Then it is theirs wherever it lies: snapshots that keep but the symbols that were sampled have no order.
        """
        paths = self.symbols.module_paths(name)
        path = self.rules.likeliest(name, paths)
        agrees = bool(path) and self._families.like(name)[0] == self.rules.by_source(name, path)
        return paths if agrees else ()

    def _place(self, symbol: Symbol) -> tuple[SymbolVerdict, str, tuple[str, ...]]:
        """The verdict but for parts and shares; the module and the files that it may be from, the likeliest first."""
        rules = self.rules
        if rules.idle_names(symbol.name):
            return SymbolVerdict(IDLE, IDLE, symbol.module), "", ()
        if symbol.module:
            path = self._ko_paths.get(symbol.module) or self.symbols.modules.ko_path(symbol.module)
            leaf = self._of_module(symbol.module, path)
            if leaf:
                # one from nowhere is taken apart as the modules of the tree that have the same function
                paths = (path,) if path else self.symbols.module_paths(symbol.name)
                return SymbolVerdict(leaf, MODULE, symbol.module), symbol.module, paths
        known = symbol.paths if symbol.method != NEIGHBOURS else self._unmistakable(symbol.name)
        method = TABLE if symbol.method == NEIGHBOURS else symbol.method
        likeliest = rules.likeliest(symbol.name, known)
        family = None if symbol.module else self._bound.built_in(symbol.name, [likeliest] if likeliest else known)
        if family and self._has_driver:
            return SymbolVerdict(DRIVER, method if known else PREFIX), next(iter(family.modules), ""), known
        if likeliest:
            method = HELPER if rules.is_helper(symbol.name, likeliest) else method
            return SymbolVerdict(rules.by_source(symbol.name, likeliest), method), "", (likeliest, *known)
        by_function = rules.by_function(symbol.name)
        leaves = {rules.by_source(symbol.name, path) for path in symbol.paths} if not known else set()
        if len(leaves) == 1:
            (leaf,) = leaves
            return SymbolVerdict(leaf, FUNCTION if leaf == by_function else NEIGHBOURS), "", symbol.paths
        if by_function:
            return SymbolVerdict(by_function, FUNCTION, symbol.module), symbol.module, ()
        leaf, path = self._families.like(symbol.name)
        leaf = leaf or rules.by_prefix(symbol.name)
        verdict = SymbolVerdict(leaf, PREFIX, symbol.module) if leaf else SymbolVerdict(OTHER, OTHER, symbol.module)
        return verdict, symbol.module, (path,)


def _inside_tree(ko_path: str) -> str:
    """The path of a .ko in the kernel tree: `/lib/modules/6.1.0/kernel/drivers/net/tun.ko.xz` -> `drivers/net/tun.ko`.

    A module from elsewhere (updates/dkms, extra, weak-updates) may have its path in a tree of its own, as OFED's; ""
    for one that lies in none.
    """
    stem, dot, _ = ko_path.partition(".ko")
    if not dot:
        return ""
    if "/kernel/" in stem:
        return f"{stem.rpartition('/kernel/')[2]}.ko"
    found = _IN_TREE.search(stem)
    return f"{found[1]}.ko" if found else ""


__all__ = ["METHODS", "NOT_FOUND", "SymbolVerdict", "Verdicts"]
