"""Pairs of cases of the ladder that differ in offloads with a name of their own."""

from __future__ import annotations

from dataclasses import dataclass

from offloadbench.analysis.comparison.usable_trials import Observations


@dataclass(frozen=True, slots=True)
class Subject:
    """What the two cases of a pair differ in.

    Attributes:
        unless: a case between them whose presence makes the pair redundant.
    """

    name: str
    plural: bool
    on: str
    off: str
    unless: str = ""


# from broad to narrow
SUBJECTS = (
    Subject("TSO, GSO and checksum offload", True, "tso", "none"),
    Subject("TSO and GSO", True, "tso", "csum", unless="gso"),
    Subject("GSO and checksum offload", True, "gso", "none", unless="csum"),
    Subject("TSO", False, "tso", "gso"),
    Subject("GSO", False, "gso", "csum"),
    Subject("TX checksum offload", False, "csum", "none"),
)


@dataclass(frozen=True, slots=True)
class LadderStep:
    """A subject with the cases that stand for it in a run, which may bear another name of the same state."""

    subject: Subject
    on: str
    off: str


def _names(seen: Observations, workload: str) -> dict[str, str]:
    """Every name of a case with usable trials -> the name that it ran under."""
    found: dict[str, str] = {}
    for case in seen.cases(workload):
        for trial in seen.case(workload, case).values():
            found |= dict.fromkeys(trial.trial.also_named, case)
        found[case] = case
    return found


def steps(seen: Observations, workload: str) -> list[LadderStep]:
    """The pairs that the run holds, each pair of cases once."""
    ran = _names(seen, workload)
    found: dict[tuple[str, str], LadderStep] = {}
    for subject in SUBJECTS:
        on, off = ran.get(subject.on, ""), ran.get(subject.off, "")
        # cases that came to the same state on this NIC ran once, under both names
        if not on or not off or on == off:
            continue
        # where cases came to the same state, the narrower subject is what really differed
        if (on, off) in found or not (subject.unless and subject.unless in ran):
            found[on, off] = LadderStep(subject, on, off)
    return list(found.values())
