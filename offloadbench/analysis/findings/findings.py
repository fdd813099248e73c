"""What a run says: for every workload which state of the NIC is advised, and what each offload saves or costs.

Every figure, interval and verdict is the judge's (`offloadbench.analysis.comparison.judging`). The advice comes first,
one for each NIC and workload; the pairs of cases that explain it state what they show and advise nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from offloadbench.analysis.comparison import change_words, foreign_work, ladder
from offloadbench.analysis.comparison.judging import COST, RATE, Answers, blocks
from offloadbench.analysis.findings import advice_words, lasting
from offloadbench.analysis.findings.advice import Advice, Kind, advise, settings
from offloadbench.analysis.findings.savings import SAME_TOTAL_RATIO
from offloadbench.analysis.statistics.holm import CHANGED, INDICATION, TOO_FEW, Judgement
from offloadbench.analysis.tables.results import Results
from offloadbench.analysis.trial import toggle_proof
from offloadbench.base.words import figure, module_label, unit_per_byte

_SOURCES = 4
_FULL_CPU_RATIO = 0.97
PLACEHOLDER = "<ifname>"


@dataclass(frozen=True, slots=True)
class Finding:
    """One comparison of two cases, from `off` to `on`.

    Attributes:
        title: what was compared, for a heading.
        sentence: advice and figures, one sentence or two.
        sources: where the difference comes from; "" without a profile, and where nothing was shown.
        basis: on what it rests.
        command: the lines that follow the advice; "" when there is nothing to change.
        recipes: how to make what the command does last; none without a command.
        size: CPU seconds per GB of payload that `on` saves; negative when it costs, 0 where nothing can be said.
        on, off: names of the two cases.
        cost, rate: the judge's answers.
        advice: what is advised; None for a comparison that only explains.
        attributable: whether modules may be named as its parts.
    """

    nic: str
    workload: str
    title: str
    sentence: str
    sources: str
    basis: str
    command: str
    recipes: list[lasting.Recipe]
    size: float
    on: str
    off: str
    cost: Judgement
    rate: Judgement
    advice: Advice | None = None
    attributable: bool = False


@dataclass(frozen=True)
class _Bench:
    """What the findings of a bench are made of.

    Attributes:
        modules: rows of `Results.busy_modules` of this bench.
        proofs: rows of `Results.proofs` of this bench.
    """

    name: str
    answers: Answers
    modules: pd.DataFrame
    proofs: pd.DataFrame

    def totals(self, workload: str, *cases: str) -> tuple[float, ...] | None:
        """The modules' sums of these cases by the profile, per byte of payload; None unless all were profiled."""
        mine = self.modules[self.modules["workload"] == workload]
        sums = mine.groupby("case")["value_per_byte"].sum()
        return tuple(float(sums[case]) for case in cases) if set(cases) <= set(sums.index) else None

    def apart(self, workload: str, one: str, other: str) -> bool:
        """Whether clock and profile disagree on which of the two costs more."""
        clock, profile = self.answers.of(workload, ((one, other),), COST), self.totals(workload, one, other)
        if clock is None or profile is None:
            return False
        return clock.estimate.change * (profile[1] - profile[0]) < 0


def _subject(step: ladder.LadderStep, proofs: pd.DataFrame) -> str:
    """RX checksum is named only where both sides show that it acted."""
    receive = proofs[(proofs["subject"] == "rx-checksum") & proofs["case"].isin([step.on, step.off])]
    acted = len(receive) > 0 and bool((receive["verdict"] == toggle_proof.PROVEN).all())
    if step.subject.off != "none" or not acted:
        return step.subject.name
    return step.subject.name.replace("TX checksum", "TX and RX checksum")


def basis(cost: Judgement) -> str:
    """On how many trials a comparison rests, and how they were compared."""
    count = cost.estimate.trials_a
    if cost.verdict == INDICATION or count == 1:
        return "an indication from one trial a side"
    few = f" (a verdict needs at least {cost.trials_needed})" if cost.verdict == TOO_FEW else ""
    return f"{count} blocks{few}, compared inside each block (geometric means, paired t, Holm)"


