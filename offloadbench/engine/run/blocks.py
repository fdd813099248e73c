"""Block by block: every trial of the plan, and more blocks until the run is as precise as it was asked to be.

What differs from run to run should differ from block to block as well: only then does the scatter between blocks, on
which every verdict rests, hold it. So whatever can be drawn anew is drawn anew before each block (model `Block`).
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from offloadbench.analysis.comparison import precision
from offloadbench.analysis.profile import contamination
from offloadbench.analysis.profile.method_weights import method_weights
from offloadbench.analysis.trial import metrics
from offloadbench.bed.testbed import Bed
from offloadbench.definitions import plan
from offloadbench.engine.progress_events import Emit, Note, PlanExtended, TrialEnded, TrialStarted
from offloadbench.engine.run import trial_run as trials
from offloadbench.model import Block, PlannedTrial, Run, Trial
from offloadbench.traffic.kind_of_traffic import Traffic

Save = Callable[[Run], None]
# builds the bed anew for a block of this number where it can: the bed from now on, and why it was kept or ""
Rebuild = Callable[[int], tuple[Bed, str]]


def measure(run: Run, setting: trials.TrialSetting, kinds: Mapping[str, Traffic], save: Save, rebuild: Rebuild) -> Run:
    """Run what the plan has and the run lacks, then block after block while `precision` asks for more.

    Args:
        setting: with a bed that was just built.
        kinds: workload -> its traffic.
        save: called after every trial, and with every longer plan, so that a resumed run goes on with it.
        rebuild: called before every block but the first.
    """
    standing = False
    while True:
        for repeat, missing in _missing(run).items():
            block, bed = _begun(repeat, setting.bed, rebuild if standing else None)
            run = _with_surprises(run, block, setting, bed)
            setting = dataclasses.replace(setting, bed=bed)
            run = msgspec.structs.replace(run, blocks=[*run.blocks, block])
            run = _measured(run, setting, kinds, save, missing)
            standing = True
        if not precision.needs_more(run):
            return _told(run, setting.emit)
        run = _longer(run, save, setting.emit)
        setting = dataclasses.replace(setting, plan=run.plan)


def _missing(run: Run) -> dict[int, list[tuple[int, PlannedTrial]]]:
    """Block -> the trials of the plan that it lacks, each with its number in the plan, in the plan's order."""
    done = {(trial.repeat, trial.workload, trial.case) for trial in run.trials}
    found: dict[int, list[tuple[int, PlannedTrial]]] = {}
    for number, planned in enumerate(run.plan.order, 1):
        if (planned.repeat, planned.workload, planned.case) not in done:
            found.setdefault(planned.repeat, []).append((number, planned))
    return found


def _begun(repeat: int, bed: Bed, rebuild: Rebuild | None) -> tuple[Block, Bed]:
    """A block about to be measured, and its bed, anew where that can be; without `rebuild` it was just built."""
    began_utc = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    began_s = time.monotonic()
    kept_reason = ""
    testbed: Literal["built", "rebuilt", "kept"] = "built"
    if rebuild is not None:
        bed, kept_reason = rebuild(repeat)
        testbed = "kept" if kept_reason else "rebuilt"
    block = Block(
        repeat=repeat,
        began_utc=began_utc,
        testbed=testbed,
        kept_reason=kept_reason,
        build_s=time.monotonic() - began_s if testbed == "rebuilt" else 0.0,
        loss_seed=bed.cable.loss_seed,
    )
    return block, bed


def _with_surprises(run: Run, block: Block, setting: trials.TrialSetting, bed: Bed) -> Run:
    """The run with a warning where a bed that was built again is not what it was."""
    was = setting.bed
    if (was.settings, was.problems) == (bed.settings, bed.problems):
        return run
    keys = sorted(
        key for key in was.settings.keys() | bed.settings.keys() if was.settings.get(key) != bed.settings.get(key)
    )
    changes = [f"{key} {was.settings.get(key)} -> {bed.settings.get(key)}" for key in keys]
    changes += [problem for problem in bed.problems if problem not in was.problems]
    text = f"block {block.repeat}: the testbed was built again and came out otherwise: {'; '.join(changes)}"
    setting.emit(Note(text))
    return msgspec.structs.replace(run, warnings=[*run.warnings, text])


def _measured(
    run: Run,
    setting: trials.TrialSetting,
    kinds: Mapping[str, Traffic],
    save: Save,
    missing: Sequence[tuple[int, PlannedTrial]],
) -> Run:
    """The run with these trials of one block."""
    cases = {case.definition.name: case for case in run.plan.cases}
    for number, planned in missing:
        setting.emit(TrialStarted(planned, number, len(run.plan.order)))
        trial = trials.run_trial(setting, planned, cases[planned.case], kinds[planned.workload])
        trial = _with_others(run, trial) if trial.outcome == "ok" else trial
        # needs the kernel's symbols, which are the run's
        trial = msgspec.structs.replace(trial, method_weights=method_weights(run, trial))
        run = msgspec.structs.replace(run, trials=[*run.trials, trial])
        save(run)
        setting.emit(TrialEnded(trial, metrics.of_trial(run, trial), len(run.bed.dut_cpus)))
    return run


def _with_others(run: Run, trial: Trial) -> Trial:
    """The trial with what other processes took, and a warning where that is worth one."""
    use = contamination.derived(run, trial)
    if math.isnan(use.ratio):
        return trial
    trial = msgspec.structs.replace(trial, foreign=use)
    return msgspec.structs.replace(trial, warnings=[*trial.warnings, *contamination.warnings(run, trial)])


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
