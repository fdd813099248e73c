"""How sure the modules are: by which methods the samples found them, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pandas as pd

from offloadbench.analysis.profile import plain_count
from offloadbench.analysis.profile.attribution import OTHER, SHADOW
from offloadbench.analysis.profile.module_tables import CALLER
from offloadbench.analysis.tables.results import CaseCells, case_cells, case_means
from offloadbench.base.sentence import CONSTANT, Quantity, Sentence, Source, join, say
from offloadbench.base.words import SKID, percent
from offloadbench.model import Run

KNOWN, INFERRED = "known", "inferred"
# method -> its class, and the words for it
_METHODS = {
    "debuginfo": (KNOWN, "by source file"),
    "table": (KNOWN, "by source file"),
    "module": (KNOWN, "by kernel module"),
    "user": (KNOWN, "in user space"),
    "guest": (KNOWN, "in virtual machines"),
    CALLER: (INFERRED, "by call chain"),
    "function": (INFERRED, "by function name"),
    "helper": (INFERRED, "by usual caller"),
    "neighbours": (INFERRED, "by neighbours"),
    "prefix": (INFERRED, "by prefix"),
    OTHER: (OTHER, "by no rule"),
    SHADOW: (SHADOW, f"cannot be attributed ({SKID})"),
}
CLASSES = {
    KNOWN: "known: source file, kernel module or user space",
    INFERRED: "inferred: names, neighbours or callers",
    OTHER: "no rule knows it",
    SHADOW: f"cannot be attributed ({SKID})",
}


def by_class(methods: pd.DataFrame) -> pd.DataFrame:
    """Shares of busy weight by class of method.

    Args:
        methods: the table of `Results`.

    Returns:
        Columns: nic, workload, case, class (one of CLASSES), share_ratio; means over the trials of a case.
    """
    means = _means(methods)
    means["class"] = [_METHODS[method][0] for method in means["method"]]
    return means.groupby(["nic", "workload", "case", "class"], sort=False)["share_ratio"].sum().reset_index()


def sentences(methods: pd.DataFrame) -> dict[tuple[str, str, str], Sentence]:
    """(nic, workload, case) -> how its samples found their modules."""
    cells, found = case_cells(methods), {}
    for (nic, workload, case), rows in _means(methods).groupby(["nic", "workload", "case"], sort=False):
        place = (str(nic), str(workload), str(case))
        shares = dict(zip(rows["method"], rows["share_ratio"], strict=True))
        found[place] = sentence(shares, partial(shares_of, cells[place]))
    return found


def _means(methods: pd.DataFrame) -> pd.DataFrame:
    return case_means(methods[methods["share_ratio"].notna()], ["method"], ["share_ratio"])


def shares_of(cells: CaseCells, methods: Sequence[str]) -> Source:
    """The cells of these methods' shares, the mean over the trials of a case."""
    return cells.mean("methods", "share_ratio", {"method": tuple(methods)})


def sentence(shares: Mapping[str, float], source: Callable[[Sequence[str]], Source] | None = None) -> Sentence:
    """One sentence from method -> share of busy weight.

    All shares are of the whole busy weight, what cannot be attributed included; they sum to one.

    Args:
        source: of the sum of some methods' shares.
    """

    def amount_of(*methods: str) -> Quantity:
        weight = sum(shares.get(method, 0.0) for method in methods)
        return Quantity(weight, _tenths, source(methods) if source else None)

    lost, unknown = amount_of(SHADOW), amount_of(OTHER)
    methods: dict[str, list[str]] = {}
    for method, (_, phrase) in _METHODS.items():
        if method not in (OTHER, SHADOW):
            methods.setdefault(phrase, []).append(method)
    found = [
        say("{share} {phrase}", share=weight, phrase=phrase)
        for phrase, names in methods.items()
        if (weight := amount_of(*names)).value > 0
    ]
    if not found:
        return say("nothing could be attributed.")
    return say(
        "{found}; {unknown} by no rule{skid}. Shares are of all busy time.",
        found=join(", ", found),
        unknown=unknown if unknown.value else "nothing",
        skid=say("; {lost} {phrase}", lost=lost, phrase=_METHODS[SHADOW][1]) if lost.value else "",
    )


def _tenths(ratio: float) -> str:
    """In tenths of a percent: what is not known is small, and the point of the sentence."""
    return f"{ratio * 100:.1f} %" if ratio >= 0.0005 else "under 0.1 %"


def _farthest(gaps: Sequence[float]) -> float:
    return max(abs(gap) for gap in gaps)


def counted(runs: Sequence[Run]) -> Sentence:
    """How far the samples and a plain count of the same windows are apart; "" where nothing was counted."""
    found: dict[str, list[plain_count.CountGap]] = {}
    for run in runs:
        for trial in run.trials:
            if trial.profile and trial.outcome == "ok":
                for gap in plain_count.gaps(trial.profile):
                    found.setdefault(gap.event, []).append(gap)
    if not found:
        return say("")
    ids = tuple(run.run_id for run in runs)
    apart = [
        say(
            "{event} {gap}",
            event=event,
            gap=Quantity(
                _farthest([gap.ratio for gap in gaps]),
                percent,
                Source("counts", "relative_gap", {"run": ids, "event": event}, _farthest),
            ),
        )
        for event, gaps in found.items()
    ]
    if any(gap.noted for gaps in found.values() for gap in gaps):
        return say(
            "The sum of the samples and a plain count of the same window are at most this far apart: {apart}, which is "
            "more than {noted}: see the caveats.",
            apart=join(", ", apart),
            noted=Quantity(plain_count.NOTED_RATIO, percent, CONSTANT),
        )
    return say(
        "The sum of the samples and a plain count of the same window are at most this far apart: {apart}.",
        apart=join(", ", apart),
    )


def methods_of(kind: str) -> list[str]:
    """The methods of a class."""
    return [method for method, (found, _) in _METHODS.items() if found == kind]
