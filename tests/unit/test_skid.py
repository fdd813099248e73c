"""Where samples are taken by an ordinary interrupt, those due while interrupts were off belong to nobody."""

from __future__ import annotations

import pytest

from offloadbench.analysis.profile.attribution import Rules, SymbolTable, Verdicts, attribute
from offloadbench.definitions import catalog
from offloadbench.definitions.name_tables import NameTable
from tests.unit.builders import CLOCK, INSTRUCTIONS, profile_counts

BASE = 0xFFFF800080000000
UNLOCK, TCP, TICK, ENTRY = (BASE + 0x1000 * at for at in range(4))


def _leaves(event: int, rows: list[tuple[int, int]], entry: str, unlock: str = "_raw_spin_unlock_irq") -> list[str]:
    """The leaf of each (address, samples) of an event (0: the clock, 1: instructions)."""
    text = "".join(
        f"{address:016x} T {name}\n"
        for address, name in ((UNLOCK, unlock), (TCP, "tcp_ack"), (TICK, "hrtimer_interrupt"), (ENTRY, entry))
    )
    names = NameTable({"net/ipv4/tcp_input.c": frozenset({"tcp_ack"})}, ())
    verdicts = Verdicts(SymbolTable(text, names), Rules(catalog.profile("linux")), names, {})
    counts = profile_counts(
        [(address, "K", 0, 0, event, samples, samples) for address, samples in rows], [CLOCK, INSTRUCTIONS]
    )
    return list(attribute([counts], verdicts)["leaf"].astype(str))


@pytest.mark.parametrize("entry", ["el0_svc", "vector_swi", "riscv_intc_irq", "handle_int"])
def test_a_pmu_that_interrupts_as_a_device_does_skids_as_the_clock_does(entry: str) -> None:
    assert _leaves(1, [(UNLOCK, 500), (TCP, 500)], entry) == ["irq_shadow", "tcp"]
    assert _leaves(0, [(UNLOCK, 500), (TCP, 500)], entry) == ["irq_shadow", "tcp"]


def test_samples_inside_an_interrupt_show_a_pseudo_nmi() -> None:
    assert _leaves(1, [(UNLOCK, 500), (TCP, 500), (TICK, 5)], "el0_svc") == ["lock", "tcp", "timer"]
    # one that is named wrongly is no evidence
    assert _leaves(1, [(UNLOCK, 5000), (TCP, 5000), (TICK, 1)], "el0_svc") == ["irq_shadow", "tcp", "timer"]


def test_on_x86_a_pmu_interrupts_by_an_nmi() -> None:
    assert _leaves(1, [(UNLOCK, 500), (TCP, 500)], "entry_SYSCALL_64") == ["lock", "tcp"]


@pytest.mark.parametrize(
    "symbol",
    [
        "arch_local_irq_restore", "do_notify_resume", "do_work_pending", "do_trap_ecall_u", "__do_syscall",
        "replay_soft_interrupts", "system_call_exception", "run_ksoftirqd", "irq_forced_thread_fn",
        "sysvec_hyperv_stimer0", "xen_hypercall_xen_version", "xen_restore_fl_direct", "xen_hypercall_intel",
    ],
)  # fmt: skip
def test_interrupts_come_on_again_elsewhere_on_other_machines(symbol: str) -> None:
    assert _leaves(0, [(UNLOCK, 5)], "entry", symbol) == ["irq_shadow"]


@pytest.mark.parametrize("symbol", ["__irqentry_text_end", "__softirqentry_text_start"])
def test_a_label_at_the_softirq_entry_is_the_softirq_entry(symbol: str) -> None:
    assert _leaves(0, [(UNLOCK, 5)], "entry", symbol) == ["irq"]
