"""The sampler: its rows, not its timing."""

from __future__ import annotations

import itertools
import threading

import pytest

from offloadbench.engine.run.sampler import Reading, Sampler

PERIOD_S = 0.005


def _ignore(t_s: float, difference: Reading, interval_s: float) -> None:
    del t_s, difference, interval_s


def test_it_takes_the_rows_asked_for_with_differences_of_the_counters() -> None:
    numbers = itertools.count()

    def read() -> Reading:
        number = next(numbers)
        return {"grows": number * 10.0, "stands": 3.0}

    told: list[tuple[float, Reading, float]] = []
    with Sampler(read, 4, lambda *row: told.append(row), PERIOD_S) as sampler:
        sampler.join(10)
    result = sampler.result()
    assert result.counters == {"grows": [10.0] * 4, "stands": [0.0] * 4}
    assert len(result.t_s) == len(result.interval_s) == len(result.late_s) == len(told) == 4
    assert [row[1] for row in told] == [{"grows": 10.0, "stands": 0.0}] * 4


def test_the_intervals_add_up_to_the_times_and_no_row_comes_early() -> None:
    with Sampler(lambda: {"a": 0.0}, 5, _ignore, PERIOD_S) as sampler:
        sampler.join(10)
    result = sampler.result()
    for number, t_s in enumerate(result.t_s, 1):
        assert t_s == pytest.approx(sum(result.interval_s[:number]), abs=1e-5)
        assert t_s - result.late_s[number - 1] == pytest.approx(number * PERIOD_S, abs=1e-5)
        assert result.late_s[number - 1] >= 0


def test_a_late_row_does_not_move_the_schedule() -> None:
    slow = iter([False, True, False, False])

    def read() -> Reading:
        if next(slow):
            threading.Event().wait(2.5 * PERIOD_S)
        return {"a": 0.0}

    with Sampler(read, 3, _ignore, PERIOD_S) as sampler:
        sampler.join(10)
    result = sampler.result()
    assert result.late_s[0] >= 2.4 * PERIOD_S
    assert result.t_s[2] - result.late_s[2] == pytest.approx(3 * PERIOD_S, abs=1e-5)


def test_what_stops_the_reading_is_raised_by_the_result() -> None:
    readings = iter([{"a": 0.0}, {"a": 1.0}])
    with Sampler(lambda: next(readings), 5, _ignore, PERIOD_S) as sampler:
        sampler.join(10)
    with pytest.raises(StopIteration):
        sampler.result()


def test_a_first_reading_that_fails_does_not_leave_anybody_waiting() -> None:
    def gone() -> Reading:
        raise KeyError("obdut0")

    with Sampler(gone, 5, _ignore, PERIOD_S) as sampler:
        assert sampler.opened.wait(10)
        sampler.join(10)
    with pytest.raises(KeyError, match="obdut0"):
        sampler.result()


def test_leaving_the_block_ends_it_early_and_keeps_the_rows_so_far() -> None:
    two = threading.Event()

    def each(t_s: float, difference: Reading, interval_s: float) -> None:
        del difference, interval_s
        if t_s >= 2 * PERIOD_S:
            two.set()

    with Sampler(lambda: {"a": 0.0}, 100_000, each, PERIOD_S) as sampler:
        assert two.wait(10)
    assert not sampler.is_alive()
    assert 2 <= len(sampler.result().t_s) < 100_000
