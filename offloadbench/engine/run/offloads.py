"""Bring the offloads into a case's state: journalled before, read back after, and compared with what was expected."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from offloadbench.analysis.trial import toggle_proof
from offloadbench.changes.feature_bits import FeatureBits
from offloadbench.changes.gso_segments import GsoMaxSegs
from offloadbench.definitions import catalog, feature_dependencies, nic_ability, plan
from offloadbench.engine.putting_back.journal import Journal
from offloadbench.kernel.netdev import features, link, nic
from offloadbench.kernel.netdev.features import Feature, FeatureChange
from offloadbench.model import CaseDefinition, Driver, FeatureRecord
from offloadbench.roles.ends import End


@dataclass(frozen=True, slots=True)
class Applied:
    """The state that a case came to.

    Attributes:
        lower_features: device below -> what the case did to it.
        after: device -> all its features as they were read back.
        leaves: NICs below the device under test; empty where it is one itself.
        refused: why the case cannot run under its name; "" when it can.
    """

    features: list[FeatureRecord] = field(default_factory=list)
    gso_max_segs: int = 0
    gso_max_size_bytes: int = 0
    lower_features: dict[str, list[FeatureRecord]] = field(default_factory=dict)
    after: dict[str, dict[str, Feature]] = field(default_factory=dict)
    leaves: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    refused: str = ""

    def devices(self, ifname: str) -> list[str]:
        """Those whose drivers may be asked for statistics: the device under test, and the NICs below it."""
        return [ifname, *self.leaves]


def apply(end: End, case: CaseDefinition, journal: Journal) -> Applied:
    """Set the case's offloads and limits on the device under test; what concerns reception, below it as well.

    Raises:
        FeatureError: the kernel does not take a request at all.
    """
    ifname, namespace = end.ifname, end.namespace
    below = link.below(ifname, namespace)
    before = {name: features.read(name, namespace) for name in [ifname, *below.leaves]}
    limits = link.read(ifname, namespace).gso
    received = {bit: value for bit, value in case.features.items() if bit in nic_ability.RECEIVE}
    # the devices below first: what they lose, the one above loses too
    requested = dict.fromkeys(below.leaves, received) | {ifname: case.features}
    wanted = [
        # what is handed down from the device above may be any of them
        FeatureBits.of(name, namespace, before[name], asked, handed_down=case.features)
        for name, asked in requested.items()
    ]
    for change in wanted:
        journal.add(change)
    for change in wanted:
        change.apply()
    # setting the upper one may have moved the lower ones once more (LRO is handed down)
    changed = {name: _came(asked, before[name], features.read(name, namespace)) for name, asked in requested.items()}
    on_top = changed.pop(ifname)
    if case.gso_max_segs:
        journal.make(GsoMaxSegs(ifname=ifname, namespace=namespace, max_segs=limits.max_segs, asked=case.gso_max_segs))
    after = link.read(ifname, namespace).gso
    applied = Applied(
        features=_records(on_top, everything=True),
        gso_max_segs=after.max_segs,
        gso_max_size_bytes=after.max_size_bytes,
        lower_features={name: _records(change, everything=False) for name, change in changed.items()},
        after={ifname: on_top.after} | {name: change.after for name, change in changed.items()},
        leaves=below.leaves,
    )
    return _judged(applied, ifname, case, {ifname: on_top} | changed, _drivers(end, below))


def ask(journal: Journal, ifname: str, namespace: str | None, wanted: dict[str, bool]) -> FeatureChange:
    """Ask one device for these features, which belong to no case."""
    found = features.read(ifname, namespace)
    journal.make(FeatureBits.of(ifname, namespace, found, wanted))
    return _came(wanted, found, features.read(ifname, namespace))


def _came(requested: dict[str, bool], before: dict[str, Feature], after: dict[str, Feature]) -> FeatureChange:
    """What a request for features did; those that the device does not know are left out."""
    return FeatureChange({bit: value for bit, value in requested.items() if bit in before}, before, after)


def _drivers(end: End, below: link.Below) -> list[str]:
    return [nic.driver_info(name, end.namespace)[0] for name in [end.ifname, *below.leaves]]


def _records(change: FeatureChange, *, everything: bool) -> list[FeatureRecord]:
    """What was asked for, what moved, and what verdicts rest on."""
    judged = toggle_proof.JUDGED if everything else toggle_proof.JUDGED & set(nic_ability.RECEIVE)
    return [
        FeatureRecord(
            feature=name,
            requested=change.requested.get(name),
            before=change.before[name].active,
            active=feature.active,
            dragged=name in change.dragged,
            refused=name in change.refused,
            fixed=feature.fixed,
        )
        for name, feature in change.after.items()
        if name in change.requested or name in change.dragged or name in judged
    ]


def _judged(
    applied: Applied, ifname: str, case: CaseDefinition, changes: dict[str, FeatureChange], drivers: list[str]
) -> Applied:
    """The same, with what was refused and what came otherwise than the rules say."""
    refusals = {name: change.refused for name, change in changes.items() if change.refused}
    for name, refused in refusals.items():
        if refused & set(case.defining):
            text = f"case {case.name}: {name} refused {', '.join(sorted(refused & set(case.defining)))}"
            return dataclasses.replace(applied, refused=text)
    warnings = [f"{name} refused {', '.join(sorted(refused))}" for name, refused in refusals.items()]
    warnings += _surprises(ifname, case, changes, drivers)
    return dataclasses.replace(applied, warnings=warnings)


def _surprises(ifname: str, case: CaseDefinition, changes: dict[str, FeatureChange], drivers: list[str]) -> list[str]:
    """Where the kernel did otherwise than its known rules and those of its driver say."""
    known = [driver for name in drivers if (driver := catalog.driver(name))]
    couplings = [coupling for definition in known for coupling in definition.couplings]
    own = catalog.driver(drivers[0])
    found, _ = _combined(ifname, {name: change.before for name, change in changes.items()}, own)
    came, _ = _combined(ifname, {name: change.after for name, change in changes.items()}, own)
    expected = plan.effective_state(case, found, couplings)
    refused = {name for change in changes.values() for name in change.refused}
    return [
        f"{ifname}: {name} is {'on' if came[name][0] else 'off'}, and the known rules say "
        f"{'on' if state else 'off'}: this kernel or driver has a rule of its own"
        for name, state in expected.items()
        if name in came and came[name][0] != state and name not in refused | feature_dependencies.VARIES
    ]


def _combined(
    ifname: str, bits: dict[str, dict[str, Feature]], own: Driver | None
) -> tuple[nic_ability.States, list[str]]:
    states = {
        name: {bit: [feature.active, feature.wanted, feature.fixed] for bit, feature in found.items()}
        for name, found in bits.items()
    }
    return nic_ability.combined(ifname, states.pop(ifname), states, own)
