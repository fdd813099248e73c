"""What every module costs in every case."""

from __future__ import annotations

import math
from collections.abc import Iterator

from offloadbench.analysis.tables.results import Results, instructions_per_cycle
from offloadbench.base.sentence import say
from offloadbench.base.words import figure, module_label, percent, unit_per_byte
from offloadbench.report.cells import Cell, Head, Table, number
from offloadbench.report.material import Material
from offloadbench.report.section import Block, Paragraph, Section


def modules(results: Results, floors: dict[str, str]) -> list[Table]:
    """Per nic and workload: cost and share of each module in each case, and instructions per cycle where counted."""
    tables = []
    table = results.busy_modules
    per_cycle = instructions_per_cycle(results.modules)
    speed = dict(zip(map(tuple, per_cycle.index), per_cycle.tolist(), strict=True))
    for (nic, workload), found in table.groupby(["nic", "workload"], sort=False):
        cases = [case for case in results.cases if case in set(found["case"])]
        cost = found.pivot_table(index=["module", "floor"], columns="case", values="value_per_byte", aggfunc="sum")
        share = found.pivot_table(index=["module", "floor"], columns="case", values="share_ratio", aggfunc="sum")
        order = cost.sum(axis=1).sort_values(ascending=False).index
        costs, shares = cost.to_dict("index"), share.to_dict("index")
        counted_cases = {place[:3] for place in speed}
        here = [(nic, workload, case) in counted_cases for case in cases]
        rows = []
        for module, floor in order:
            row = [Cell(module_label(str(module)))]
            for case, counted in zip(cases, here, strict=True):
                value, ratio = costs[module, floor][case], shares[module, floor][case]
                row += [number(value, figure(value)), number(ratio, percent(ratio))]
                if counted:
                    rate = speed.get((nic, workload, case, module), math.nan)
                    row.append(number(rate, figure(rate)))
            rows.append([*row, Cell(_first_words(floors.get(str(floor), str(floor))))])
        unit = unit_per_byte(str(found["quantity"].iloc[0]))
        heads = [Head("Module")]
        for case, counted in zip(cases, here, strict=True):
            heads += [Head(case, True), Head("share", True), *([Head("IPC", True)] if counted else [])]
        heads.append(Head("Floor"))
        caption = f"{nic}, {workload}: {unit}, and share of all busy samples"
        if any(here):
            caption += "; IPC: instructions per cycle"
        tables.append(Table(caption, heads, rows))
    return tables


def _first_words(text: str) -> str:
    return text.partition(" (")[0]


def _write(material: Material) -> Iterator[Block]:
    profile = material.profile
    found = modules(material.results, profile.floors)
    if found:
        yield Paragraph(say("Attributed by the profile `{name}`: {title}.", name=profile.name, title=profile.title))
    yield from found


SECTION = Section("modules", "Modules", 130, _write, rows=("modules",))
