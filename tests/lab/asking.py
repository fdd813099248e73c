"""Features of a NIC asked for at once, as a case asks for them, without a journal."""

from __future__ import annotations

from offloadbench.changes.feature_bits import FeatureBits
from offloadbench.kernel.netdev import features
from offloadbench.kernel.netdev.features import FeatureChange


def change(ifname: str, requested: dict[str, bool], namespace: str | None = None) -> FeatureChange:
    """Ask, and read back what came of it."""
    before = features.read(ifname, namespace)
    FeatureBits.of(ifname, namespace, before, requested).apply()
    known = {name: value for name, value in requested.items() if name in before}
    return FeatureChange(known, before, features.read(ifname, namespace))
