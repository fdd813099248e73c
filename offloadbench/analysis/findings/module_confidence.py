"""How sure the modules are: by which methods the samples found them, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from offloadbench.analysis.profile import plain_count
from offloadbench.analysis.profile.attribution import OTHER, SHADOW
from offloadbench.analysis.profile.module_tables import CALLER
from offloadbench.analysis.tables.results import case_means
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


def sentences(methods: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """(nic, workload, case) -> how its samples found their modules."""
    means = _means(methods)
    return {
        (str(nic), str(workload), str(case)): sentence(dict(zip(rows["method"], rows["share_ratio"], strict=True)))
        for (nic, workload, case), rows in means.groupby(["nic", "workload", "case"], sort=False)
    }


def _means(methods: pd.DataFrame) -> pd.DataFrame:
    return case_means(methods[methods["share_ratio"].notna()], ["method"], ["share_ratio"])


def sentence(shares: Mapping[str, float]) -> str:
    """One sentence from method -> share of busy weight.

    All shares are of the whole busy weight, what cannot be attributed included; they sum to one.
    """
    lost, unknown = shares.get(SHADOW, 0.0), shares.get(OTHER, 0.0)
    words: dict[str, float] = {}
    for method, (_, phrase) in _METHODS.items():
        if method not in (OTHER, SHADOW):
            words[phrase] = words.get(phrase, 0.0) + shares.get(method, 0.0)
    found = [f"{_tenths(weight)} {phrase}" for phrase, weight in words.items() if weight > 0]
    if not found:
        return "nothing could be attributed."
    text = f"{', '.join(found)}; {_tenths(unknown) if unknown else 'nothing'} by no rule"
    skid = f"; {_tenths(lost)} {_METHODS[SHADOW][1]}" if lost else ""
    return f"{text}{skid}. Shares are of all busy time."


def _tenths(ratio: float) -> str:
    """In tenths of a percent: what is not known is small, and the point of the sentence."""
    return f"{ratio * 100:.1f} %" if ratio >= 0.0005 else "under 0.1 %"


def counted(runs: Sequence[Run]) -> str:
    """How far the samples and a plain count of the same windows are apart; "" where nothing was counted."""
    profiles = [trial.profile for run in runs for trial in run.trials if trial.profile and trial.outcome == "ok"]
    largest: dict[str, plain_count.CountGap] = {}
    for gap in (gap for profile in profiles for gap in plain_count.gaps(profile)):
        if gap.event not in largest or abs(gap.ratio) > abs(largest[gap.event].ratio):
            largest[gap.event] = gap
    if not largest:
        return ""
    apart = ", ".join(f"{event} {percent(abs(gap.ratio))}" for event, gap in largest.items())
    noted = any(gap.noted for gap in largest.values())
    verdict = f", which is more than {percent(plain_count.NOTED_RATIO)}: see the caveats" if noted else ""
    return f"The sum of the samples and a plain count of the same window are at most this far apart: {apart}{verdict}."
