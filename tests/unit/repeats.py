"""Made-up runs with repeats, whose trials have exactly the figures that a test asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from offloadbench.definitions import catalog
from offloadbench.definitions.plan import draw_order, effective_state
from offloadbench.files.packed_columns import pack_text
from offloadbench.model import CaseDefinition, FeatureRecord, PlannedCase, ProfileCounts, Run, Trial
from tests.unit.builders import CLOCK, load, profile_counts, samples, trial, workload

SECONDS = 12
RATE_BITS_PER_S = 1e9
ON, FIXED_OFF = [True, True, False], [False, False, True]
# every offload of the factorial can be switched
_SWITCHES = "tx-scatter-gather tx-generic-segmentation tx-tcp-segmentation tx-checksum-ip-generic rx-checksum rx-gro"
ABLE = dict.fromkeys(_SWITCHES.split(), ON)
KALLSYMS = "0000000000001000 T tcp_sendmsg\n0000000000002000 T skb_segment\n0000000000003000 T do_csum\n"
ADDRESSES = {"tcp": 0x1001, "gso": 0x2001, "checksum": 0x3001}


def noise(count: int, sigma: float, seed: int) -> list[float]:
    """Lognormal factors around one."""
    return [float(value) for value in np.exp(np.random.default_rng(seed).normal(0, sigma, count))]


def records(case: CaseDefinition, features: Mapping[str, list[bool]]) -> list[FeatureRecord]:
    state = effective_state(case, features)
    return [
        FeatureRecord(
            feature=name,
            requested=case.features.get(name),
            before=active,
            active=state[name],
            dragged=False,
            refused=False,
            fixed=fixed,
        )
        for name, (active, _, fixed) in features.items()
    ]


def modules_of(costs_ns: Mapping[str, float]) -> ProfileCounts:
    """A profile with this CPU time per byte of payload in each module."""
    payload = RATE_BITS_PER_S / 8 * SECONDS
    rows = [
        (ADDRESSES[name], "K", 0, 0, 0, round(cost * payload / 1e6), round(cost * payload))
        for name, cost in costs_ns.items()
    ]
    return profile_counts(rows, [CLOCK])


def measured(
    case: CaseDefinition,
    repeat: int,
    cost_s_per_gb: float,
    *,
    rate_bits_per_s: float = RATE_BITS_PER_S,
    features: Mapping[str, list[bool]] = ABLE,
    also_named: Sequence[str] = (),
    workload_name: str = "ftp-get",
    modules_ns: Mapping[str, float] | None = None,
) -> Trial:
    """An ok trial of 12 s with these figures."""
    payload_per_s = rate_bits_per_s / 8
    busy = cost_s_per_gb * payload_per_s / 1e9
    assert busy < 1
    return trial(
        repeat=repeat,
        workload=workload_name,
        case=case.name,
        also_named=list(also_named),
        features=records(case, features),
        gso_max_segs=case.gso_max_segs or 65535,
        window_s=float(SECONDS),
        samples=samples(SECONDS, cpu_idle_exact_s=1 - busy, tx_bytes=payload_per_s, tx_packets=payload_per_s / 1500),
        load=load(round(payload_per_s * SECONDS), float(SECONDS)),
        profile=modules_of(modules_ns) if modules_ns is not None else None,
    )


def repeated(
    base: Run, trials: Sequence[Trial], *, features: Mapping[str, list[bool]] = ABLE, run_id: str = "made"
) -> Run:
    """The base's host and NIC around these trials, with the shipped cases of their names."""
    known = {case.name: case for case in catalog.all_cases()}
    names = sorted({t.case for t in trials}, key=lambda name: known[name].order)
    also = {t.case: t.also_named for t in trials}
    cases = [PlannedCase(definition=known[name], also_named=also[name]) for name in names]
    workloads = [workload(name) for name in dict.fromkeys(t.workload for t in trials)]
    repeats = max((t.repeat for t in trials), default=1)
    return msgspec.structs.replace(
        base,
        run_id=run_id,
        bed=msgspec.structs.replace(base.bed, dut_cpus=[0], counts_super_packets=False),
        nic=msgspec.structs.replace(base.nic, features=dict(features)),
        plan=msgspec.structs.replace(
            base.plan,
            cases=cases,
            workloads=workloads,
            repeats=repeats,
            order=draw_order(cases, workloads, repeats, base.plan.seed),
        ),
        kallsyms=msgspec.structs.replace(base.kallsyms, text=pack_text(KALLSYMS), ko_paths={}, sources=""),
        trials=list(trials),
    )


def of_costs(
    base: Run, costs: Mapping[str, Sequence[float]], *, sigma: float = 0.003, seed: int = 1, run_id: str = "made"
) -> Run:
    """case -> cost of each repeat; the throughput scatters by `sigma`."""
    cases = {case.name: case for case in catalog.all_cases()}
    trials = [
        measured(cases[name], repeat, cost, rate_bits_per_s=RATE_BITS_PER_S * factor)
        for index, (name, found) in enumerate(costs.items())
        for (repeat, cost), factor in zip(enumerate(found, 1), noise(len(found), sigma, seed + index), strict=True)
    ]
    return repeated(base, trials, run_id=run_id)
