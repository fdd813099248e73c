"""How often a name table finds the right leaf in a kernel whose truth is known from its debug information."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from offloadbench.analysis.profile.attribution.rules import Rules
from offloadbench.analysis.profile.attribution.symbols import SymbolTable
from offloadbench.analysis.profile.attribution.verdicts import Verdicts
from offloadbench.definitions.module_names import NONE, ModuleNames
from offloadbench.definitions.name_tables import NameTable, base_name


@dataclass(frozen=True, slots=True)
class KnownFunction:
    """A function of the kernel, with its true source file ("" where the debug information names none)."""

    name: str
    address: int
    path: str


def check(
    functions: Sequence[KnownFunction],
    names: NameTable,
    rules: Rules,
    weights: Mapping[str, float],
    modules: ModuleNames = NONE,
) -> pd.DataFrame:
    """Judge every function by its name and address, and compare with what its source file says.

    Args:
        weights: name without what compilers append -> weight of real samples; names that several functions bear share
            it between them.
        modules: functions of loadable modules, asked about what `names` does not know.

    Returns:
        One row per function whose source is known, in address order. Columns: name, path, truth (leaf), leaf, method,
        right, weight.
    """
    ordered = sorted(functions, key=lambda known: known.address)
    symbols = SymbolTable(
        "".join(f"{known.address:016x} t {known.name}\n" for known in ordered), names, modules=modules
    )
    verdicts = Verdicts(symbols, rules, names, {})
    rows = []
    for index, known in enumerate(ordered):
        if known.path:
            name = base_name(known.name)
            verdict, truth = verdicts.of(index), rules.by_source(name, known.path)
            rows.append((name, known.path, truth, verdict.leaf, verdict.method, verdict.leaf == truth))
    table = pd.DataFrame(rows, columns=["name", "path", "truth", "leaf", "method", "right"])
    bearers = table.groupby("name")["name"].transform("size")
    return table.assign(weight=table["name"].map(weights).fillna(0.0) / bearers)
