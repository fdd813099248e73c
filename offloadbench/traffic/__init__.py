"""Who sends: one module a kind of traffic, each exporting TRAFFIC."""

from __future__ import annotations

from importlib import import_module

from offloadbench.model import WorkloadDefinition
from offloadbench.traffic.kind_of_traffic import Traffic, TrafficKind


def from_definition(definition: WorkloadDefinition) -> Traffic:
    """The traffic of a workload, its parameters checked."""
    kind: TrafficKind = import_module(f"offloadbench.traffic.{definition.kind}").TRAFFIC
    return kind(definition)
