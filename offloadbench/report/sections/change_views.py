"""Changes for the report: what each factor does in a run, and what changed between runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offloadbench.analysis.comparison import effect_shares
from offloadbench.analysis.comparison.changes import Comparison, Row, between
from offloadbench.analysis.comparison.compatibility import obstacles
from offloadbench.analysis.comparison.factor_effects import Effect, effects
from offloadbench.analysis.comparison.module_costs import of_table
from offloadbench.analysis.tables import effect_tables
from offloadbench.analysis.tables.results import Results
from offloadbench.base.errors import StatisticError
from offloadbench.model import Profile, Run
from offloadbench.report import basis
from offloadbench.report.compare_text import interval_words, words
from offloadbench.report.plots.effects_plot import TITLES
from offloadbench.report.plots.intervals import change_words


@dataclass(frozen=True, slots=True)
class RunEffects:
    """The effects in one run and workload, of which at least one can be told, and what they say in sentences."""

    where: str
    effects: list[Effect]
    sentences: list[str]


@dataclass(frozen=True, slots=True)
class RunChanges:
    """The cases of one workload, from one run to another."""

    where: str
    rows: list[Row]
    sentences: list[str]


def run_effects(results: Results) -> tuple[list[RunEffects], list[str]]:
    """Every bench and workload with an effect that can be told; and sentences on benches that cannot be judged."""
    found = []
    for name, answers in results.answers.items():
        told = effects(answers)
        estimable = any(effect.judgement for effect in told)
        shares = (
            effect_shares.shares(answers.seen, of_table(_runs(results, name), results.modules)) if estimable else []
        )
        for workload in dict.fromkeys(effect.workload for effect in told):
            mine = [effect for effect in told if effect.workload == workload]
            if any(effect.judgement for effect in mine):
                sentences = effect_tables.sentences(mine, shares)
                found.append(RunEffects(f"{name}, {workload}", mine, sentences))
    return found, results.problems


def _runs(results: Results, bench: str) -> list[Run]:
    return [run for run in results.runs if results.benches[run.run_id] == bench]


def run_changes(runs: Sequence[Run], names: Sequence[str], profile: Profile) -> tuple[list[RunChanges], list[str]]:
    """Every comparable run against the first, by workload; and sentences on what differs and what is not compared.

    Args:
        runs: each once.
        names: of the runs, in the same order.
    """
    base = runs[0]
    remarks, chosen = [], [0]
    for index, run in enumerate(runs[1:], 1):
        hindrances = obstacles(base, run)
        if hindrances:
            remarks.append(f"{names[index]} is not compared with {names[0]}: {'; '.join(hindrances)}.")
        else:
            chosen.append(index)
    if len(chosen) < 2:
        return [], remarks
    try:
        comparison = between([runs[i] for i in chosen], [names[i] for i in chosen], profile)
    except StatisticError as error:
        return [], [*remarks, f"No changes between the runs are shown: {error.message}."]
    differs = [f"Differs: {text}." for text in comparison.differences]
    missing = [f"Missing: {text}." for text in comparison.missing]
    return _by_workload(comparison), [*basis.sentences(comparison.rows), *differs, *remarks, *missing]


def _by_workload(comparison: Comparison) -> list[RunChanges]:
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in comparison.rows:
        question = row.question
        groups.setdefault((question.b, question.a, question.workload), []).append(row)
    return [
        RunChanges(f"{b} against {a}, {workload}", rows, [_sentence(row) for row in rows])
        for (b, a, workload), rows in groups.items()
    ]


def _sentence(row: Row) -> str:
    title = TITLES[row.question.metric].split(" (")[0]
    change = f"{change_words(row.judgement)} ({interval_words(row)})"
    return f"{row.question.case}: {title} {change}: {words(row.judgement)}."
