"""Which state of the NIC is the best for a workload, of those measured, and whether that may be said as an order.

The best state costs the least CPU per GB and does not lose more than 4 % of throughput. The advice starts from the
state as found: it is an order (keep, switch) only where the judge's verdict on CPU per GB between the two states named
is `changed`. Where the state as found was not measured, a state that is shown to cost less than the reference case may
be ordered; that the reference case costs less than others is told and orders nothing, since where the NIC stands is not
known. What the clock says and the profile contradicts carries nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial

from offloadbench.analysis.comparison.contrasts import TSO_FEATURE
from offloadbench.analysis.comparison.judging import COST, RATE, Answers, Pivot, pivot
from offloadbench.analysis.statistics.holm import CHANGED, Judgement
from offloadbench.definitions.catalog import ALIASES
from offloadbench.definitions.feature_dependencies import TX_CHECKSUMS

# the 2005 article lost less than 4 % of throughput at worst and still called it free
FREE_THROUGHPUT_RATIO = 0.04
# of each short name of ethtool the bits that decide; without gso, whose bit changes nothing for TCP since Linux 4.17
# (0a6b2a1dc2a2): TCP builds GSO packets whatever it says, and only gso_max_segs 1 stops it
_BITS: Mapping[str, Sequence[str]] = {
    "sg": ("tx-scatter-gather",),
    "tx": TX_CHECKSUMS,
    "rx": ALIASES["rx"],
    "tso": (TSO_FEATURE,),
    "gro": ALIASES["gro"],
    "lro": ALIASES["lro"],
}
Apart = Callable[[str, str], bool]
"""Whether clock and profile disagree on which of two cases costs more."""


class Kind(Enum):
    """What the advice is."""

    KEEP = "keep the state as found"
    SWITCH = "switch to another state"
    WEIGH = "a gain with a price"
    BEST = "the cheapest of those measured, the state as found is not among them"
    OPEN = "nothing is shown that could carry advice"
    APART = "clock and profile disagree"


@dataclass(frozen=True, slots=True)
class Advice:
    """What is advised for a workload.

    Attributes:
        state, against: the two cases of the contrast that carries it; `state` is the advised one, if any is.
        cost, rate: the judge's answers, from `against` to `state`.
        elsewhere: with Kind.WEIGH, another workload that speaks against it; "" otherwise.
        cheaper: a case that seems to cost this workload less than `state`, which is better for all; "" without one.
        beside: other states that are ordered for other workloads, and not shown to differ from `state` in any.
        slower: cases that cost less than `state`, and lose more throughput than may be.
        tied: cases that are not shown to differ from `state` in CPU per GB.
    """

    workload: str
    kind: Kind
    start: Pivot
    state: str
    against: str
    cost: Judgement
    rate: Judgement
    elsewhere: str = ""
    cheaper: str = ""
    beside: tuple[str, ...] = ()
    slower: tuple[str, ...] = ()
    tied: tuple[str, ...] = ()

    @property
    def orders(self) -> bool:
        """Whether it is an imperative."""
        return self.kind in (Kind.KEEP, Kind.SWITCH)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a state differs from the one as found: ethtool's short names, and gso_max_segs (0: as found)."""

    switches: dict[str, bool]
    gso_max_segs: int

    def __bool__(self) -> bool:
        return bool(self.switches or self.gso_max_segs)


def settings(answers: Answers, workload: str, case: str) -> Settings:
    """What takes the NIC from the state as found to that of a case, with what the kernel switches off as well."""
    nic = answers.seen.run.nic
    trial = next(iter(answers.seen.case(workload, case).values())).trial
    found = {name: active for name, (active, _, _) in nic.features.items()}
    state = found | {record.feature: record.active for record in trial.features}
    switches = {
        short: any(state.get(name, False) for name in names)
        for short, names in _BITS.items()
        if any(state.get(name, False) for name in names) != any(found.get(name, False) for name in names)
    }
    return Settings(switches, trial.gso_max_segs if trial.gso_max_segs != nic.gso_max_segs else 0)


def _cheaper(cost: Judgement) -> bool:
    return cost.verdict == CHANGED and cost.estimate.change < 0


def _slower(rate: Judgement) -> bool:
    return rate.verdict == CHANGED and rate.ratios()[0] < 1 - FREE_THROUGHPUT_RATIO


def _reversed(way: Advice) -> Advice:
    return replace(way, state=way.against, against=way.state, cost=way.cost.reversed(), rate=way.rate.reversed())


def _tied(answers: Answers, found: Advice) -> tuple[str, ...]:
    """The cases that are not shown to differ from the advised one, of those that the judge was asked about."""
    asked = [
        (case, answers.of(found.workload, ((found.state, case),), COST))
        for case in answers.seen.cases(found.workload)
        if case not in (found.state, found.against)
    ]
    return tuple(case for case, cost in asked if cost and cost.verdict != CHANGED)


