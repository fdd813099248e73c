"""The order of work: which cases run on this NIC, and in which order.

Repeats are complete blocks, each block all cases x workloads in seeded random order, so that drift hits all
alike and a comparison can pair inside blocks.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from offloadbench.model import CaseDefinition, Plan, PlannedCase, PlannedTrial, WorkloadDefinition
from offloadbench.units import format_duration

# as found: name -> [active, wanted, fixed]
FeatureStates = Mapping[str, list[bool]]

# what a trial takes besides its warm-up and its window: apply, start, drain, read the profile
TRIAL_OVERHEAD_S = 5.0


def effective_state(case: CaseDefinition, features: FeatureStates) -> dict[str, bool]:
    """The bits that the case would end in: as found, except what it asks for and the NIC lets it change."""
    return {name: active if fixed else case.features.get(name, active) for name, (active, _, fixed) in features.items()}


def fixed_against(case: CaseDefinition, features: FeatureStates) -> list[str]:
    """The case's defining features that are fixed at the opposite value, or absent though wanted on."""
    against = []
    for name in case.defining:
        wanted = case.features[name]
        if name not in features:
            if wanted:
                against.append(f"{name} does not exist here")
        elif features[name][2] and features[name][0] != wanted:
            against.append(f"{name} is fixed {'on' if features[name][0] else 'off'}")
    return against


def resolve_cases(cases: list[CaseDefinition], features: FeatureStates) -> list[PlannedCase]:
    """Merge cases that come to the same state on this NIC; skip those that would run under a false name.

    The merged trial bears the name of the first case that the NIC can hold as defined.
    """
    groups: dict[tuple[object, ...], list[CaseDefinition]] = {}
    for case in cases:
        state = (case.gso_max_segs, *sorted(effective_state(case, features).items()))
        groups.setdefault(state, []).append(case)
    planned = []
    for members in groups.values():
        honest = [case for case in members if not fixed_against(case, features)]
        lead = (honest or members)[0]
        reason = "" if honest else f"case {lead.name}: {'; '.join(fixed_against(lead, features))} on this NIC"
        others = [case.name for case in members if case.name != lead.name]
        planned.append(PlannedCase(definition=lead, also_named=others, skip_reason=reason))
    return planned


def make_plan(
    cases: list[CaseDefinition],
    workloads: list[WorkloadDefinition],
    features: FeatureStates,
    *,
    repeats: int,
    duration_s: int,
    warmup_s: float,
    seed: int,
    profile: bool = True,
    call_graph: bool = False,
) -> Plan:
    """Resolve the cases for a NIC and draw the order of all trials from the seed."""
    planned = resolve_cases(cases, features)
    generator = random.Random(seed)  # noqa: S311 - an order that can be repeated, not a secret
    order: list[PlannedTrial] = []
    for repeat in range(1, repeats + 1):
        block = [
            PlannedTrial(repeat=repeat, workload=workload.name, case=case.definition.name)
            for workload in workloads
            for case in planned
        ]
        generator.shuffle(block)
        order += block
    return Plan(
        cases=planned,
        workloads=workloads,
        repeats=repeats,
        duration_s=duration_s,
        warmup_s=warmup_s,
        seed=seed,
        order=order,
        profile=profile,
        call_graph=call_graph,
    )


def expected_s(plan: Plan, done: int = 0) -> float:
    """Expected wall time of the trials still to run."""
    return (len(plan.order) - done) * (plan.duration_s + plan.warmup_s + TRIAL_OVERHEAD_S)


def describe(plan: Plan, nic_name: str, features: FeatureStates, done: AbstractSet[tuple[int, str, str]]) -> list[str]:
    """The plan as lines: order, duration, and every setting that would be touched, with its present value."""
    left = [trial for trial in plan.order if (trial.repeat, trial.workload, trial.case) not in done]
    lines = [
        f"{len(left)} trials on {nic_name}, about {format_duration(expected_s(plan, len(done)))}, seed {plan.seed}"
    ]
    lines += [
        f"{number:3d}. repeat {trial.repeat}: {trial.workload} {trial.case}"
        for number, trial in enumerate(plan.order, 1)
        if trial in left
    ]
    for case in plan.cases:
        names = ", ".join([case.definition.name, *case.also_named])
        lines.append(f"case {names}: {case.skip_reason or case.definition.title}")
        if case.skip_reason:
            continue
        for name, wanted in case.definition.features.items():
            if name in features and not features[name][2]:
                found = "on" if features[name][0] else "off"
                lines.append(f"  {nic_name} {name}: {found} -> {'on' if wanted else 'off'}")
        if case.definition.gso_max_segs:
            lines.append(f"  {nic_name} gso_max_segs: as found -> {case.definition.gso_max_segs}")
    lines.append("everything is put back as found after each trial, and by `offloadbench restore` after a kill")
    return lines
