"""The order of work: which cases run on this NIC, and in which order.

Repeats are complete blocks, each block all cases x workloads in seeded random order, so that drift hits all
alike and a comparison can pair inside blocks.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from offloadbench.model import CaseDefinition, Plan, PlannedCase, PlannedTrial, WorkloadDefinition

# as found: name -> [active, wanted, fixed]
FeatureStates = Mapping[str, list[bool]]


def effective_state(case: CaseDefinition, features: FeatureStates) -> dict[str, bool]:
    """The bits that the case would end in: what it asks for, except where the NIC is fixed; absent ones left out."""
    state = {}
    for name, wanted in case.features.items():
        if name in features:
            active, _, fixed = features[name]
            state[name] = active if fixed else wanted
    return state


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
    )
