"""Call stacks of several cases as one tree of functions, so that any two of them can be compared frame by frame."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from offloadbench.analysis.profile.attributed_samples import QUANTITIES, Attributed
from offloadbench.analysis.profile.attribution import USER, SymbolVerdict
from offloadbench.analysis.trial import metrics
from offloadbench.model import Run

# a frame with less than this of every case's busy weight is counted as its caller
PRUNED_RATIO = 0.0002


@dataclass(frozen=True, slots=True)
class Side:
    """All repeats of one case of one run.

    Attributes:
        sample_value: what one sample weighs, in the unit of `Flames.values`.
        moved_ratio: share of the weight that pruning moved to a caller.
    """

    run: str
    workload: str
    case: str
    sample_value: float
    moved_ratio: float


@dataclass(frozen=True, slots=True)
class Flames:
    """Frames in an order in which callers come first; frame 0 is the whole.

    Attributes:
        parents: frame -> the frame that called it; -1 for the whole.
        names: frame -> process or function; "" for the whole.
        modules: frame -> module of the function itself; "" for the whole and processes.
        values: frames x sides: the frame's own weight without what it called, per byte of payload.
    """

    quantity: str
    sides: list[Side]
    parents: list[int]
    names: list[str]
    modules: list[str]
    values: npt.NDArray[np.float64]


@dataclass(slots=True)
class _Weights:
    """Of one side: payload and samples of its trials, and frame -> own weight."""

    payload_bytes: float
    samples: int
    own: defaultdict[int, float]


class Forest:
    """Grows by one trial at a time; `flames` cuts what is too small to see."""

    def __init__(self) -> None:
        self._frames: dict[tuple[int, str], int] = {(-1, ""): 0}
        self._modules = [""]
        self._sides: dict[tuple[str, str, str, str], _Weights] = {}

    def add(self, item: Attributed) -> None:
        """The busy weight of a trial; nothing for one without call chains or without load."""
        payload = metrics.payload_bytes(item.trial)
        if not payload or item.trial.profile is None or not item.trial.profile.chain_count:
            return
        stacks = item.stacks
        names = item.verdicts.symbols.raw_names
        ends: dict[tuple[str, int], int] = {}
        for quantity, rows in stacks.groupby("quantity"):
            key = (str(quantity), item.run.run_id, item.trial.workload, item.trial.case)
            weights = self._sides.setdefault(key, _Weights(0.0, 0, defaultdict(float)))
            weights.payload_bytes += payload
            weights.samples += int(rows["samples"].sum())
            columns = (rows[name].tolist() for name in ("comm", "chain", "symbol", "value"))
            for comm, chain, symbol, value in zip(*columns, strict=True):
                end = ends.get((comm, chain))
                if end is None:
                    callers = item.frames[chain] if chain >= 0 else []
                    end = self._path(item, [comm, *(names[at] if at >= 0 else "?" for at in callers)])
                    ends[comm, chain] = end
                weights.own[self._frame(item, end, symbol)] += value

    def _path(self, item: Attributed, names: list[str]) -> int:
        """The last frame of a path from the whole, made where it is new."""
        frame = 0
        for name in names:
            frame = self._frame(item, frame, name)
        return frame

    def _frame(self, item: Attributed, parent: int, name: str) -> int:
        frame = self._frames.get((parent, name))
        if frame is None:
            frame = self._frames[parent, name] = len(self._modules)
            self._modules.append(_module(item, name) if parent else "")
        return frame

    def flames(self, runs: list[Run], cases: list[str]) -> Flames | None:
        """The tree, sides in the order of these runs and cases; None where no call chains were recorded."""
        quantities = {key[0] for key in self._sides}
        if not quantities:
            return None
        quantity = min(quantities, key=lambda name: QUANTITIES.index(name) if name in QUANTITIES else len(QUANTITIES))
        runs_order = [run.run_id for run in runs]
        chosen = sorted(
            (key for key in self._sides if key[0] == quantity),
            key=lambda key: (runs_order.index(key[1]), key[2], cases.index(key[3])),
        )
        own = np.zeros((len(self._frames), len(chosen)))
        for column, key in enumerate(chosen):
            weights = self._sides[key]
            own[list(weights.own), column] = list(weights.own.values())
        parents = np.array([parent for parent, _ in self._frames], dtype=np.int64)
        kept, pruned, moved = prune(parents, own, PRUNED_RATIO)
        place = np.cumsum(kept) - 1
        payload = np.array([self._sides[key].payload_bytes for key in chosen])
        names = [name for _, name in self._frames]
        sides = [
            Side(run, workload, case, total / self._sides[key].samples / self._sides[key].payload_bytes, share)
            for key, total, share in zip(chosen, own.sum(axis=0), moved, strict=True)
            for _, run, workload, case in [key]
        ]
        frames = np.flatnonzero(kept).tolist()
        return Flames(
            quantity=quantity,
            sides=sides,
            parents=[int(place[parents[frame]]) if frame else -1 for frame in frames],
            names=[names[frame] for frame in frames],
            modules=[self._modules[frame] for frame in frames],
            values=pruned[kept] / payload,
        )


def _module(item: Attributed, name: str) -> str:
    """The module of a function by its name, whoever was sampled in it."""
    verdicts = item.verdicts
    found = SymbolVerdict(USER, USER) if name == USER else verdicts.of(verdicts.symbols.by_name.get(name, -1))
    return verdicts.shown(found)


def prune(
    parents: npt.NDArray[np.int64], own: npt.NDArray[np.float64], ratio: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Move the weight of every frame that has less than `ratio` of each column to its nearest caller that has more.

    Args:
        parents: frame -> caller, which comes first; -1 for frame 0.
        own: frames x sides.

    Returns:
        Whether each frame stays; own weights after the move (those of frames that go are zero); per side, the share of
        the weight that moved. The sums of the columns do not change.
    """
    total = own.copy()
    for frame in range(len(parents) - 1, 0, -1):
        total[parents[frame]] += total[frame]
    kept: npt.NDArray[np.bool_] = (total >= ratio * total[0]).any(axis=1, where=total > 0)
    kept[0] = True
    gone = np.flatnonzero(~kept)
    roots = gone[kept[parents[gone]]]
    pruned = np.where(kept[:, None], own, 0.0)
    np.add.at(pruned, parents[roots], total[roots])
    whole = np.where(total[0] > 0, total[0], 1.0)
    return kept, pruned, total[roots].sum(axis=0) / whole
