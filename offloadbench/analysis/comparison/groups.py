"""Runs that stand on one side of a comparison, and what else differs between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from offloadbench.analysis.comparison.compatibility import metadata_differences, obstacles
from offloadbench.analysis.statistics.run_means import KnownScatter
from offloadbench.base.errors import RunFileError
from offloadbench.model import Run


@dataclass(frozen=True, slots=True)
class RunGroup:
    """Runs of one configuration.

    Attributes:
        name: of the side.
        names: of the run files, in the order of `runs`.
    """

    name: str
    runs: Sequence[Run]
    names: Sequence[str]


def single(run: Run, name: str) -> RunGroup:
    """A side of one run."""
    return RunGroup(name, [run], [name])


@dataclass(frozen=True, slots=True)
class ScatterSource:
    """What is known of the scatter between runs besides the runs that are compared.

    Attributes:
        group: more runs of the configuration.
        given: metric -> its scatter, as the user knows it.
    """

    group: RunGroup = field(default_factory=lambda: RunGroup("--scatter-from", [], []))
    given: Mapping[str, KnownScatter] = field(default_factory=dict)


def _refuse_copies(groups: Sequence[RunGroup]) -> None:
    """A run counted twice would make the scatter look small."""
    seen: dict[str, str] = {}
    for group in groups:
        for run, name in zip(group.runs, group.names, strict=True):
            if run.run_id in seen:
                raise RunFileError(f"{seen[run.run_id]} and {name} are the same run", "give every run once")
            seen[run.run_id] = name


def differences(groups: Sequence[RunGroup], scatter: ScatterSource, *, force: bool) -> list[str]:
    """What differs between the first side and the others, inside a side, and in time, as sentences.

    Raises:
        RunFileError: the runs do not answer the same question, and `force` is not set; or one is given twice.
    """
    base = groups[0]
    every = [*groups, scatter.group]
    if any(len(group.runs) > 1 for group in every) or scatter.group.runs:
        _refuse_copies(every)
    found: dict[str, None] = {}
    for group in every:
        for run, name in zip(group.runs, group.names, strict=True):
            if run is base.runs[0]:
                continue
            hindrances = obstacles(base.runs[0], run)
            if hindrances and not force:
                raise RunFileError(
                    f"these runs cannot be compared: {'; '.join(hindrances)}", "run both alike, or add --force"
                )
            # of the runs of a side the first is compared with the baseline, the others with it
            first = base.runs[0] if run is group.runs[0] else group.runs[0]
            texts = [*hindrances, *metadata_differences(first, run)]
            inside = f"{name} against {group.names[0]}: " if first is not base.runs[0] or group is base else ""
            prefix = inside or (f"{name}: " if len(groups) > 2 or group is scatter.group else "")
            found |= {f"{prefix}{text}": None for text in texts}
    return [*found, *_in_time(groups)]


def _in_time(groups: Sequence[RunGroup]) -> Iterator[str]:
    base, *others = groups
    for other in others:
        if len(base.runs) + len(other.runs) < 3:
            continue
        times = [[run.created_utc for run in group.runs] for group in (base, other)]
        if max(times[0]) < min(times[1]) or max(times[1]) < min(times[0]):
            yield (
                f"time: all runs of {base.name} were made before or after all of {other.name}; what changed meanwhile "
                "cannot be separated from the change: alternate them"
            )
