"""A sender's waits, chain by chain (figure 11 of the origin paper), and how much of the time it waited for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offloadbench.files.packed_columns import unpack_waits
from offloadbench.model import Waits

SEND_MEMORY = "sk_stream_wait_memory"
# how a thread goes to sleep, whatever it waits for
_SLEEPING = frozenset(
    {"__schedule", "schedule", "schedule_timeout", "wait_woken", "schedule_hrtimeout_range", "io_schedule"}
    | {"schedule_hrtimeout_range_clock", "preempt_schedule_common", "__cond_resched", "schedule_preempt_disabled"}
    | {"schedule_timeout_interruptible", "schedule_timeout_uninterruptible"}
)
# the entry of every system call
_ENTRY = frozenset({"entry_SYSCALL_64_after_hwframe", "do_syscall_64", "x64_sys_call", "el0_svc", "invoke_syscall"})


@dataclass(frozen=True, slots=True)
class Wait:
    """What waits of one call chain have in common.

    Attributes:
        function: the innermost one that is not just sleeping: what was waited for.
        chain: from the system call to that function, the outermost first.
    """

    function: str
    chain: tuple[str, ...]
    count: int
    total_s: float
    median_s: float
    longest_s: float


def meaning(chain: Sequence[str]) -> str:
    """The innermost function that does more than sleep."""
    return next((name for name in reversed(chain) if name not in _SLEEPING), chain[-1] if chain else "")


def summary(waits: Waits) -> list[Wait]:
    """One `Wait` a chain, the longest total first; chains that differ only in how they sleep are one."""
    columns = unpack_waits(waits)
    chains = [_shown(chain) for chain in waits.chains]
    number = {chain: index for index, chain in enumerate(dict.fromkeys(chains))}
    merged = np.array([number[chain] for chain in chains], dtype=np.int64)[columns["chain"].astype(np.int64)]
    found = []
    for chain, index in number.items():
        durations_s = columns["duration_us"][merged == index].astype(np.float64) * 1e-6
        if len(durations_s):
            found.append(
                Wait(
                    function=chain[-1] if chain else "",
                    chain=chain,
                    count=len(durations_s),
                    total_s=float(durations_s.sum()),
                    median_s=float(np.median(durations_s)),
                    longest_s=float(durations_s.max()),
                )
            )
    return sorted(found, key=lambda wait: -wait.total_s)


def _shown(chain: Sequence[str]) -> tuple[str, ...]:
    last = len(chain) - list(reversed(chain)).index(meaning(chain)) if chain else 0
    return tuple(name for name in chain[:last] if name not in _ENTRY)


def share(waits: Waits, function: str = SEND_MEMORY) -> float:
    """Share of the window that the sender's threads spent in waits whose stack holds the function."""
    found = sum(wait.total_s for wait in summary(waits) if function in wait.chain)
    return found / (waits.window_s * len(waits.threads)) if waits.window_s and waits.threads else 0.0
