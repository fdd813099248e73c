"""How the samples of a trial found their modules, as a run file keeps it for readers without this tool."""

from __future__ import annotations

from offloadbench.analysis.profile.attributed_samples import attributed_rows
from offloadbench.analysis.profile.attribution import verdicts_for
from offloadbench.analysis.profile.module_tables import by_method
from offloadbench.definitions import catalog
from offloadbench.model import Run, Trial

PROFILE = "linux"


def method_weights(run: Run, trial: Trial) -> dict[str, dict[str, int]]:
    """event -> method -> weight of its samples in the event's unit, by the shipped profile; empty without a profile."""
    if trial.profile is None:
        return {}
    verdicts = verdicts_for(run, catalog.profile(PROFILE))
    table = by_method(attributed_rows(run, [trial], [trial.profile], verdicts))
    found: dict[str, dict[str, int]] = {}
    for event, method, value in zip(table["event"], table["method"], table["value"].tolist(), strict=True):
        found.setdefault(str(event), {})[str(method)] = int(value)
    return found
