"""`tune --prove`: a plain stream on a lab link of that rate and RTT, before and after the sysctls that are advised."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from offloadbench import traffic
from offloadbench.analysis.tcp_tuning import needs, reachable
from offloadbench.analysis.tcp_tuning.reachable import Stretch
from offloadbench.analysis.trial import link_emulator
from offloadbench.analysis.trial.headers import TIMESTAMPS_SYSCTL
from offloadbench.base.errors import TrafficError
from offloadbench.bed import lab_bed
from offloadbench.bed.testbed import Bed
from offloadbench.definitions import catalog
from offloadbench.engine import rights
from offloadbench.engine.options import RunOptions
from offloadbench.engine.progress_events import Emit, Note
from offloadbench.engine.run.trial_run import WIRE_VOID_RATIO
from offloadbench.engine.standing_bed import open_site
from offloadbench.engine.tcp_tuning.apply import TunedSysctl, present, set_value
from offloadbench.kernel.system import sysctl
from offloadbench.model import EmulatedLink
from offloadbench.traffic.kind_of_traffic import Traffic

WORKLOAD = "tcp-stream"
# the slow start, and what the kernel's own tuning of the buffers needs after it
_SETTLE_S, _SETTLE_RTTS = 2.0, 30
_WINDOW_S = 5.0
# the queue before the cable takes whatever the advised buffers can have under way, frames included: nothing is lost, so
# that buffers and windows alone decide
_FRAMING_FACTOR = 2
_DEFAULT_WMEM_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class TuningProof:
    """What the change was worth.

    Attributes:
        changes: by end: what was set in its namespace.
    """

    before: Stretch
    after: Stretch
    changes: dict[str, list[TunedSysctl]]


def prove(target: needs.PathTarget, sysctls: Mapping[str, str], emit: Emit) -> TuningProof:
    """Measure, set, measure again; the lab's namespaces vanish with what was set.

    Args:
        sysctls: values to begin with, instead of the lab's own.

    Raises:
        HostError: a capability is missing, or no TAP devices.
        TrafficError: the stream failed, or the link emulator could not keep up with the rate.
    """
    rights.for_namespaces("tune --prove")
    lab_bed.require_tun()
    needed = needs.needs(target)
    options = RunOptions(
        nic=lab_bed.LAB,
        cases="",
        workloads=[],
        output=Path(),
        profile=False,
        link=EmulatedLink(
            line_rate_bits_per_s=target.bandwidth_bits_per_s,
            rtt_s=target.rtt_s,
            queue_bytes=_FRAMING_FACTOR * max(needed.tcp_wmem_max_bytes, _DEFAULT_WMEM_BYTES),
        ),
        sysctls=dict(sysctls),
    )
    kind = traffic.from_definition(catalog.workload(WORKLOAD))
    with open_site(options, emit) as site:
        bed = site.bed
        emit(Note("measuring as it is"))
        before = _stretch(bed, kind, target)
        changes: dict[str, list[TunedSysctl]] = {}
        for end in (bed.dut, bed.peer):
            found = present(end.namespace)
            wanted = needs.changes(needed, found)
            changes[end.name] = [
                set_value(site.journal, name, found[name], value, end.namespace) for name, value in wanted.items()
            ]
        emit(Note("measuring with what is advised"))
        return TuningProof(before, _stretch(bed, kind, target), changes)


def _stretch(bed: Bed, kind: Traffic, target: needs.PathTarget) -> Stretch:
    session = kind.start(bed.dut, bed.peer, 0)
    try:
        time.sleep(_SETTLE_S + _SETTLE_RTTS * target.rtt_s)
        bed.mark()
        opened = session.mark()
        time.sleep(_WINDOW_S)
        wire = bed.report()
        closed = session.mark()
        load = session.finish(opened, closed)
    finally:
        session.close()
    if wire and wire.behind_s is not None and wire.behind_s > WIRE_VOID_RATIO * wire.interval_s:
        raise TrafficError(
            f"the link emulator fell behind by {wire.behind_s / wire.interval_s:.1%}: this machine cannot emulate "
            "such a path",
            "prove it at a lower --bandwidth",
        )
    limit = link_emulator.saturated(wire, bed.cable.line_rate_bits_per_s)
    if limit:
        raise TrafficError(f"{limit}: this machine cannot emulate such a path", "prove it at a lower --bandwidth")
    return Stretch(
        reachable.bound(target, _deciding(bed.dut.namespace), _deciding(bed.peer.namespace)),
        load.payload_bytes * 8 / load.interval_s,
        load.interval_s,
    )


def _deciding(namespace: str | None) -> dict[str, str]:
    """The sysctls that decide what a stream can carry: those that can be tuned, and timestamps."""
    return present(namespace) | {TIMESTAMPS_SYSCTL: sysctl.read(TIMESTAMPS_SYSCTL, namespace) or ""}
