"""Doubts about a steady state: each is of the closed list, and a steady run raises none."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from offloadbench.analysis.comparison.steadiness import Trouble, doubts, told
from offloadbench.definitions import catalog
from offloadbench.model import Run, Trial
from tests.unit.builders import INSTRUCTIONS, profile_counts
from tests.unit.repeats import SECONDS, measured, noise, repeated

replace = msgspec.structs.replace
TSO = next(case for case in catalog.all_cases() if case.name == "tso")


def _trials(costs: list[float]) -> list[Trial]:
    rates = noise(len(costs), 0.01, 77)
    return [measured(TSO, i, cost, rate_bits_per_s=1e9 * rates[i - 1]) for i, cost in enumerate(costs, 1)]


def _steady(base: Run, repeats: int = 6) -> Run:
    return repeated(base, _trials(noise(repeats, 0.01, 1)))


def _changed(run: Run, **counters: list[float]) -> Run:
    first, *others = run.trials
    assert first.samples is not None
    samples = replace(first.samples, counters=first.samples.counters | counters)
    return replace(run, trials=[replace(first, samples=samples), *others])


def _kinds(run: Run) -> list[tuple[Trouble, str]]:
    return [(doubt.trouble, doubt.where) for doubt in doubts(run)]


def test_a_steady_run_raises_no_doubt(sample_run: Run) -> None:
    assert doubts(_steady(sample_run)) == []


def test_every_trouble_has_a_remedy() -> None:
    assert {trouble.name for trouble in Trouble} == {
        "TREND",
        "UNSTEADY",
        "OUTLIER",
        "STEAL",
        "FREQUENCY",
        "CLOCKS",
        "CONTAMINATION",
    }
    assert all(trouble.value.endswith(".") for trouble in Trouble)


def test_a_window_that_drifts_is_a_trend_and_one_that_jumps_is_unsteady(sample_run: Run) -> None:
    run = _steady(sample_run)
    rising = list(np.linspace(1.0e8, 1.3e8, SECONDS))
    jumping = [1.0e8, 1.4e8] * (SECONDS // 2)
    where = f"{run.nic.name}, ftp-get, case tso, repeat 1"
    assert _kinds(_changed(run, tx_bytes=rising)) == [(Trouble.TREND, where)]
    assert _kinds(_changed(run, tx_bytes=jumping)) == [(Trouble.UNSTEADY, where)]
    assert "+26%" in str(doubts(_changed(run, tx_bytes=rising))[0])


def test_stolen_time_is_told_with_its_remedy(sample_run: Run) -> None:
    found = doubts(_changed(_steady(sample_run), cpu_steal_s=[0.05] * SECONDS))
    assert [doubt.trouble for doubt in found][:1] == [Trouble.STEAL]
    assert "took 5.0% of the CPU time away, idle or busy: CPU busy lies between 7.6% and 12.6%. Use a" in str(found[0])


def test_a_clock_that_takes_the_wait_for_the_disk_for_work_is_told(sample_run: Run) -> None:
    # a recorded trial of an earlier version: files that had left the page cache, clock 100 % busy, ticks 20 %
    run = _changed(_steady(sample_run, 1), cpu_idle_exact_s=[0.0] * SECONDS, cpu_idle_s=[0.8] * SECONDS)
    (doubt,) = doubts(run)
    assert doubt.trouble is Trouble.CLOCKS
    assert "80% of the CPU time less idle than /proc/stat" in doubt.what


def test_clocks_less_than_a_tenth_apart_are_no_doubt(sample_run: Run) -> None:
    assert doubts(_changed(_steady(sample_run, 1), cpu_idle_s=[0.81] * SECONDS)) == []


def test_repeats_that_climb_are_a_trend(sample_run: Run) -> None:
    climbing = [1 + 0.05 * i + 0.001 * (i % 2) for i in range(6)]
    kinds = _kinds(repeated(sample_run, _trials(climbing)))
    assert kinds == [(Trouble.TREND, f"{sample_run.nic.name}, ftp-get, case tso")]


def test_a_trial_that_stands_out_is_an_outlier_and_stays_in(sample_run: Run) -> None:
    costs = noise(7, 0.01, 1)
    costs[3] = 1.4
    found = doubts(repeated(sample_run, _trials(costs)))
    assert [doubt.trouble for doubt in found] == [Trouble.OUTLIER]
    assert "repeat 4 stands out: CPU per GB" in found[0].what


def test_a_governor_that_scales_and_cycles_that_vary_are_doubts_about_frequency(sample_run: Run) -> None:
    run = _steady(sample_run)
    scaled = replace(run, host=replace(run.host, governor="schedutil"))
    assert [trouble for trouble, _ in _kinds(scaled)] == [Trouble.FREQUENCY]
    trials = []
    for index, trial in enumerate(run.trials):
        assert trial.samples is not None
        busy = SECONDS - sum(trial.samples.counters["cpu_idle_exact_s"])
        counts = replace(profile_counts([], [INSTRUCTIONS]), counted={"cycles": busy * (3e9 + 1e8 * index)})
        trials.append(replace(trial, profile=counts))
    found = doubts(replace(run, trials=trials))
    assert [doubt.trouble for doubt in found] == [Trouble.FREQUENCY]
    assert "3.00 to 3.50 GHz" in found[0].what


def test_a_stranger_on_the_measured_cpus_is_contamination(sample_run: Run) -> None:
    run = _steady(sample_run)
    rows = [(0x1001, "K", 0, 0, 0, 90, 90), (0x1001, "K", 1, 0, 0, 10, 10)]
    counts = profile_counts(rows, [INSTRUCTIONS], comms=("ob-ftp-server", "cc1"))
    found = doubts(replace(run, trials=[replace(run.trials[0], profile=counts), *run.trials[1:]]))
    assert [doubt.trouble for doubt in found] == [Trouble.CONTAMINATION]
    assert "cc1 10.0%" in found[0].what


@pytest.mark.parametrize("repeats", [1, 2])
def test_few_trials_raise_no_doubt_about_repeats(sample_run: Run, repeats: int) -> None:
    assert doubts(_steady(sample_run, repeats)) == []


def test_many_alike_are_told_once_with_their_number(sample_run: Run) -> None:
    run = _steady(sample_run)
    stolen = []
    for trial in run.trials:
        assert trial.samples is not None
        counters = trial.samples.counters | {"cpu_steal_s": [0.05] * SECONDS}
        stolen.append(replace(trial, samples=replace(trial.samples, counters=counters)))
    texts = told(doubts(replace(run, trials=stolen)))
    assert len(texts) == 1
    assert "repeat 2" in texts[0]
    assert "repeat 3" not in texts[0]
    assert texts[0].endswith(f"and 4 more alike. {Trouble.STEAL.value}")


@pytest.mark.parametrize(("idle_s", "told"), [(0.85, False), (0.95, True)])
def test_less_than_a_hundredth_of_steal_is_told_where_it_leaves_the_busy_time_open(
    sample_run: Run, idle_s: float, told: bool
) -> None:
    run = _changed(_steady(sample_run, 1), cpu_idle_exact_s=[idle_s] * SECONDS, cpu_steal_s=[0.009] * SECONDS)
    assert [doubt.trouble for doubt in doubts(run)] == ([Trouble.STEAL] if told else [])
