"""What a run says: for every workload which state of the NIC is advised, and what each offload saves or costs.

Every figure, interval and verdict is the judge's (`offloadbench.analysis.comparison.judging`). The advice comes first,
one for each NIC and workload; the pairs of cases that explain it state what they show and advise nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from offloadbench.analysis.comparison import change_words, foreign_work, ladder
from offloadbench.analysis.comparison.judging import COST, RATE, Answers, blocks
from offloadbench.analysis.findings import advice_words, lasting
from offloadbench.analysis.findings.advice import Advice, Kind, advise, settings
from offloadbench.analysis.findings.savings import SAME_TOTAL_RATIO
from offloadbench.analysis.statistics.holm import CHANGED, INDICATION, TOO_FEW, Judgement
from offloadbench.analysis.tables.results import Results
from offloadbench.analysis.trial import toggle_proof
from offloadbench.base.sentence import Quantity, Sentence, Source, complement, join, of_change, only, say
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
    sentence: Sentence
    sources: Sentence
    basis: Sentence
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
    results: Results
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


def basis(cost: Judgement) -> Sentence:
    """On how many trials a comparison rests, and how they were compared."""
    count = cost.estimate.trials_a
    if cost.verdict == INDICATION or count == 1:
        return say("an indication from one trial a side")
    needed = Quantity(cost.trials_needed, change_words.whole)
    few = say(" (a verdict needs at least {cost_needed})", cost_needed=needed) if cost.verdict == TOO_FEW else ""
    return say(
        "{cost_trials} blocks{few}, compared inside each block (geometric means, paired t, Holm)",
        cost_trials=Quantity(count, change_words.whole),
        few=few,
    )


def _traces(nic: str, workload: str, on: str, off: str) -> dict[str, Source]:
    """The cells of the figures of a finding, in its row of the table `findings`."""
    where = {"nic": nic, "workload": workload, "on": on, "off": off}

    def cell(column: str, derive: Callable[[Sequence[float]], float] = only) -> Source:
        return Source("findings", column, where, derive)

    cost = {
        "a": cell("cpu_s_per_gb_off"),
        "b": cell("cpu_s_per_gb_on"),
        "ratio": cell("saved_ratio", complement),
        "low": cell("saved_ratio_high", complement),
        "high": cell("saved_ratio_low", complement),
        "detectable": cell("detectable_change"),
        "needed": cell("trials_needed"),
        "trials": cell("trials_off"),
        "repeats": cell("trials_needed", advice_words.advised_repeats),
        "saved": cell("saved_cpu_s_per_gb"),
    }
    rate = {
        "a": cell("throughput_bits_per_s_off"),
        "b": cell("throughput_bits_per_s_on"),
        "ratio": cell("throughput_change_ratio", of_change),
        "low": cell("throughput_change_low", of_change),
        "high": cell("throughput_change_high", of_change),
        "detectable": cell("throughput_detectable_change"),
    }
    return change_words.sources(cost, rate)


def _size(value: float) -> str:
    """Which way it goes stands in the words beside it."""
    return figure(abs(value))


def _sources(bench: _Bench, workload: str, on: str, off: str, cost: Judgement) -> tuple[Sentence, bool]:
    """The modules that moved most, in the direction of the whole; and whether there is a whole to take apart."""
    mine = bench.modules[bench.modules["workload"] == workload]
    wide = mine[mine["case"].isin([on, off])].pivot_table(
        index="module", columns="case", values="value_per_byte", aggfunc="sum", fill_value=0.0
    )
    if cost.verdict not in (CHANGED, INDICATION) or not {on, off} <= set(wide.columns):
        return say(""), False
    saved = -cost.differences()[0]
    moved = (wide[off] - wide[on]).sort_values(ascending=False)
    total = float(moved.sum())
    quantity = str(mine["quantity"].iloc[0])
    timed = quantity == "kernel_cpu_time_ns"
    every = tuple(str(name) for name in wide.index)

    def amounts(case: str, *modules: str) -> Source:
        return bench.results.costs(bench.name, workload, case, modules)

    def change(*modules: str) -> Source:
        return replace(amounts(off, *modules), minus=amounts(on, *modules))

    if total * saved < 0:
        told = say(
            " ({modules_off} → {modules_on} ns per byte)",
            modules_off=Quantity(float(wide[off].sum()), figure, amounts(off, *every)),
            modules_on=Quantity(float(wide[on].sum()), figure, amounts(on, *every)),
        )
        return (
            say(
                "The profile shows the opposite{told}: the modules say nothing of this difference.",
                told=told if timed else "",
            ),
            False,
        )
    pairs = [pair for block in blocks(bench.answers.seen, workload, ((off, on),)) for pair in block]
    if spoilt := foreign_work.spoils(pairs, saved):
        return say("{spoilt}.", spoilt=spoilt.capitalized()), False
    # the size of a change has no sign: which way it went is in the words
    ordered = moved if total > 0 else moved.sort_values()
    chosen = [
        (str(name), float(value))
        for name, value in ordered.head(_SOURCES).items()
        if value * total > 0 and abs(value) > 0.05 * abs(total)
    ]
    if not chosen or not total:
        return say(""), False
    parts = [
        say("{module} {module_change}", module=module_label(name), module_change=Quantity(value, _size, change(name)))
        for name, value in chosen
    ]
    text = say(
        "Saved most in: {parts} ({unit}, by the profile)."
        if total > 0
        else "Spent most in: {parts} ({unit}, by the profile).",
        parts=join(", ", parts),
        unit=unit_per_byte(quantity),
    )
    # 1 CPU second per GB is 1 ns per byte
    if timed and abs(total / saved - 1) > SAME_TOTAL_RATIO:
        apart = say(
            " The profile's modules sum to {modules_change} of the {cost_saved} by the idle clock: take their order "
            "from here, not their size.",
            modules_change=Quantity(total, _size, change(*every)),
            cost_saved=Quantity(saved, _size),
        )
        return join("", [text, apart]), True
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
    note = say("; emulated NIC: repeat it with yours before you decide") if emulated else ""
    shown = found.cost.verdict in (CHANGED, INDICATION)
    sources, attributable = _sources(bench, found.workload, found.state, found.against, found.cost)
    told = [text for text in (advice_words.notes(found, changes, full_cpu=full), sources) if text]
    traces = _traces(bench.name, found.workload, found.state, found.against)
    return Finding(
        nic=bench.name,
        workload=found.workload,
        title=advice_words.title(found, bench.answers),
        sentence=advice_words.sentence(found, bench.answers).traced(traces),
        sources=join(" ", told).traced(traces),
        basis=say("{basis}{note}", basis=basis(found.cost), note=note).traced(traces),
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
        title = f"{subject} (case {step.on} against {step.off})"
        traces = _traces(bench.name, workload, step.on, step.off)
        yield Finding(
            nic=bench.name,
            workload=workload,
            title=title,
            sentence=say("{title}: {told}.", title=title, told=change_words.sentence(cost, rate)).traced(traces),
            sources=sources.traced(traces),
            basis=basis(cost).traced(traces),
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
        modules, proofs = (table[table["nic"] == name] for table in (results.busy_modules, results.proofs))
        bench = _Bench(name, answers, modules, results, proofs)
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
