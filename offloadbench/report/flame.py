"""The data of the flame graph in a report: a tree of functions with one column of values per side."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from offloadbench.analysis.profile.call_tree import PRUNED_RATIO, Flames, Side
from offloadbench.analysis.tables.results import Results
from offloadbench.base.words import module_label, share, unit_per_byte
from offloadbench.report.plots import style
from offloadbench.report.svg import printable

_NAME_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Flame:
    """What the template needs.

    Attributes:
        data: JSON that is safe between the tags of a script element.
        labels: of the sides, in the order of their columns.
        left, right: the sides shown at first.
        pruned: a sentence about what was left out.
    """

    data: Markup
    labels: list[str]
    left: int
    right: int
    pruned: str


def flame(results: Results) -> Flame | None:
    """The flame graph of all sides; None where no call chains were recorded."""
    flames = results.flames
    if flames is None:
        return None
    labels = _labels(flames.sides, results)
    moved = ", ".join(f"{share(side.moved_ratio)} of {label}" for label, side in zip(labels, flames.sides, strict=True))
    return Flame(
        data=Markup(escaped(_tree(flames, labels))),  # noqa: S704 no character that could end the element is left
        labels=labels,
        left=0,
        right=max(index for index, side in enumerate(flames.sides) if side.run == flames.sides[0].run)
        if len({side.case for side in flames.sides}) > 1
        else len(labels) - 1,
        pruned=f"Frames below {PRUNED_RATIO * 100:g} % of every case are counted as their caller (in all {moved}).",
    )


def _labels(sides: list[Side], results: Results) -> list[str]:
    """The case of each side, with the run, NIC and workload where these differ."""
    names = [(results.benches[side.run], side.workload, side.run, side.case) for side in sides]
    nics = {nic for nic, *_ in names}
    workloads = {workload for _, workload, *_ in names}
    several_runs = len({run for _, _, run, _ in names}) > len(nics)
    return [
        printable(
            ", ".join(
                part
                for part, told in (
                    (nic, len(nics) > 1),
                    (f"run {run}", several_runs),
                    (workload, len(workloads) > 1),
                    (case, True),
                )
                if told
            )
        )
        for nic, workload, run, case in names
    ]


def _tree(flames: Flames, labels: list[str]) -> dict[str, object]:
    """Frames as columns; names and modules are numbers of list entries."""
    names = list(dict.fromkeys(flames.names))
    modules = list(dict.fromkeys(flames.modules))
    name_of, module_of = ({text: at for at, text in enumerate(texts)} for texts in (names, modules))
    return {
        "unit": unit_per_byte(flames.quantity),
        "sides": [
            {"label": label, "sample": _rounded(side.sample_value)}
            for label, side in zip(labels, flames.sides, strict=True)
        ],
        "names": [printable(name)[:_NAME_LENGTH] for name in names],
        "modules": [
            {"label": printable(module_label(name)), "fill": colour, "ink": style.on_colour(colour)} if name else None
            for name, colour in ((name, style.module_colour(name)) for name in modules)
        ],
        "parent": flames.parents,
        "name": [name_of[name] for name in flames.names],
        "module": [module_of[name] for name in flames.modules],
        "own": [[_rounded(value) for value in column] for column in np.asarray(flames.values).T.tolist()],
    }


def _rounded(value: float) -> float | int:
    """Five significant figures: more than any number of samples can tell."""
    return float(f"{value:.5g}") if value else 0


def escaped(value: object) -> str:
    """JSON in which no character can end or open an element, whatever the names hold."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
