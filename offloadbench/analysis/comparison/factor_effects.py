"""What segmentation, TX checksum and RX checksum each do: contrasts of a factorial run, inside its blocks.

A contrast compares two states that differ in one factor only, averages their logarithms over the states of the other
factors that the run holds on both sides, block by block, and is answered by the judge like every other question.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from offloadbench.analysis.comparison import foreign_work as foreign
from offloadbench.analysis.comparison.contrasts import CONTRASTS, TSO_FEATURE, Contrast, Pairs, cells, pairs_of
from offloadbench.analysis.comparison.judging import COST, Answers, blocks
from offloadbench.analysis.comparison.usable_trials import HEADLINES, Observations
from offloadbench.analysis.statistics.holm import Judgement
from offloadbench.analysis.trial import toggle_proof
from offloadbench.definitions.feature_dependencies import TX_CHECKSUMS
from offloadbench.model import Run

# the state that no kernel holds
_IMPOSSIBLE = Contrast("tx-checksum", "TX checksum", "on", "off (with TSO)")
_IMPOSSIBLE_REASON = "the kernel drops TSO when TX checksum is off (netdev_fix_features)"


@dataclass(frozen=True, slots=True)
class Effect:
    """What a factor does to one metric, from `off` to `on`.

    Attributes:
        run: the id of the run, or of each of the runs that were measured alike, with `+` between them.
        pairs: the cases compared, (off, on); none where the run cannot tell.
        at: the states over which it was averaged.
        judgement: None where the run cannot tell; `reason` says why.
        note: what to know besides.
        foreign: why its modules are not named, see `foreign.spoils`.
    """

    run: str
    nic: str
    workload: str
    contrast: Contrast
    metric: str
    pairs: Pairs
    at: str
    judgement: Judgement | None
    reason: str = ""
    note: str = ""
    foreign: str = ""

    @property
    def title(self) -> str:
        """The offload with the cases that stand for it, or with its levels where several pairs of cases do."""
        contrast = self.contrast
        if len(self.pairs) == 1:
            off, on = self.pairs[0]
            return f"{contrast.subject} (case {on} against {off})"
        return f"{contrast.subject} ({contrast.on} against {contrast.off})"


def _unestimable(run: Run, contrast: Contrast) -> str:
    """Why the run says nothing about a contrast."""
    factors: dict[str, tuple[str, ...]] = {
        "segmentation": (TSO_FEATURE,) if "tso" in (contrast.on, contrast.off) else (),
        "tx-checksum": TX_CHECKSUMS,
        "rx-checksum": ("rx-checksum",),
    }
    names = factors[contrast.factor]
    states = {name: run.nic.features[name] for name in names if name in run.nic.features}
    if states and all(fixed for _, _, fixed in states.values()):
        on = [name for name, (active, _, _) in states.items() if active]
        return f"{on[0] if on else names[0]} is fixed {'on' if on else 'off'} on this NIC"
    return "no usable trials that differ in it alone; measure --cases factorial"


def _note(seen: Observations, workload: str, contrast: Contrast, pairs: Pairs) -> str:
    if contrast.factor != "rx-checksum":
        return ""
    trials = [one.trial for block in blocks(seen, workload, pairs) for pair in block for one in pair]
    counts = seen.run.bed.counts_super_packets
    idle = any(
        p.subject == "rx-checksum" and p.verdict == toggle_proof.NO_EFFECT
        for trial in trials
        for p in toggle_proof.judge(trial, counts_super_packets=counts)
    )
    return "the feature bit changed but had no measurable effect: this is no price of RX checksum" if idle else ""


def _foreign(seen: Observations, workload: str, pairs: Pairs, judgement: Judgement) -> str:
    trials = [pair for block in blocks(seen, workload, pairs) for pair in block]
    return foreign.spoils(trials, judgement.differences()[0])


def effects(answers: Answers) -> list[Effect]:
    """Every contrast and headline metric of every workload; what the run cannot tell is named with its reason.

    Empty for a run whose cases differ in none of the factors.
    """
    seen = answers.seen
    found = []
    for workload in seen.workloads():
        if len(cells(seen, workload)) < 2:
            continue
        state = {case: str(cell) for cell, case in cells(seen, workload).items()}
        for contrast, metric in itertools.product((*CONTRASTS, _IMPOSSIBLE), HEADLINES):
            pairs = () if contrast is _IMPOSSIBLE else pairs_of(seen, workload, contrast)
            judgement = answers.of(workload, pairs, metric) if pairs else None
            reason = _IMPOSSIBLE_REASON if contrast is _IMPOSSIBLE else _unestimable(seen.run, contrast)
            found.append(
                Effect(
                    run=seen.run_ids,
                    nic=seen.run.nic.name,
                    workload=workload,
                    contrast=contrast,
                    metric=metric,
                    pairs=pairs if judgement else (),
                    at="; ".join(f"{state[on]} / {state[off]}" for off, on in pairs) if judgement else "",
                    judgement=judgement,
                    reason="" if judgement else reason,
                    note=_note(seen, workload, contrast, pairs) if judgement else "",
                    foreign=_foreign(seen, workload, pairs, judgement) if judgement and metric == COST else "",
                )
            )
    # what can be told comes first
    return sorted(found, key=lambda effect: effect.judgement is None)
