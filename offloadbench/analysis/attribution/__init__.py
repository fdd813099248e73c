"""From sampled addresses to modules: every sample in exactly one leaf, with the method that put it there."""

from offloadbench.analysis.attribution.attribute import attribute, verdicts_for
from offloadbench.analysis.attribution.rules import GUEST, IDLE, OTHER, SHADOW, USER, Rules
from offloadbench.analysis.attribution.symbols import Symbol, SymbolTable
from offloadbench.analysis.attribution.verdicts import METHODS, Verdict, Verdicts

__all__ = [
    "GUEST", "IDLE", "METHODS", "OTHER", "SHADOW", "USER", "Rules", "Symbol", "SymbolTable", "Verdict", "Verdicts",
    "attribute", "verdicts_for",
]  # fmt: skip
