"""Who was woken, who was answered, and which cases paid for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from offloadbench.analysis.comparison import alike
from offloadbench.files import run_file
from offloadbench.kernel.netdev import irq
from offloadbench.model import PeerReport, Trial
from tests.unit import builders

X86 = """\
           CPU0       CPU1       CPU2
  0:         22          0          0   IO-APIC   2-edge      timer
 24:          7          5          1   PCI-MSI 0-edge      virtio0-config
LOC:    5091824    4083312    1000000   Local timer interrupts
RES:     231845     123478          5   Rescheduling interrupts
CAL:    3168642    3168490          7   Function call interrupts
TLB:       9772       7804          0   TLB shootdowns
ERR:          0
"""
ARM = """\
           CPU0       CPU2
 11:      10331       9000   GICv3  27 Level     arch_timer
IPI0:       100        200       Rescheduling interrupts
IPI1:      1000       2000       Function call interrupts
IPI2:         0          0       CPU stop interrupts
"""


@pytest.mark.parametrize(
    ("text", "cpus", "expected"),
    [
        (X86, {1}, 123478 + 3168490),
        (X86, {1, 2}, 123478 + 3168490 + 12),
        (ARM, {2}, 2200),
        ("           CPU0\n  0:   22   timer\n", {0}, None),
    ],
)
def test_interrupts_from_other_cpus_are_those_that_wake_and_those_that_call(
    text: str, cpus: set[int], expected: int | None
) -> None:
    assert irq.parse_from_other_cpus(text, frozenset(cpus)) == expected


def test_this_machine_counts_them() -> None:
    assert irq.from_other_cpus(frozenset({0})) is not None


def _trial(case: str, repeat: int, woken: int | None) -> Trial:
    peer = PeerReport(interval_s=10.0, cpus=1, cpu_busy_s=9.0, cpu_stolen_s=0.0, woken=woken)
    return builders.trial(case=case, repeat=repeat, peer=peer)


def test_a_case_that_pays_for_waking_the_load_side_is_named() -> None:
    trials = [
        _trial("tso", 1, 1_160_000),
        _trial("tso", 2, 1_140_000),
        _trial("csum", 1, 3_000),
        _trial("gso", 1, 4_000),
    ]
    (text,) = alike.unlike(trials)
    assert text.startswith(
        "in case tso the CPUs under test woke those of the load side many times as often as in case csum"
    )


@pytest.mark.parametrize(
    "trials",
    [
        [_trial("tso", 1, 1_160_000), _trial("csum", 1, 900_000)],
        [_trial("tso", 1, 150_000), _trial("csum", 1, 300)],
        [_trial("tso", 1, 1_160_000), _trial("tso", 2, 300)],
        [_trial("tso", 1, None), _trial("csum", 1, 300)],
        [builders.trial(case="tso"), builders.trial(case="csum")],
    ],
    ids=["all pay", "too few to matter", "one case", "not counted", "older file"],
)
def test_nothing_is_said_where_all_pay_alike_or_nobody_counted(trials: list[Trial]) -> None:
    assert list(alike.unlike(trials)) == []


def test_a_case_whose_packets_are_acknowledged_whole_is_named() -> None:
    """Counted in this run: 2,200 packets a second came back with TSO, 30,000 without, at the same rate."""
    run = run_file.load(Path(__file__).parents[1] / "data" / "report-lab-paper.json")
    texts = list(alike.unlike([trial for trial in run.trials if trial.workload == "ftp-get"]))
    assert len(texts) == 1
    assert texts[0].startswith("in case tso the load side sent less than half as many acknowledgements")
    assert "in case csum" in texts[0] or "in case none" in texts[0]


def test_cases_that_are_acknowledged_alike_are_not_named() -> None:
    run = run_file.load(Path(__file__).parents[1] / "data" / "report-lab-paper.json")
    alone = [trial for trial in run.trials if trial.workload == "ftp-get" and trial.case != "tso"]
    assert len(alone) > 1
    assert list(alike.unlike(alone)) == []
