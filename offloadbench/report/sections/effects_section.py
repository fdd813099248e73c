"""What each offload does by itself, in runs whose cases are a factorial design or a part of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from offloadbench.analysis.comparison import effect_shares
from offloadbench.analysis.comparison.factor_effects import Effect, effects
from offloadbench.analysis.comparison.module_costs import of_table
from offloadbench.analysis.tables import effect_tables
from offloadbench.analysis.tables.results import Results
from offloadbench.base.sentence import Quantity, Sentence, join, say
from offloadbench.base.units import format_ratio
from offloadbench.report.material import Material
from offloadbench.report.plots.effects_plot import contrast_label
from offloadbench.report.plots.effects_plot import effects as draw_effects
from offloadbench.report.plots.intervals import LEGEND
from offloadbench.report.section import Block, Bullet, Bullets, Section


@dataclass(frozen=True, slots=True)
class RunEffects:
    """The effects in one run and workload, of which at least one can be told, and what they say in sentences."""

    where: str
    effects: list[Effect]
    sentences: list[Sentence]


def run_effects(results: Results) -> list[RunEffects]:
    """Every bench and workload with an effect that can be told."""
    found = []
    for name, answers in results.answers.items():
        told = effects(answers)
        estimable = any(effect.judgement for effect in told)
        runs = [run for run in results.runs if results.benches[run.run_id] == name]
        shares = effect_shares.shares(answers.seen, of_table(runs, results.modules)) if estimable else []
        for workload in dict.fromkeys(effect.workload for effect in told):
            mine = [effect for effect in told if effect.workload == workload]
            if any(effect.judgement for effect in mine):
                sentences = effect_tables.sentences(mine, shares)
                found.append(RunEffects(f"{name}, {workload}", mine, sentences))
    return found


def _write(material: Material) -> Iterator[Block]:
    for one in run_effects(material.results):
        told = [_contrast(effect) for effect in one.effects if effect.metric == "cpu_s_per_gb"]
        yield material.plot(
            partial(draw_effects, one.effects),
            say(
                "Effects on CPU seconds per GB and throughput with intervals, {where}: {told}",
                where=one.where,
                told=join("; ", told),
            ),
            say(
                "{where}: what each offload changes by itself, the other two as they are. {legend}.",
                where=one.where,
                legend=LEGEND,
            ),
        )
        yield Bullets([Bullet(text) for text in one.sentences])
    if material.results.problems:
        yield Bullets([Bullet(say("{problem}", problem=text)) for text in material.results.problems], kind="warning")


def _contrast(effect: Effect) -> Sentence:
    if effect.judgement is None:
        return say("{contrast} not estimable", contrast=contrast_label(effect))
    ratio = Quantity(effect.judgement.ratios()[0], format_ratio, effect_tables.traces(effect)["ratio"])
    return say("{contrast} {ratio}", contrast=contrast_label(effect), ratio=ratio)


SECTION = Section(
    "effects", "What each offload does by itself", 50, _write, nav="effects", rows=("effects", "effect_modules")
)