def _advise(answers: Answers, workload: str, apart: Apart) -> list[Advice]:
    """The advice for a workload by itself, with a state to switch to all such states, the cheapest first.

    Nothing where no two states were measured in one block.
    """
    start = pivot(answers.seen, workload)
    ways = []
    for case in answers.seen.cases(workload):
        pairs = ((start.case, case),)
        cost, rate = (answers.of(workload, pairs, metric) for metric in (COST, RATE))
        if case != start.case and cost and rate:
            ways.append(Advice(workload, Kind.SWITCH, start, case, start.case, cost, rate))
    if not ways:
        return []
    gains = [way for way in ways if _cheaper(way.cost)]
    # the same contrasts the other way round: what the state to start from saves
    savings = [_reversed(way) for way in ways if _cheaper(way.cost.reversed())]
    free = [way for way in gains if not _slower(way.rate) and not apart(way.against, way.state)]
    # a state that differs in nothing that acts on TCP is nothing to switch to
    free = [way for way in free if settings(answers, workload, way.state)]
    if free:
        return sorted(free, key=_change)
    slower = [way for way in gains if _slower(way.rate) and not apart(way.against, way.state)]
    agreed = [way for way in savings if not apart(way.against, way.state)]
    faster = [way for way in agreed if _slower(way.rate)]
    if faster:
        return [replace(min(faster, key=_change), kind=Kind.WEIGH)]
    if agreed:
        # against the one with the least offload: the one that seems dearest would be so by chance too
        kind = Kind.KEEP if start.as_found else Kind.BEST
        return [replace(agreed[-1], kind=kind, slower=tuple(way.state for way in slower))]
    if slower:
        return [replace(min(slower, key=_change), kind=Kind.WEIGH)]
    biggest = max(gains + savings or ways, key=lambda way: abs(_change(way)))
    kind = Kind.APART if biggest.cost.verdict == CHANGED and apart(biggest.against, biggest.state) else Kind.OPEN
    order = answers.seen.cases(workload)
    if order.index(biggest.state) > order.index(biggest.against):
        # of what is only told the state with more offload comes first, as in the pairs that explain it
        biggest = _reversed(biggest)
    return [replace(biggest, kind=kind)]


def _change(way: Advice) -> float:
    return way.cost.estimate.change


def _common(single: Mapping[str, Sequence[Advice]]) -> dict[str, Advice]:
    """One advice for each workload: of those that have a state to switch to the same state, if there is one for all."""
    switching = [ways for ways in single.values() if ways[0].kind is Kind.SWITCH]
    changes: dict[str, list[float]] = {}
    for way in (way for ways in switching for way in ways):
        changes.setdefault(way.state, []).append(_change(way))
    shared = {state: sum(found) for state, found in changes.items() if len(found) == len(switching)}
    best = min(shared, key=lambda state: shared[state], default="")
    chosen = {}
    for workload, ways in single.items():
        way = next((way for way in ways if way.kind is Kind.SWITCH and way.state == best), ways[0])
        chosen[workload] = way if way is ways[0] else replace(way, cheaper=ways[0].state)
    return chosen


def _against(answers: Answers, found: Advice, other: str) -> bool:
    """Whether another workload shows that the advised state costs it more, or slows it down."""
    pairs = ((found.against, found.state),)
    cost, rate = (answers.of(other, pairs, metric) for metric in (COST, RATE))
    return bool((cost and _cheaper(cost.reversed())) or (rate and _slower(rate)))


def _differ(answers: Answers, one: Advice, other: Advice) -> bool:
    """Whether either workload shows that the states ordered for the two are not as good for it."""
    asked = [answers.of(way.workload, ((one.state, other.state),), COST) for way in (one, other)]
    return any(cost is not None and cost.verdict == CHANGED for cost in asked)


def advise(answers: Answers, apart: Callable[[str, str, str], bool]) -> list[Advice]:
    """The advice for every workload that has two states to compare.

    A NIC has one state for all its workloads: what one of them speaks against is not ordered for another.

    Args:
        apart: of a workload and two cases, whether clock and profile disagree on which of them costs more.
    """
    workloads = answers.seen.workloads()
    ways = {workload: _advise(answers, workload, partial(apart, workload)) for workload in workloads}
    single = _common({workload: found for workload, found in ways.items() if found})
    result = []
    for found in single.values():
        others = [other for other in workloads if other != found.workload]
        switched = [other for other in others if other in single and single[other].kind is Kind.SWITCH]
        opposed: list[str] = []
        beside: list[str] = []
        if found.kind is Kind.SWITCH:
            opposed = [other for other in others if _against(answers, found, other)]
            opposed += [other for other in switched if _differ(answers, found, single[other])]
            beside = [single[other].state for other in switched if single[other].state != found.state]
        elif found.kind is Kind.KEEP:
            opposed = switched
        weighed = replace(found, kind=Kind.WEIGH, elsewhere=opposed[0]) if opposed else found
        result.append(replace(weighed, tied=_tied(answers, weighed), beside=tuple(dict.fromkeys(beside))))
    return result
