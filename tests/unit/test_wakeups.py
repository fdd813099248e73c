"""Wake-up latency is taken out of busy time, as much as the clocks differ by and the samples allow."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.analysis.profile import module_tables
from offloadbench.analysis.tables import quality
from offloadbench.analysis.trial import metrics
from offloadbench.definitions import catalog
from offloadbench.files import run_file
from offloadbench.model import ProfileCounts, Run
from tests.unit import builders
from tests.unit.builders import CLOCK, INSTRUCTIONS, ProfileRow, load, profile_counts, samples, trial

DATA = Path(__file__).resolve().parents[1] / "data"
RECORDED = ["report-lab-paper.json", "ladder-lab.json.xz", "ladder-lab-veth.json.xz"]
KALLSYMS = (
    "ffffffff81000000 T do_idle\nffffffff81000100 T tcp_sendmsg\nffffffff81000200 t handle_softirqs\n"
    "ffffffff81000300 T _raw_spin_unlock_irqrestore\n"
)
HALT, SEND, ENTRY, UNLOCK = (0xFFFFFFFF81000000 + at for at in (0x8, 0x108, 0x272, 0x308))
COMMS = ("ob-ftp-server", "swapper")
_MS = 1_000_000


def _row(address: int, process: int, count: int, second: int = 0, event: int = 0) -> ProfileRow:
    return address, "K", process, second, event, count, count * _MS


def _made(base: Run, counts: ProfileCounts, idle_s: float, seconds: int = 1) -> Run:
    """A run of one trial on one CPU that was idle for so long in each second."""
    captured = samples(rows=seconds, cpu_idle_exact_s=idle_s)
    one = trial(profile=counts, samples=captured, window_s=float(seconds), load=load(1000 * seconds, float(seconds)))
    return builders.run(base, [one], kallsyms=KALLSYMS)


def _modules(run: Run) -> pd.DataFrame:
    return module_tables.modules([run], catalog.profile("linux"))


def _ms(table: pd.DataFrame) -> dict[str, float]:
    sums = table.groupby("module")["value"].sum() / _MS
    return {str(name): float(value) for name, value in sums.items()}


def test_what_the_profile_counts_more_than_the_clock_is_wake_up_latency(sample_run: Run) -> None:
    # 400 ms busy by the clock; 300 of tcp, and 250 at the softirq entry after a halt: 100 were a handler's
    rows = [_row(HALT, 1, 450), _row(SEND, 0, 300), _row(ENTRY, 1, 250)]
    table = _modules(_made(sample_run, profile_counts(rows, [CLOCK], COMMS), 0.6))
    assert _ms(table) == {"idle": 450, "tcp": 300, "irq": 100, "wakeup_latency": 150}
    shares = table.set_index("module")["share_ratio"]
    assert shares["tcp"] == pytest.approx(0.75)
    assert shares["irq"] == pytest.approx(0.25)
    assert math.isnan(shares["wakeup_latency"]) and math.isnan(shares["idle"])


def test_no_more_than_the_samples_of_the_softirq_entry_is_taken_out(sample_run: Run) -> None:
    rows = [_row(HALT, 1, 450), _row(SEND, 0, 500), _row(ENTRY, 1, 50)]
    table = _modules(_made(sample_run, profile_counts(rows, [CLOCK], COMMS), 0.6))
    assert _ms(table) == {"idle": 450, "tcp": 500, "wakeup_latency": 50}


def test_a_profile_that_counts_less_than_the_clock_keeps_all_it_has(sample_run: Run) -> None:
    rows = [_row(SEND, 0, 300), _row(ENTRY, 1, 50)]
    assert _ms(_modules(_made(sample_run, profile_counts(rows, [CLOCK], COMMS), 0.6))) == {"tcp": 300, "irq": 50}


def test_only_a_halted_cpu_is_woken(sample_run: Run) -> None:
    # on top of a process the interrupt's handler is work, and so is what a lock holds back in the idle task
    rows = [_row(SEND, 0, 500), _row(ENTRY, 0, 200), _row(UNLOCK, 1, 100)]
    table = _modules(_made(sample_run, profile_counts(rows, [CLOCK], COMMS), 0.6))
    assert _ms(table) == {"tcp": 500, "irq": 200, "irq_shadow": 100}


def test_a_handlers_samples_are_not_charged_to_what_it_interrupted(sample_run: Run) -> None:
    counts = profile_counts([_row(ENTRY, 0, 100)], [CLOCK], COMMS, chains=[[SEND - 8]])
    table = _modules(_made(sample_run, counts, 0.0))
    assert table[["module", "method"]].to_numpy().tolist() == [["irq", "function"]]


def test_instructions_need_no_clock(sample_run: Run) -> None:
    rows = [_row(SEND, 0, 300), _row(ENTRY, 1, 250)]
    assert _ms(_modules(_made(sample_run, profile_counts(rows, [INSTRUCTIONS], COMMS), 0.9))) == {
        "tcp": 300,
        "irq": 250,
    }


def test_a_trial_without_a_clock_keeps_its_samples(sample_run: Run) -> None:
    counts = profile_counts([_row(SEND, 0, 300), _row(ENTRY, 1, 250)], [CLOCK], COMMS)
    made = builders.run(sample_run, [trial(profile=counts)], kallsyms=KALLSYMS)
    assert _ms(_modules(made)) == {"tcp": 300, "irq": 250}


@given(st.lists(st.integers(0, 60), min_size=1, max_size=40), st.integers(0, 900), st.floats(0.0, 1.0))
def test_samples_and_weight_are_moved_and_never_lost(
    sample_run: Run, entries: list[int], busy_ms: int, idle_s: float
) -> None:
    rows = [_row(ENTRY, 1, count, second) for second, count in enumerate(entries) if count]
    rows.append(_row(SEND, 0, busy_ms + 1))
    counts = profile_counts(rows, [CLOCK], COMMS)
    run = _made(sample_run, counts, idle_s)
    table, found = _modules(run), _ms(_modules(run))
    assert int(table["samples"].sum()) == counts.samples
    assert (table["value"] == table["samples"] * _MS).all()
    excess = busy_ms + 1 + sum(entries) - metrics.busy_s(samples(rows=1, cpu_idle_exact_s=idle_s), 1) * 1e3
    assert found.get("wakeup_latency", 0.0) == pytest.approx(min(max(excess, 0.0), sum(entries)), abs=0.51)
    assert found["tcp"] == busy_ms + 1


def test_wake_up_latency_is_spread_over_the_seconds_that_have_it(sample_run: Run) -> None:
    rows = [_row(ENTRY, 1, 100, second) for second in range(4)] + [_row(SEND, 0, 300, second) for second in range(4)]
    run = _made(sample_run, profile_counts(rows, [CLOCK], COMMS), 0.65, seconds=4)
    table = module_tables.seconds([run], catalog.profile("linux"))
    assert table[table["module"] == "irq"]["value"].tolist() == [50 * _MS] * 4


@pytest.mark.parametrize("name", RECORDED)
def test_modules_of_every_recorded_trial_sum_to_its_cpu_per_gb(name: str) -> None:
    run = run_file.load(DATA / name)
    profile = catalog.profile("linux")
    table = module_tables.modules([run], profile)
    busy = table[table["share_ratio"].notna()].groupby(["workload", "case", "repeat"])
    sums = busy["value_per_byte"].sum()
    rows = quality.quality([run], table)
    measured = dict(
        zip(zip(rows["workload"], rows["case"], rows["repeat"], strict=True), rows.to_dict("records"), strict=True)
    )
    assert len(sums) == len(run.trials)
    for one in run.trials:
        key = (one.workload, one.case, one.repeat)
        figures = metrics.of_trial(run, one)
        assert figures is not None
        row = measured[key]
        payload_gb = metrics.payload_bytes(one) / 1e9
        # one second per GB is one nanosecond per byte; steal leaves the idle clock's busy time between two bounds
        low, high = (float(row[bound]) / payload_gb for bound in ("busy_low_s", "busy_high_s"))
        assert 0.95 * low <= float(sums[key]) <= 1.05 * high, (key, figures.cpu_s_per_gb)


@pytest.mark.parametrize("name", RECORDED)
def test_without_chains_little_of_a_recorded_trial_cannot_be_attributed(name: str) -> None:
    table = module_tables.modules([run_file.load(DATA / name)], catalog.profile("linux"))
    assert table[table["module"] == "irq_shadow"]["share_ratio"].max() < 0.15
