"""Which events skid: they are sampled by an interrupt, so that what falls due while interrupts are off is taken later.

The clock always does: its timer is an ordinary interrupt on every machine. A PMU interrupts by an NMI on x86, and has
its own ways on s390 and powerpc; on arm, arm64, riscv, mips and loongarch its interrupt is like that of any device
(drivers/perf/arm_pmu.c), but on arm64 with pseudo-NMIs (irqchip.gicv3_pseudo_nmi=1). No recording tells; samples do:
without NMIs none lies in code that runs with interrupts off.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from offloadbench.analysis.profile.attribution.verdicts import Verdicts

CLOCK = "kernel_cpu_time_ns"
# quantities of hardware counters
_HARDWARE = frozenset({"cycles", "instructions"})
# of the kernel's samples, in code that runs with interrupts off; fewer may be a symbol that is named wrongly
_NMI_RATIO = 0.0005


def skidding(
    quantities: Sequence[str],
    events: npt.NDArray[np.int64],
    symbols: npt.NDArray[np.intp],
    counts: npt.NDArray[np.int64],
    verdicts: Verdicts,
) -> npt.NDArray[np.bool_]:
    """Whether each event skids, shape (events,).

    Args:
        quantities: of each event.
        events, symbols, counts: of each row, shape (rows,): place in `quantities`, symbol (negative for user mode,
            guests and what is nobody's), samples.
    """
    found = np.array([quantity == CLOCK for quantity in quantities], dtype=bool)
    if not any(quantity in _HARDWARE for quantity in quantities):
        return found
    profile = verdicts.rules.profile
    known = verdicts.symbols.by_name
    if not any(name in known for name in profile.irq_sampled):
        return found
    masked = np.array([known[name] for name in profile.irqs_off if name in known], dtype=np.intp)
    for event, quantity in enumerate(quantities):
        if quantity in _HARDWARE:
            mine = (events == event) & (symbols >= 0)
            inside = counts[mine & np.isin(symbols, masked)].sum()
            found[event] = inside <= _NMI_RATIO * counts[mine].sum()
    return found
