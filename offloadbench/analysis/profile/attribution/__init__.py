"""From sampled addresses to modules: every sample in exactly one leaf, with the method that put it there."""

from offloadbench.analysis.profile.attribution.attribute import attribute, verdicts_for
from offloadbench.analysis.profile.attribution.contexts import foreign_rows, names_server, serves_network
from offloadbench.analysis.profile.attribution.rules import AT_REST, GUEST, IDLE, OTHER, SHADOW, USER, WAKE, Rules
from offloadbench.analysis.profile.attribution.symbols import Symbol, SymbolTable
from offloadbench.analysis.profile.attribution.verdicts import METHODS, SymbolVerdict, Verdicts

__all__ = [
    "AT_REST", "GUEST", "IDLE", "METHODS", "OTHER", "SHADOW", "USER", "WAKE", "Rules", "Symbol", "SymbolTable",
    "SymbolVerdict", "Verdicts", "attribute", "foreign_rows", "names_server", "serves_network", "verdicts_for",
]  # fmt: skip
