"""`run --tune sndbuf`: every workload that has a send buffer runs as it is, and again with one that cannot limit it."""

from __future__ import annotations

import msgspec

from offloadbench.analysis.sender import theory
from offloadbench.base.errors import UsageError
from offloadbench.base.settings import TWIN_SUFFIX
from offloadbench.base.units import format_bytes, parse_size_bytes
from offloadbench.model import WorkloadDefinition

SUFFIX = TWIN_SUFFIX
PARAMETERS = ("sndbuf",)
# below this the kernel's own tuning would be undercut
_LEAST_BYTES = 1 << 18


def with_tuned(
    definitions: list[WorkloadDefinition], line_rate_bits_per_s: int, rtt_s: float
) -> list[WorkloadDefinition]:
    """The workloads, each with a send buffer followed by its tuned twin `NAME-tuned`.

    The twin's buffer comes from the bandwidth-delay product and what the workload has under way at a time
    (`theory.send_buffer_needed_bytes`); SO_SNDBUFFORCE doubles the value that it is given (sock_setsockopt in
    net/core/sock.c).

    Raises:
        UsageError: no workload has a send buffer to set, or the link has no rate and delay to compute it from.
    """
    if not any("sndbuf" in definition.parameters for definition in definitions):
        raise UsageError("--tune sndbuf: no chosen workload has a send buffer", "add --workloads iscsi-write")
    if not line_rate_bits_per_s or not rtt_s:
        raise UsageError("--tune sndbuf needs a link with a rate and a delay", "add --nic lab --rtt 20ms")
    path = theory.Path(float(line_rate_bits_per_s), rtt_s)
    found: list[WorkloadDefinition] = []
    for definition in definitions:
        found.append(definition)
        if "sndbuf" in definition.parameters:
            needed = theory.send_buffer_needed_bytes(path, _exchange(definition))
            value = max(_LEAST_BYTES, -(-needed // 2))
            found.append(
                msgspec.structs.replace(
                    definition,
                    name=definition.name + SUFFIX,
                    title=f"{definition.title}; send buffer raised to {format_bytes(2 * value)}",
                    parameters={**definition.parameters, "sndbuf": value},
                )
            )
    return found


def _exchange(definition: WorkloadDefinition) -> theory.Exchange | None:
    parameters = definition.parameters
    if "queue_depth" not in parameters:
        return None
    block = parse_size_bytes(str(parameters["block_size"]))
    return theory.Exchange(block, int(parameters["queue_depth"]), block, 0)
