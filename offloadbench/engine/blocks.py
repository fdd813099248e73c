"""Block by block: every trial of the plan, and more blocks until the run is as precise as it was asked to be."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import msgspec

from offloadbench import plan
from offloadbench.analysis import contamination, metrics, precision
from offloadbench.analysis.method_weights import method_weights
from offloadbench.engine import trial as trials
from offloadbench.engine.events import Emit, Note, PlanExtended, TrialEnded, TrialStarted
from offloadbench.model import Run
from offloadbench.traffic.base import Traffic

Save = Callable[[Run], None]


def measure(run: Run, setting: trials.Setting, kinds: Mapping[str, Traffic], save: Save) -> Run:
    """Run what the plan has and the run lacks, then block after block while `precision` asks for more.

    Args:
        kinds: workload -> its traffic.
        save: called after every trial, and with every longer plan, so that a resumed run goes on with it.
    """
    run = _planned(run, setting, kinds, save)
    while precision.needs_more(run):
        run = _longer(run, save, setting.emit)
        run = _planned(run, dataclasses.replace(setting, plan=run.plan), kinds, save)
    return _told(run, setting.emit)


def _planned(run: Run, setting: trials.Setting, kinds: Mapping[str, Traffic], save: Save) -> Run:
    done = {(trial.repeat, trial.workload, trial.case) for trial in run.trials}
    cases = {case.definition.name: case for case in run.plan.cases}
    for number, planned in enumerate(run.plan.order, 1):
        if (planned.repeat, planned.workload, planned.case) in done:
            continue
        setting.emit(TrialStarted(planned, number, len(run.plan.order)))
        trial = trials.run_trial(setting, planned, cases[planned.case], kinds[planned.workload])
        # both need the kernel's symbols, which are the run's
        foreign = contamination.warnings(run, trial) if trial.outcome == "ok" else []
        trial = msgspec.structs.replace(
            trial, method_weights=method_weights(run, trial), warnings=[*trial.warnings, *foreign]
        )
        run = msgspec.structs.replace(run, trials=[*run.trials, trial])
        save(run)
        setting.emit(TrialEnded(trial, metrics.of_trial(run, trial), len(run.bed.dut_cpus)))
    return run


def _longer(run: Run, save: Save, emit: Emit) -> Run:
    """The run with a plan of one block more."""
    widest = precision.widths(run)[0]
    emit(Note(f"after {run.plan.repeats} repeats the widest interval is {widest}: one block more"))
    run = msgspec.structs.replace(run, plan=plan.extended(run.plan))
    save(run)
    emit(PlanExtended(run.plan))
    return run


def _told(run: Run, emit: Emit) -> Run:
    """The run with a warning where its precision was not reached."""
    wanted = run.plan.precision_ratio
    widest = precision.widths(run)[0] if wanted else None
    if widest is None or widest.half_ratio <= wanted:
        return run
    text = f"precision ±{100 * wanted:.3g} % was not reached in {run.plan.repeats} repeats: the widest is {widest}"
    emit(Note(text))
    return msgspec.structs.replace(run, warnings=[*(w for w in run.warnings if not w.startswith("precision ")), text])
