"""Segmentation, TX checksum and RX checksum as factors: which cases of a run differ in one of them only.

A case belongs to the factorial by the state that its trials really ran in. Segmentation is compared with TX checksum
on: without it the kernel cannot hold TSO.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from offloadbench.analysis.comparison.usable_trials import Observation, Observations
from offloadbench.definitions.feature_dependencies import TX_CHECKSUMS

# cases that differ in nothing but these factors
_GROUPS = frozenset({"ladder", "factorial"})
TSO_FEATURE = "tx-tcp-segmentation"
NO_SEGMENTATION = "no segmentation offload"
Pairs = tuple[tuple[str, str], ...]
"""Pairs of cases, (a, b): b is compared with a. Several are averaged inside each block."""


@dataclass(frozen=True, slots=True)
class FactorState:
    """The state of the three factors: segmentation is `tso`, `gso` or `no segmentation offload`."""

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

    def cells(self) -> Iterator[tuple[FactorState, FactorState]]:
        """Pairs of states, (on, off), that differ in this factor only and that the kernel can hold."""
        switch = (True, False)
        if self.factor == "segmentation":
            yield from ((FactorState(self.on, True, rx), FactorState(self.off, True, rx)) for rx in switch)
        elif self.factor == "tx-checksum":
            for segmentation, rx in itertools.product(("gso", NO_SEGMENTATION), switch):
                yield FactorState(segmentation, True, rx), FactorState(segmentation, False, rx)
        else:
            for segmentation, tx in itertools.product(("tso", "gso", NO_SEGMENTATION), switch):
                yield FactorState(segmentation, tx, True), FactorState(segmentation, tx, False)


CONTRASTS = (
    Contrast("segmentation", "TSO", "tso", NO_SEGMENTATION),
    Contrast("segmentation", "TSO", "tso", "gso"),
    Contrast("segmentation", "GSO", "gso", NO_SEGMENTATION),
    Contrast("tx-checksum", "TX checksum", "on", "off"),
    Contrast("rx-checksum", "RX checksum", "on", "off"),
)


def cell_of(seen: Observation) -> FactorState:
    """The state that the trial really ran in, as it was read back."""
    active = {record.feature for record in seen.trial.features if record.active}
    segmentation = "tso" if TSO_FEATURE in active else NO_SEGMENTATION if seen.trial.gso_max_segs == 1 else "gso"
    return FactorState(segmentation, any(name in active for name in TX_CHECKSUMS), "rx-checksum" in active)


def cells(seen: Observations, workload: str) -> dict[FactorState, str]:
    """The factorial's states in this run, each with the first case on the ladder that ran in it."""
    groups = {case.definition.name: set(case.definition.groups) for case in seen.run.plan.cases}
    found: dict[FactorState, str] = {}
    for case in seen.cases(workload):
        if groups.get(case, set()) & _GROUPS:
            found.setdefault(cell_of(next(iter(seen.case(workload, case).values()))), case)
    return found


def pairs_of(seen: Observations, workload: str, contrast: Contrast) -> Pairs:
    """The cases behind a contrast, (off, on); empty where the run does not hold both of its sides."""
    known = cells(seen, workload)
    return tuple((known[off], known[on]) for on, off in contrast.cells() if on in known and off in known)
