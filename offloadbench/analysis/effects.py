"""What segmentation, TX checksum and RX checksum each do: contrasts of a factorial run, inside its blocks.

A contrast compares two states that differ in one factor only, averages their logarithms over the states of the other
factors that the run holds on both sides, block by block, and is tested like every other paired change. All contrasts
and headline metrics of a workload are one family. Segmentation is compared with TX checksum on: without it the kernel
cannot hold TSO.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from offloadbench.analysis import proof
from offloadbench.analysis.family import Judgement, judge
from offloadbench.analysis.observations import HEADLINES, Observation, Observations, common_blocks, observations, values
from offloadbench.analysis.statistics import Estimate, indicated, mean_of, paired
from offloadbench.dependencies import TX_CHECKSUMS
from offloadbench.errors import StatisticError
from offloadbench.model import Run

# cases that differ in nothing but these factors
_GROUPS = frozenset({"ladder", "factorial"})
_TSO = "tx-tcp-segmentation"


@dataclass(frozen=True, slots=True)
class Cell:
    """The state of the three factors: segmentation is `tso`, `gso` or `none`."""

    segmentation: str
    tx_checksum: bool
    rx_checksum: bool

    def __str__(self) -> str:
        switches = (("TX", self.tx_checksum), ("RX", self.rx_checksum))
        return ", ".join([self.segmentation, *(f"{name} {'on' if on else 'off'}" for name, on in switches)])


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two levels of a factor; `on` is the one with more offload."""

    factor: str
    subject: str
    on: str
    off: str

    def cells(self) -> Iterator[tuple[Cell, Cell]]:
        """Pairs of states, (on, off), that differ in this factor only and that the kernel can hold."""
        switch = (True, False)
        if self.factor == "segmentation":
            yield from ((Cell(self.on, True, rx), Cell(self.off, True, rx)) for rx in switch)
        elif self.factor == "tx-checksum":
            for segmentation, rx in itertools.product(("gso", "none"), switch):
                yield Cell(segmentation, True, rx), Cell(segmentation, False, rx)
        else:
            for segmentation, tx in itertools.product(("tso", "gso", "none"), switch):
                yield Cell(segmentation, tx, True), Cell(segmentation, tx, False)


CONTRASTS = (
    Contrast("segmentation", "TSO", "tso", "none"),
    Contrast("segmentation", "TSO", "tso", "gso"),
    Contrast("segmentation", "GSO", "gso", "none"),
    Contrast("tx-checksum", "TX checksum", "on", "off"),
    Contrast("rx-checksum", "RX checksum", "on", "off"),
)
# the state that no kernel holds
_IMPOSSIBLE = Contrast("tx-checksum", "TX checksum", "on", "off (with TSO)")
_IMPOSSIBLE_REASON = "the kernel drops TSO when TX checksum is off (netdev_fix_features)"


@dataclass(frozen=True, slots=True)
class Effect:
    """What a factor does to one metric, from `off` to `on`.

    Attributes:
        at: the states over which it was averaged.
        judgement: None where the run cannot tell; `reason` says why.
        note: what to know besides.
    """

    run: str
    nic: str
    workload: str
    contrast: Contrast
    metric: str
    at: str
    judgement: Judgement | None
    reason: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Blocks:
    """The trials behind a contrast: per block one (on, off) pair of trials for each pair of states."""

    pairs: list[list[tuple[Observation, Observation]]]
    states: list[tuple[Cell, Cell]]

    def means(self, metric: str) -> tuple[list[float], list[float]]:
        """Geometric means over the states, off and on, by block."""
        off = [_geometric_mean(values([pair[1] for pair in block], metric)) for block in self.pairs]
        on = [_geometric_mean(values([pair[0] for pair in block], metric)) for block in self.pairs]
        return off, on

    def estimate(self, metric: str) -> Estimate:
        """The change from off to on."""
        if len(self.pairs) > 1:
            return paired(*self.means(metric))
        return mean_of(
            [
                indicated(off.value(metric), on.value(metric), off.batches(metric), on.batches(metric))
                for on, off in self.pairs[0]
            ]
        )


def _geometric_mean(figures: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(figures))))


def cell_of(seen: Observation) -> Cell:
    """The state that the trial really ran in, as it was read back."""
    active = {record.feature for record in seen.trial.features if record.active}
    segmentation = "tso" if _TSO in active else "none" if seen.trial.gso_max_segs == 1 else "gso"
    return Cell(segmentation, any(name in active for name in TX_CHECKSUMS), "rx-checksum" in active)


