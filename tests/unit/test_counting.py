"""Samples against a plain count of the same window, and what perf stat prints."""

from __future__ import annotations

import msgspec
import pytest

from offloadbench.analysis.profile import plain_count
from offloadbench.kernel.trace import perf
from tests.unit.builders import CLOCK, INSTRUCTIONS, profile_counts

ROWS = [(16, "K", 0, 0, 0, 99, 99_000_000), (16, "K", 0, 0, 1, 5, 10_000_015)]


def test_a_small_gap_is_shown_and_a_large_one_is_a_warning() -> None:
    counts = msgspec.structs.replace(
        profile_counts(ROWS, [CLOCK, INSTRUCTIONS]), counted={"cpu-clock": 100e6, "instructions": 11e6}
    )
    gaps = {gap.event: gap.ratio for gap in plain_count.gaps(counts)}
    assert gaps == pytest.approx({"cpu-clock": -0.01, "instructions": -0.0909}, abs=1e-4)
    (warning,) = plain_count.warnings(counts)
    assert "instructions" in warning
    assert "9.1% less" in warning


def test_without_a_count_nothing_is_claimed_and_a_doubtful_one_is_said() -> None:
    counts = profile_counts(ROWS, [CLOCK, INSTRUCTIONS])
    assert plain_count.gaps(counts) == []
    assert plain_count.warnings(counts) == []
    doubtful = msgspec.structs.replace(counts, counting="instructions: not supported")
    assert "not supported" in plain_count.warnings(doubtful)[0]


# printed by perf 6.1 here, and the form of its hardware counts in perf-stat(1)
def test_counts_of_perf_stat_become_rates_of_one_cpu() -> None:
    text = "# started on Tue\n\n2003.67,msec,cpu-clock,2003675029,100.00,2.000,CPUs utilized\n"
    rates, problem = perf.parse_rates(text, ["cpu-clock"])
    assert rates["cpu-clock"] == pytest.approx(1e9, rel=1e-4)
    assert problem == ""
    shared = "1000000,,instructions:u,1000000000,50.00,,\n4000000,,cycles,2000000000,100.00,,\n"
    rates, problem = perf.parse_rates(shared, ["instructions", "cycles"])
    # perf has scaled the value to the whole time, of which half was counted
    assert rates == pytest.approx({"instructions": 500_000, "cycles": 2_000_000})
    assert "50 %" in problem


def test_what_cannot_be_counted_is_said() -> None:
    rates, problem = perf.parse_rates("<not supported>,,instructions,0,100.00,,\n", ["instructions"])
    assert rates == {}
    assert problem == "instructions: not supported"
    assert perf.parse_rates("", ["cycles"]) == ({}, "cycles: no count")