def _sources(bench: _Bench, workload: str, on: str, off: str, cost: Judgement) -> tuple[str, bool]:
    """The modules that moved most, in the direction of the whole; and whether there is a whole to take apart."""
    mine = bench.modules[bench.modules["workload"] == workload]
    wide = mine[mine["case"].isin([on, off])].pivot_table(
        index="module", columns="case", values="value_per_byte", aggfunc="sum", fill_value=0.0
    )
    if cost.verdict not in (CHANGED, INDICATION) or not {on, off} <= set(wide.columns):
        return "", False
    saved = -cost.differences()[0]
    moved = (wide[off] - wide[on]).sort_values(ascending=False)
    total = float(moved.sum())
    quantity = str(mine["quantity"].iloc[0])
    timed = quantity == "kernel_cpu_time_ns"
    if total * saved < 0:
        told = f" ({figure(wide[off].sum())} → {figure(wide[on].sum())} ns per byte)" if timed else ""
        return f"The profile shows the opposite{told}: the modules say nothing of this difference.", False
    pairs = [pair for block in blocks(bench.answers.seen, workload, ((off, on),)) for pair in block]
    if spoilt := foreign_work.spoils(pairs, saved):
        return f"{spoilt[0].upper()}{spoilt[1:]}.", False
    moved = moved if total > 0 else -moved.sort_values()
    chosen = [(str(name), float(value)) for name, value in moved.head(_SOURCES).items() if value > 0.05 * abs(total)]
    if not chosen or not total:
        return "", False
    parts = ", ".join(f"{module_label(name)} {figure(value)}" for name, value in chosen)
    text = f"{'Saved' if total > 0 else 'Spent'} most in: {parts} ({unit_per_byte(quantity)}, by the profile)."
    # 1 CPU second per GB is 1 ns per byte
    if timed and abs(total / saved - 1) > SAME_TOTAL_RATIO:
        text += (
            f" The profile's modules sum to {figure(abs(total))} of the {figure(abs(saved))} by the idle clock: take "
            "their order from here, not their size."
        )
    return text, True


def _advised(bench: _Bench, found: Advice) -> Finding:
    """The advice with what it rests on, and the commands where it is an order to change something."""
    run = bench.answers.seen.run
    emulated = run.bed.kind.startswith("lab")
    changes = settings(bench.answers, found.workload, found.state)
    both = [
        pair for block in blocks(bench.answers.seen, found.workload, ((found.against, found.state),)) for pair in block
    ]
    full = all(seen.figures.cpu_busy_ratio > _FULL_CPU_RATIO for pair in both for seen in pair)
    ifname = PLACEHOLDER if emulated else shlex.quote(run.nic.ifname)
    ordered = found.kind is Kind.SWITCH
    commands = lasting.commands(ifname, changes.switches, changes.gso_max_segs) if ordered else []
    note = "; emulated NIC: repeat it with yours before you decide" if emulated else ""
    shown = found.cost.verdict in (CHANGED, INDICATION)
    sources, attributable = _sources(bench, found.workload, found.state, found.against, found.cost)
    return Finding(
        nic=bench.name,
        workload=found.workload,
        title=advice_words.title(found, bench.answers),
        sentence=advice_words.sentence(found, bench.answers),
        sources=f"{advice_words.notes(found, changes, full_cpu=full)} {sources}".strip(),
        basis=f"{basis(found.cost)}{note}",
        command="\n".join(commands),
        recipes=lasting.recipes(ifname, changes.switches, changes.gso_max_segs) if ordered else [],
        size=-found.cost.differences()[0] if shown else 0.0,
        on=found.state,
        off=found.against,
        cost=found.cost,
        rate=found.rate,
        advice=found,
        attributable=attributable,
    )


def _explains(bench: _Bench, workload: str, said: Advice | None) -> Iterator[Finding]:
    """What each step of the ladder shows, but for the one that the advice has said already."""
    proofs = bench.proofs[bench.proofs["workload"] == workload]
    for step in ladder.steps(bench.answers.seen, workload):
        if said and (step.on, step.off) == (said.state, said.against):
            continue
        cost, rate = (bench.answers.of(workload, ((step.off, step.on),), metric) for metric in (COST, RATE))
        if cost is None or rate is None:
            continue
        subject = _subject(step, proofs)
        shown = cost.verdict in (CHANGED, INDICATION)
        sources, attributable = _sources(bench, workload, step.on, step.off, cost)
        yield Finding(
            nic=bench.name,
            workload=workload,
            title=f"{subject} (case {step.on} against {step.off})",
            sentence=f"{subject} (case {step.on} against {step.off}): {change_words.sentence(cost, rate)}.",
            sources=sources,
            basis=basis(cost),
            command="",
            recipes=[],
            size=-cost.differences()[0] if shown else 0.0,
            on=step.on,
            off=step.off,
            cost=cost,
            rate=rate,
            attributable=attributable,
        )


def find(results: Results) -> list[Finding]:
    """The advice of every NIC and workload, and what explains it, the biggest difference first."""
    advised: list[Finding] = []
    explaining: list[Finding] = []
    for name, answers in results.answers.items():
        tables = (table[table["nic"] == name] for table in (results.busy_modules, results.proofs))
        bench = _Bench(name, answers, *tables)
        advice = {found.workload: found for found in advise(answers, bench.apart)}
        advised += [_advised(bench, found) for found in advice.values()]
        for workload in answers.seen.workloads():
            explaining += _explains(bench, workload, advice.get(workload))
    return [
        *sorted(advised, key=lambda finding: -abs(finding.size)),
        *sorted(explaining, key=lambda finding: -abs(finding.size)),
    ]


def headlines(findings: Sequence[Finding]) -> list[Finding]:
    """The advice of each (nic, workload), in the order given."""
    return [finding for finding in findings if finding.advice]
