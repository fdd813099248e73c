"""Made-up runs on two sides of a comparison: a ladder of three cases, of which csum may cost more."""

from __future__ import annotations

from offloadbench.analysis.comparison import changes
from offloadbench.analysis.comparison.changes import Comparison
from offloadbench.analysis.comparison.groups import RunGroup
from offloadbench.model import Profile, Run
from tests.unit.repeats import noise, of_costs

LEVELS = {"tso": 0.6, "csum": 2.0, "none": 3.0}


def costs(level: float, seed: int, repeats: int = 5, sigma: float = 0.01) -> list[float]:
    """The costs of repeats."""
    return [level * factor for factor in noise(repeats, sigma, seed)]


def ladder(
    base: Run, scale: float = 1.0, seed: int = 1, *, repeats: int = 5, sigma: float = 0.01, name: str = "a"
) -> Run:
    """A run whose case csum costs so much more."""
    found = {
        case: costs(level * (scale if case == "csum" else 1), seed * 10 + i, repeats, sigma)
        for i, (case, level) in enumerate(LEVELS.items())
    }
    return of_costs(base, found, seed=seed * 100, run_id=name)


def group(
    base: Run, scale: float = 1.0, seed: int = 1, *, runs: int = 3, name: str = "a", sigma: float = 0.01
) -> RunGroup:
    """Runs of one configuration; nothing but their trials scatters."""
    names = [f"{name}{index}" for index in range(1, runs + 1)]
    made = [ladder(base, scale, seed * 10 + index, sigma=sigma, name=run_id) for index, run_id in enumerate(names)]
    return RunGroup(f"{name}.json", made, [f"{run_id}.json" for run_id in names])


def between(a: Run, b: Run, profile: Profile, **options: object) -> Comparison:
    """One run a side."""
    return changes.between([a, b], ["a.json", "b.json"], profile, **options)  # type: ignore[arg-type]


def sides(base: Run, profile: Profile, scale: float = 1.0, sigma: float = 0.01, **options: object) -> Comparison:
    """Three runs against three."""
    groups = [group(base, sigma=sigma), group(base, scale, 2, name="b", sigma=sigma)]
    return changes.between_groups(groups, profile, **options)  # type: ignore[arg-type]
