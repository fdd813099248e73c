"""What the engine tells while it works. It prints nothing; one module of the commands shows these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from offloadbench.analysis.trial.metrics import Metrics
from offloadbench.model import Plan, PlannedTrial, Trial


@dataclass(frozen=True, slots=True)
class Note:
    """Something that a person may want to know."""

    text: str


@dataclass(frozen=True, slots=True)
class PointStarted:
    """A point of a sweep begins: it is number `position` of `total` that are to be measured.

    Attributes:
        text: its place on the axes.
        later_s: expected wall time of the points after it.
    """

    position: int
    total: int
    text: str
    later_s: float


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The plan is fixed; `done` trials of it were captured before (resume)."""

    plan: Plan
    done: int


@dataclass(frozen=True, slots=True)
class PlanExtended:
    """The run goes on with more blocks than it began with."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class TrialStarted:
    trial: PlannedTrial
    number: int
    total: int


@dataclass(frozen=True, slots=True)
class Phase:
    """Which part of a trial begins: preparing, warm-up, measuring, finishing."""

    name: str
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Sampled:
    """One second of the window, for the eye; the file has the exact figures."""

    t_s: float
    tx_bits_per_s: float
    cpu_busy_ratio: float


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """`figures` are of `cpus` CPUs under test; None for a trial that captured no window."""

    trial: Trial
    figures: Metrics | None
    cpus: int


@dataclass(slots=True)
class Question:
    """Something that only a person can allow; whoever shows it may fill in the answer. None: nobody was asked."""

    text: str
    answer: str | None = None


Event = Note | Question | PointStarted | RunStarted | PlanExtended | TrialStarted | Phase | Sampled | TrialEnded
Emit = Callable[[Event], None]
