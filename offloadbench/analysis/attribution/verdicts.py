"""The leaf of every kernel symbol, and the method that decided."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from offloadbench.analysis.attribution.rules import GUEST, IDLE, OTHER, SHADOW, USER, WAKE, Rules
from offloadbench.analysis.attribution.symbols import NEIGHBOURS, NOT_FOUND, Symbol, SymbolTable
from offloadbench.names import NameTable

# folders at the top of the kernel tree that hold modules
_IN_TREE = re.compile(r"/((?:drivers|net|fs|block|crypto|virt|arch/\w+)/.*)$")
MODULE, FUNCTION, HELPER, PREFIX = "module", "function", "helper", "prefix"
METHODS = (USER, GUEST, IDLE, WAKE, MODULE, SHADOW, "debuginfo", "table", FUNCTION, NEIGHBOURS, HELPER, PREFIX, OTHER)
"""In the order in which they are tried; `irq_shadow` is tried for clock samples only, `wakeup_latency`
where there is an idle clock too."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where a symbol's samples go.

    Attributes:
        method: one of METHODS.
        module: the loadable module, "" for the kernel itself.
    """

    leaf: str
    method: str
    module: str = ""


class Verdicts:
    """Judges the symbols of one kernel by one profile.

    Args:
        ko_paths: loadable module -> path of its .ko on the machine that made the run.
    """

    def __init__(self, symbols: SymbolTable, rules: Rules, names: NameTable, ko_paths: Mapping[str, str]) -> None:
        self.symbols = symbols
        self.rules = rules
        self._ko_paths = dict(names.modules) | {
            name: inside
            for name, path in ko_paths.items()
            if (inside := _inside_tree(path)) or name not in names.modules
        }
        self._known: dict[int, Verdict] = {}

    def of(self, index: int) -> Verdict:
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

    def judge(self, symbol: Symbol) -> Verdict:
        """The verdict on a symbol that need not be in the table."""
        rules = self.rules
        if rules.idle_names(symbol.name):
            return Verdict(IDLE, IDLE, symbol.module)
        if symbol.module:
            leaf = rules.by_module(symbol.module, self._ko_paths.get(symbol.module, ""))
            if leaf:
                return Verdict(leaf, MODULE, symbol.module)
        leaves = list(dict.fromkeys(rules.by_source(symbol.name, path) for path in symbol.paths))
        if leaves and symbol.method != NEIGHBOURS:
            path = rules.likeliest(symbol.name, symbol.paths)
            method = HELPER if rules.is_helper(symbol.name, path) else symbol.method
            return Verdict(rules.by_source(symbol.name, path), method)
        by_function = rules.by_function(symbol.name)
        if len(leaves) == 1:
            return Verdict(leaves[0], FUNCTION if leaves[0] == by_function else NEIGHBOURS)
        if by_function:
            return Verdict(by_function, FUNCTION, symbol.module)
        leaf = rules.by_prefix(symbol.name)
        return Verdict(leaf, PREFIX, symbol.module) if leaf else Verdict(OTHER, OTHER, symbol.module)


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


__all__ = ["METHODS", "NOT_FOUND", "Verdict", "Verdicts"]