def _cells(seen: Observations, workload: str) -> dict[Cell, dict[int, Observation]]:
    """The factorial's states in this run, repeat -> trial; the first case on the ladder speaks for its state."""
    groups = {case.definition.name: set(case.definition.groups) for case in seen.run.plan.cases}
    found: dict[Cell, dict[int, Observation]] = {}
    for case in seen.cases(workload):
        if groups.get(case, set()) & _GROUPS:
            trials = seen.case(workload, case)
            found.setdefault(cell_of(next(iter(trials.values()))), trials)
    return found


def blocks_of(seen: Observations, workload: str, contrast: Contrast) -> Blocks | None:
    """The complete blocks of a contrast; None where the run does not hold both of its sides."""
    cells = _cells(seen, workload)
    states = [(on, off) for on, off in contrast.cells() if on in cells and off in cells]
    if not states:
        return None
    blocks = common_blocks(*(cells[cell] for pair in states for cell in pair))
    pairs = [[(cells[on][block], cells[off][block]) for on, off in states] for block in blocks]
    return Blocks(pairs, states) if pairs else None


def _unestimable(run: Run, contrast: Contrast) -> str:
    """Why the run says nothing about a contrast."""
    factors: dict[str, tuple[str, ...]] = {
        "segmentation": (_TSO,) if "tso" in (contrast.on, contrast.off) else (),
        "tx-checksum": TX_CHECKSUMS,
        "rx-checksum": ("rx-checksum",),
    }
    names = factors[contrast.factor]
    states = {name: run.nic.features[name] for name in names if name in run.nic.features}
    if states and all(fixed for _, _, fixed in states.values()):
        on = [name for name, (active, _, _) in states.items() if active]
        return f"{on[0] if on else names[0]} is fixed {'on' if on else 'off'} on this NIC"
    return "no usable trials that differ in it alone; measure --cases factorial"


def _note(blocks: Blocks, contrast: Contrast, run: Run) -> str:
    if contrast.factor != "rx-checksum":
        return ""
    trials = [seen.trial for block in blocks.pairs for pair in block for seen in pair]
    proofs = [p for t in trials for p in proof.judge(t, counts_super_packets=run.bed.counts_super_packets)]
    idle = any(p.subject == "rx-checksum" and p.verdict == proof.NO_EFFECT for p in proofs)
    return "the bit moved and the packets did not care: this is no price of RX checksum" if idle else ""


def effects(run: Run) -> list[Effect]:
    """Every contrast and headline metric of every workload; what the run cannot tell is named with its reason.

    Empty for a run whose cases differ in none of the factors.

    Raises:
        StatisticError: a test cannot be made.
    """
    seen = observations(run)
    found: list[Effect] = []
    for workload in seen.workloads():
        asked: list[tuple[Contrast, str, Blocks]] = []
        silent: list[Effect] = []
        for contrast in CONTRASTS:
            blocks = blocks_of(seen, workload, contrast)
            if blocks is None:
                reason = _unestimable(run, contrast)
                silent += [_silent(run, workload, contrast, metric, reason) for metric in HEADLINES]
            else:
                asked += [(contrast, metric, blocks) for metric in HEADLINES]
        if len(_cells(seen, workload)) < 2:
            continue
        estimates = [_estimate(workload, *question) for question in asked]
        found += [
            Effect(
                run=run.run_id,
                nic=run.nic.name,
                workload=workload,
                contrast=contrast,
                metric=metric,
                at="; ".join(f"{on} / {off}" for on, off in blocks.states),
                judgement=judgement,
                note=_note(blocks, contrast, run),
            )
            for (contrast, metric, blocks), judgement in zip(asked, judge(estimates), strict=True)
        ]
        found += silent
        found += [_silent(run, workload, _IMPOSSIBLE, metric, _IMPOSSIBLE_REASON) for metric in HEADLINES]
    return found


def _estimate(workload: str, contrast: Contrast, metric: str, blocks: Blocks) -> Estimate:
    try:
        return blocks.estimate(metric)
    except StatisticError as error:
        where = f"{workload}, {contrast.on} against {contrast.off}, {metric}"
        raise StatisticError(f"{where}: {error.message}", error.hint) from error


def _silent(run: Run, workload: str, contrast: Contrast, metric: str, reason: str) -> Effect:
    return Effect(run.run_id, run.nic.name, workload, contrast, metric, "", None, reason)
