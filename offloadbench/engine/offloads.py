"""Set the offloads and limits of a case at a NIC, journalled before."""

from __future__ import annotations

from offloadbench.engine.undo import Journal
from offloadbench.kernel import features, link
from offloadbench.kernel.features import FeatureChange
from offloadbench.model import CaseDefinition


def apply(journal: Journal, ifname: str, namespace: str | None, case: CaseDefinition) -> FeatureChange:
    """Ask for what the case defines.

    Returns:
        What followed, what was dragged along, what was refused.

    Raises:
        FeatureError: the NIC's features or limits can be neither read nor set.
    """
    change = ask(journal, ifname, namespace, case.features)
    if case.gso_max_segs:
        limits = link.read(ifname, namespace).gso
        journal.add("gso_max_segs", ifname=ifname, namespace=namespace, max_segs=limits.max_segs)
        link.set_gso_max_segs(ifname, case.gso_max_segs, namespace)
    return change


def ask(journal: Journal, ifname: str, namespace: str | None, wanted: dict[str, bool]) -> FeatureChange:
    """Ask for these features."""
    before = features.read(ifname, namespace)
    found = {name: feature.wanted for name, feature in before.items() if not feature.fixed}
    journal.add("features", ifname=ifname, namespace=namespace, wanted=found)
    return features.change(ifname, wanted, namespace)
