"""The effects of a factorial run as tidy tables, and as sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from offloadbench.analysis.comparison import change_words
from offloadbench.analysis.comparison.effect_shares import EffectShare, shares
from offloadbench.analysis.comparison.factor_effects import Effect, effects
from offloadbench.analysis.comparison.judging import COST, Answers, judged
from offloadbench.analysis.comparison.module_costs import module_costs
from offloadbench.analysis.comparison.usable_trials import pooled
from offloadbench.analysis.statistics.holm import CHANGED, INDICATION, cells
from offloadbench.analysis.tables.results import bench_names
from offloadbench.base.sentence import Quantity, Sentence, Source, join, say
from offloadbench.base.words import module_label
from offloadbench.model import Profile, Run

_KEYS = ["run", "nic", "workload", "factor", "on", "off", "metric"]
_FIGURES = ["value_on", "value_off", "ratio", "ratio_low", "ratio_high", "ratio_low_95", "ratio_high_95"]
_FIGURES += ["difference", "difference_low", "difference_high", "level", "p", "p_holm"]
COLUMNS = [
    *_KEYS,
    *_FIGURES,
    "verdict",
    "blocks",
    "trials_needed",
    "detectable_change",
    "method",
    "cases",
    "at",
    "reason",
    "note",
]
SHARE_COLUMNS = ["run", "nic", "workload", "factor", "on", "off", "module", "quantity", "blocks", "saved_per_byte"]
SHARE_COLUMNS += ["saved_low", "saved_high", "share_of_saving", "share_low", "share_high"]
_MODULES_NAMED = 3
_WORTH_NAMING = 0.05
# modules that move against each other by more than the change itself are no parts of it
_CANCELLED = 1.5


def _answers(runs: Sequence[Run]) -> Iterator[Answers]:
    """What the judge says of each group of runs that were measured alike."""
    benches = bench_names(runs)
    for name in dict.fromkeys(benches.values()):
        yield judged(pooled([run for run in runs if benches[run.run_id] == name]))


def effect_rows(runs: Sequence[Run]) -> pd.DataFrame:
    """One row per contrast and headline metric of each run; ratios and differences are of `on` against `off`.

    Runs that were measured alike are one: a block is a repeat of one of them.

    Columns: run (ids, `+` between those of runs that were measured alike), nic, workload, factor, on, off, metric,
    value_on, value_off (geometric means), ratio and its interval (at `level`; `_95` is the plain one), difference and
    its interval (in the metric's unit), level, p, p_holm, verdict (`not estimable` has a reason), blocks,
    trials_needed, detectable_change, method, cases (on/off, a semicolon between several that are averaged), at (their
    states), reason, note.
    """
    rows = [_row(effect) for answers in _answers(runs) for effect in effects(answers)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(effect: Effect) -> dict[str, object]:
    contrast, judgement = effect.contrast, effect.judgement
    row: dict[str, object] = {
        "run": effect.run,
        "nic": effect.nic,
        "workload": effect.workload,
        "factor": contrast.factor,
        "on": contrast.on,
        "off": contrast.off,
        "metric": effect.metric,
        "cases": "; ".join(f"{on}/{off}" for off, on in effect.pairs),
        "at": effect.at,
        "reason": effect.reason,
        "note": effect.note,
    }
    if judgement is None:
        return row | dict.fromkeys(_FIGURES, math.nan) | {"verdict": "not estimable", "method": ""}
    estimate = judgement.estimate
    return row | {
        "value_on": estimate.b,
        "value_off": estimate.a,
        "blocks": estimate.trials_a,
        **cells(judgement),
    }


def share_rows(runs: Sequence[Run], profile: Profile) -> pd.DataFrame:
    """One row per contrast and module of each run that was profiled.

    Columns: run, nic, workload, factor, on, off, module, quantity, blocks, saved_per_byte (cost off minus on, per byte
    of payload) and its 95 % interval, share_of_saving and its 95 % interval (see `effect_shares.Share`).
    """
    rows = [
        {
            "run": share.run,
            "nic": share.nic,
            "workload": share.workload,
            "factor": share.contrast.factor,
            "on": share.contrast.on,
            "off": share.contrast.off,
            "module": share.module,
            "quantity": share.quantity,
            "blocks": share.blocks,
            "saved_per_byte": share.saved_per_byte,
            "saved_low": share.saved_low,
            "saved_high": share.saved_high,
            "share_of_saving": share.share,
            "share_low": share.share_low,
            "share_high": share.share_high,
        }
        for answers in _answers(runs)
        for share in shares(answers.seen, module_costs(runs, profile))
    ]
    return pd.DataFrame(rows, columns=SHARE_COLUMNS)


def sentences(found: Sequence[Effect], parts: Sequence[EffectShare]) -> list[Sentence]:
    """One sentence per contrast: CPU per GB with its interval, throughput, and the modules that it comes from."""
    lines = []
    for effect in found:
        if effect.metric != COST:
            continue
        names = {"workload": effect.workload, "title": effect.title}
        if effect.judgement is None:
            lines.append(say("{workload}: {title}: not estimable: {reason}", reason=effect.reason, **names))
            continue
        rate = next(
            e for e in found if (e.workload, e.contrast) == (effect.workload, effect.contrast) and e is not effect
        )
        assert rate.judgement is not None
        mine = [p for p in parts if (p.workload, p.contrast) == (effect.workload, effect.contrast)]
        text = say(
            "{workload}: {title}: {told}{modules}{note}",
            told=change_words.sentence(effect.judgement, rate.judgement),
            modules=_modules(effect, mine),
            note=say(" ({note})", note=effect.note) if effect.note else "",
            **names,
        )
        lines.append(text.traced(change_words.sources(traces(effect), traces(rate))))
    return lines


def traces(effect: Effect) -> dict[str, Source]:
    """The cells of the figures of an effect, in its row of the table `effects`."""
    names = {"run": effect.run, "nic": effect.nic, "workload": effect.workload, "metric": effect.metric}
    where = names | {"factor": effect.contrast.factor, "on": effect.contrast.on, "off": effect.contrast.off}
    columns = {
        "a": "value_off",
        "b": "value_on",
        "ratio": "ratio",
        "low": "ratio_low",
        "high": "ratio_high",
        "detectable": "detectable_change",
        "needed": "trials_needed",
    }
    return {name: Source("effects", column, where) for name, column in columns.items()}


def _share(share: float) -> str:
    return f"{100 * share:.0f} %"


def _modules(effect: Effect, parts: Sequence[EffectShare]) -> Sentence:
    assert effect.judgement is not None
    saving = sum(part.saved_per_byte for part in parts)
    # shares of what is not there, or of the opposite of what the trials showed, say nothing
    if effect.judgement.verdict not in (CHANGED, INDICATION) or (saving > 0) != (effect.judgement.ratios()[0] < 1):
        return say("")
    if effect.foreign:
        return say("; {foreign}", foreign=effect.foreign)
    named = sorted((p for p in parts if p.share >= _WORTH_NAMING), key=lambda part: -part.share)[:_MODULES_NAMED]
    if sum(part.share for part in parts if part.share > 0) > _CANCELLED:
        dearer = sorted((p for p in parts if p.share <= -_WORTH_NAMING), key=lambda part: part.share)[:_MODULES_NAMED]
        words = ("less", "more") if saving > 0 else ("more", "less")
        sides = zip(words, (named, dearer), strict=True)
        return join(
            "",
            [
                say("; {word} in {modules}", word=word, modules=", ".join(module_label(p.module) for p in side))
                for word, side in sides
                if side
            ],
        )
    told = [
        say(
            "{share} in {module}" if number else "{share} of it in {module}",
            share=Quantity(part.share, _share, _share_source(part)),
            module=module_label(part.module),
        )
        for number, part in enumerate(named)
    ]
    return say("; {parts}", parts=join(", ", told)) if told else say("")


def _share_source(part: EffectShare) -> Source:
    names = {"run": part.run, "nic": part.nic, "workload": part.workload, "module": part.module}
    where = names | {"factor": part.contrast.factor, "on": part.contrast.on, "off": part.contrast.off}
    return Source("effect_modules", "share_of_saving", where)
