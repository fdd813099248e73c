"""What does a sampling period of exactly 1 ms, locked to the tick, do to the shares? Windows of both, interleaved.

    python -m tests.benchmarks.sampling_period [ROUNDS] [NIC] [CASE]

Each round records a window of 2 s at either period, in alternating order, under the FTP load. Printed are the share of
the samples that lies in the fullest twentieth of a 4 ms tick (a kernel of 250 Hz; 5 % without a lock), the busy time of
the samples against the idle clock's, and for every module the difference of its shares of busy time, with the standard
deviation of its windows at either period: a locked period sees the same moments of the tick again and again.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from offloadbench import traffic
from offloadbench.analysis.profile.attribution import AT_REST, Rules, SymbolTable, Verdicts, attribute
from offloadbench.analysis.statistics import student_t
from offloadbench.definitions import catalog
from offloadbench.engine.options import RunOptions
from offloadbench.engine.run import offloads
from offloadbench.engine.standing_bed import Site, open_site
from offloadbench.kernel.system import cpu_idle
from offloadbench.kernel.trace import kallsyms, perf, perfdata
from offloadbench.model import ProfileEvent

LOCKED_NS, FREE_NS = 1_000_000, perf.CLOCK_PERIOD_NS
_TICK_NS, _SLOTS = 4_000_000, 80
_WARM_UP_S, _WINDOW_S = 3.0, 2.0
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Window:
    """One recording.

    Attributes:
        fullest: share of its samples in the fullest twentieth of the tick.
        busy: of its samples, against the idle clock's.
        shares: leaf -> share of busy samples.
    """

    fullest: float
    busy: float
    shares: dict[str, float]


def _window(site: Site, verdicts: Verdicts, period_ns: int, name: str) -> Window:
    event = ProfileEvent(name="cpu-clock", quantity="kernel_cpu_time_ns", period=period_ns)
    cpus, clock = site.bed.placement.dut, cpu_idle.best_clock()
    recorder = perf.PerfRecorder([event], cpus, site.folder, name)
    try:
        recorder.enable()
        before, began_s = clock.times(cpus), time.monotonic()
        time.sleep(_WINDOW_S)
        after, window_s = clock.times(cpus), time.monotonic() - began_s
        recorder.disable()
        data = recorder.finish()
    finally:
        recorder.close()
    recording = perfdata.read(data)
    places = np.concatenate([batch.time_ns % _TICK_NS for batch in recording.batches()]) * _SLOTS // _TICK_NS
    slots = np.sort(np.bincount(places.astype(np.int64), minlength=_SLOTS))
    rows = attribute([perf.read_counts(data, [event], began_s, window_s)], verdicts)
    busy = rows[~rows["leaf"].isin(AT_REST)]
    data.unlink()
    by_leaf = busy.groupby("leaf", observed=True)["samples"].sum()
    clocked_s = window_s * len(cpus) - (after.idle_s - before.idle_s)
    return Window(
        fullest=float(slots[-_SLOTS // 20 :].sum() / slots.sum()),
        busy=float(busy["weight"].sum()) * 1e-9 / clocked_s,
        shares={str(leaf): float(share) for leaf, share in (by_leaf / by_leaf.sum()).items()},
    )


def measure(site: Site, rounds: int, case: str) -> None:
    """Print what both periods see of one load."""
    (chosen,) = catalog.select_cases(case)
    offloads.apply(site.bed.dut, chosen, site.journal)
    profile = catalog.profile("linux")
    names = catalog.name_table(profile)
    verdicts = Verdicts(
        SymbolTable(kallsyms.snapshot(), names, modules=catalog.module_names(profile)), Rules(profile), names, {}
    )
    load = traffic.from_definition(catalog.workload("ftp-get"))
    load.prepare(print)
    session = load.start(site.bed.dut, site.bed.peer, 0 if site.bed.push_back else 4 << 20)
    found: dict[int, list[Window]] = {LOCKED_NS: [], FREE_NS: []}
    try:
        time.sleep(_WARM_UP_S)
        for number in range(rounds):
            order = (LOCKED_NS, FREE_NS) if number % 2 else (FREE_NS, LOCKED_NS)
            for period_ns in order:
                found[period_ns].append(_window(site, verdicts, period_ns, f"{number}-{period_ns}"))
    finally:
        session.close()
    _show(found)


def _show(found: dict[int, list[Window]]) -> None:
    for period_ns, windows in found.items():
        fullest, busy = (np.array([getattr(one, name) for one in windows]) for name in ("fullest", "busy"))
        print(
            f"{period_ns} ns: fullest twentieth of the tick {fullest.mean():.1%} of the samples; busy by the samples "
            f"over busy by the clock {busy.mean():.3f} (sd {busy.std(ddof=1):.3f})"
        )
    locked, free = (
        {leaf: np.array([one.shares.get(leaf, 0.0) for one in windows]) for leaf in _leaves(found)}
        for windows in (found[LOCKED_NS], found[FREE_NS])
    )
    print(f"{'module':<14}{'locked':>8}{'free':>8}{'difference':>12}{'95 %':>22}{'sd locked':>11}{'sd free':>9}")
    for leaf in _leaves(found)[:_SHOWN]:
        apart = locked[leaf] - free[leaf]
        reach = student_t.quantile(len(apart) - 1, 0.975) * apart.std(ddof=1) / math.sqrt(len(apart))
        interval = f"{apart.mean() - reach:+.2%} to {apart.mean() + reach:+.2%}"
        print(
            f"{leaf:<14}{locked[leaf].mean():>8.2%}{free[leaf].mean():>8.2%}{apart.mean():>+12.2%}{interval:>22}"
            f"{locked[leaf].std(ddof=1):>11.2%}{free[leaf].std(ddof=1):>9.2%}"
        )


def _leaves(found: dict[int, list[Window]]) -> list[str]:
    """All leaves, the largest first."""
    sums: dict[str, float] = {}
    for one in (one for windows in found.values() for one in windows):
        for leaf, share in one.shares.items():
            sums[leaf] = sums.get(leaf, 0.0) + share
    return sorted(sums, key=lambda leaf: -sums[leaf])


if __name__ == "__main__":
    nic_name = sys.argv[2] if len(sys.argv) > 2 else "lab"
    case_name = sys.argv[3] if len(sys.argv) > 3 else "tso"
    with open_site(
        RunOptions(nic=nic_name, cases=case_name, workloads=["ftp-get"], output=Path()), print
    ) as opened_site:
        measure(opened_site, int(sys.argv[1]) if len(sys.argv) > 1 else 12, case_name)
