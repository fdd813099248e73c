"""The order of work: which cases run on this NIC, and in which order.

Repeats are complete blocks, each block all cases x workloads in seeded random order, so that drift hits all
alike and a comparison can pair inside blocks.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from offloadbench.base import similar
from offloadbench.base.errors import FeatureError, UsageError
from offloadbench.base.units import format_duration
from offloadbench.definitions import feature_dependencies
from offloadbench.definitions.catalog import ALIASES, OWN_GROUP
from offloadbench.model import CaseDefinition, Coupling, Plan, PlannedCase, PlannedTrial, WorkloadDefinition

# as found: name -> [active, wanted, fixed]
FeatureStates = Mapping[str, list[bool]]

# what a trial takes besides its warm-up and its window: apply, start, drain, read the profile; 2.4 to 3 s seen on
# lab-veth, with its part of building the testbed again
TRIAL_OVERHEAD_S = 2.5


def _asked(case: CaseDefinition, features: FeatureStates, couplings: Sequence[Coupling]) -> dict[str, bool]:
    """The bits that the core gets to judge: as found, except what the case asks for and the NIC lets it change.

    A bit that is wanted but masked by a dependency comes back with what it depends on.
    """
    wanted = {name: active if fixed else want for name, (active, want, fixed) in features.items()}
    _, masked = feature_dependencies.hold(wanted, couplings)
    found = {name: active or name in masked for name, (active, _, _) in features.items()}
    return {
        name: found[name] if fixed else case.features.get(name, found[name]) for name, (_, _, fixed) in features.items()
    }


def effective_state(
    case: CaseDefinition, features: FeatureStates, couplings: Sequence[Coupling] = ()
) -> dict[str, bool]:
    """The bits that the case would end in, after driver and kernel have dropped what depends on others."""
    return feature_dependencies.hold(_asked(case, features, couplings), couplings)[0]


def dragged(case: CaseDefinition, features: FeatureStates, couplings: Sequence[Coupling] = ()) -> dict[str, str]:
    """What driver and kernel switch off though the case does not ask for it: feature -> reason."""
    _, dropped = feature_dependencies.hold(_asked(case, features, couplings), couplings)
    return {name: reason for name, reason in dropped.items() if features[name][0] and case.features.get(name) is None}


def held_against(case: CaseDefinition, features: FeatureStates, couplings: Sequence[Coupling] = ()) -> list[str]:
    """Why the NIC or the kernel cannot hold the features that define the case; empty when they can."""
    against = []
    state, dropped = feature_dependencies.hold(_asked(case, features, couplings), couplings)
    checksummed = any(state.get(name, False) for name in feature_dependencies.TX_CHECKSUMS)
    for name in case.defining:
        wanted = case.features[name]
        if wanted and name in feature_dependencies.TX_CHECKSUMS and checksummed:
            continue
        if name not in features:
            if wanted:
                against.append(f"{name} does not exist here")
        elif features[name][2] and features[name][0] != wanted:
            against.append(f"{name} is fixed {'on' if features[name][0] else 'off'}")
        elif state[name] != wanted:
            against.append(f"{name} {dropped[name]}")
    return against


def check_own_cases(cases: Sequence[CaseDefinition], features: FeatureStates) -> None:
    """A feature that this kernel does not know is a misspelt one, in a case that was written by hand for this run.

    Raises:
        UsageError: such a feature.
    """
    for case in cases:
        unknown = sorted(case.features.keys() - features.keys()) if OWN_GROUP in case.groups else []
        aliased = {name for names in ALIASES.values() for name in names}
        wrong = [name for name in unknown if name not in aliased]
        if wrong:
            raise UsageError(
                f"--cases {case.name}: this kernel knows no feature {wrong[0]!r}",
                similar.hint(wrong[0], features, "see `ethtool -k`"),
            )


def resolve_cases(
    cases: list[CaseDefinition], features: FeatureStates, couplings: Sequence[Coupling] = ()
) -> list[PlannedCase]:
    """Merge cases that come to the same state on this NIC; skip those that would run under a false name.

    The merged trial bears the name of the first case that the NIC can hold as defined.
    """
    groups: dict[tuple[object, ...], list[CaseDefinition]] = {}
    for case in cases:
        state = (case.gso_max_segs, *sorted(effective_state(case, features, couplings).items()))
        groups.setdefault(state, []).append(case)
    planned = []
    for members in groups.values():
        honest = [case for case in members if not held_against(case, features, couplings)]
        lead = (honest or members)[0]
        reason = "" if honest else f"case {lead.name}: {'; '.join(held_against(lead, features, couplings))} on this NIC"
        others = [case.name for case in members if case.name != lead.name]
        planned.append(PlannedCase(definition=lead, also_named=others, skip_reason=reason))
    return planned


def require_measurable(cases: Sequence[PlannedCase], nic_name: str) -> None:
    """Raise FeatureError where no case can run under its name: there is nothing to measure."""
    if cases and all(case.skip_reason for case in cases):
        raise FeatureError(
            f"{nic_name}: none of the cases can be measured: {cases[0].skip_reason}",
            f"offloadbench cases --nic {nic_name} lists what it can",
        )


def draw_order(
    cases: Sequence[PlannedCase], workloads: Sequence[WorkloadDefinition], repeats: int, seed: int
) -> list[PlannedTrial]:
    """Complete blocks in random order; with more repeats the same seed gives the same blocks first."""
    generator = random.Random(seed)  # noqa: S311 - an order that can be repeated, not a secret
    order: list[PlannedTrial] = []
    for repeat in range(1, repeats + 1):
        block = [
            PlannedTrial(repeat=repeat, workload=workload.name, case=case.definition.name)
            for workload in workloads
            for case in cases
        ]
        generator.shuffle(block)
        order += block
    return order


def extended(plan: Plan) -> Plan:
    """The plan with one block more, as if it had been asked for at the start."""
    repeats = plan.repeats + 1
    block = [t for t in draw_order(plan.cases, plan.workloads, repeats, plan.seed) if t.repeat == repeats]
    return msgspec.structs.replace(plan, repeats=repeats, order=[*plan.order, *block])


def make_plan(
    cases: list[CaseDefinition],
    workloads: list[WorkloadDefinition],
    features: FeatureStates,
    *,
    couplings: Sequence[Coupling] = (),
    repeats: int,
    duration_s: int,
    warmup_s: float,
    seed: int,
    profile: bool = True,
    call_graph: bool = False,
    waits: bool = False,
    capture: bool = False,
    precision_ratio: float = 0.0,
    max_repeats: int = 0,
) -> Plan:
    """Resolve the cases for a NIC and draw the order of all trials from the seed.

    Raises:
        UsageError: a case written by hand names a feature that this kernel does not know.
    """
    check_own_cases(cases, features)
    planned = resolve_cases(cases, features, couplings)
    return Plan(
        cases=planned,
        workloads=workloads,
        repeats=repeats,
        duration_s=duration_s,
        warmup_s=warmup_s,
        seed=seed,
        order=draw_order(planned, workloads, repeats, seed),
        profile=profile,
        call_graph=call_graph,
        waits=waits,
        capture=capture,
        precision_ratio=precision_ratio,
        max_repeats=max_repeats,
    )


def expected_s(plan: Plan, done: int = 0) -> float:
    """Expected wall time of the trials still to run."""
    return (len(plan.order) - done) * (plan.duration_s + plan.warmup_s + TRIAL_OVERHEAD_S)


def describe(
    plan: Plan,
    nic_name: str,
    features: FeatureStates,
    done: AbstractSet[tuple[int, str, str]],
    couplings: Sequence[Coupling] = (),
) -> list[str]:
    """The plan as lines: order, duration, and every setting that would be touched, with its present value."""
    skipped = {case.definition.name for case in plan.cases if case.skip_reason}
    left = [
        trial
        for trial in plan.order
        if (trial.repeat, trial.workload, trial.case) not in done and trial.case not in skipped
    ]
    takes_s = expected_s(plan, len(plan.order) - len(left))
    lines = [f"{len(left)} trials on {nic_name}, about {format_duration(takes_s)}, seed {plan.seed}"]
    if plan.precision_ratio:
        most_s = expected_s(plan) / plan.repeats * plan.max_repeats
        lines.append(
            f"then blocks are added until every headline interval is within ±{100 * plan.precision_ratio:.3g} %, "
            f"at most {plan.max_repeats} repeats, about {format_duration(most_s)} in all"
        )
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
        for name, why in dragged(case.definition, features, couplings).items():
            lines.append(f"  {nic_name} {name}: on -> off by the kernel ({why})")
        if case.definition.gso_max_segs:
            lines.append(f"  {nic_name} gso_max_segs: as found -> {case.definition.gso_max_segs}")
    lines.append("everything is put back as found after each trial, and by `offloadbench restore` after a kill")
    return lines
