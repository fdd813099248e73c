"""Figures of a trial, from numbers that can be checked by head."""

from __future__ import annotations

import math

import msgspec
import pytest

from offloadbench.analysis.tables import trial_tables
from offloadbench.analysis.trial import metrics
from offloadbench.model import PeerReport, Run
from tests.unit.builders import load, run, samples, trial

_SAMPLES = samples(
    rows=4,
    interval_s=1.0,
    cpu_idle_exact_s=0.7,
    cpu_steal_s=0.05,
    cpu_user_s=0.1,
    cpu_system_s=0.06,
    cpu_softirq_s=0.09,
    tx_bytes=1_000_000.0,
    tx_packets=100.0,
    tcp_out_segments=690.0,
    tcp_retrans_segments=10.0,
    tcp_in_csum_errors=1.0,
)
_TRIAL = trial(samples=_SAMPLES, window_s=4.0, load=load(payload_bytes=50_000_000, interval_s=5.0))


def _metrics(sample_run: Run, *, counts_super_packets: bool = False, mtu_bytes: int = 1500) -> metrics.Metrics:
    nic = msgspec.structs.replace(sample_run.nic, mtu_bytes=mtu_bytes)
    measured = msgspec.structs.replace(run(sample_run, [_TRIAL], counts_super_packets=counts_super_packets), nic=nic)
    found = metrics.of_trial(measured, _TRIAL)
    assert found is not None
    return found


def test_busy_is_what_is_not_idle_without_its_share_of_what_was_stolen(sample_run: Run) -> None:
    figures = _metrics(sample_run)
    assert metrics.busy_s(_SAMPLES, 1) == pytest.approx(4 * 0.3 * 0.95)
    assert figures.cpu_busy_ratio == pytest.approx(0.3 * 0.95)
    assert (figures.cpu_busy_low_ratio, figures.cpu_busy_high_ratio) == pytest.approx((0.25, 0.3))
    assert figures.steal_ratio == pytest.approx(0.05)


def test_steal_of_a_cpu_that_is_all_but_idle_leaves_its_busy_time() -> None:
    # a second of a real trial: more was stolen than the CPU was awake, most of it while it was being woken
    second = samples(rows=1, interval_s=1.0, cpu_idle_exact_s=0.919, cpu_steal_s=0.13)
    assert metrics.busy_s(second, 1) == pytest.approx(0.081 * 0.87)
    assert metrics.busy_bounds_s(second, 1) == pytest.approx((0.0, 0.081))


@pytest.mark.parametrize(("stolen", "left"), [(0.0, 1.0), (0.3, 0.7), (1.0, 0.0), (1.01, 0.0)])
def test_all_steal_of_a_cpu_that_is_never_idle_is_taken_off(stolen: float, left: float) -> None:
    assert float(metrics.busy(1.0, 0.0, stolen)) == pytest.approx(left)


def test_cpu_seconds_per_gb_is_busy_time_over_payload(sample_run: Run) -> None:
    payload = 50_000_000 / 5.0 * 4.0
    figures = _metrics(sample_run)
    assert figures.cpu_s_per_gb == pytest.approx(4 * 0.3 * 0.95 / (payload / 1e9))
    assert figures.goodput_bits_per_s == pytest.approx(payload * 8 / 4.0)


def test_kinds_of_time_are_shares_of_the_ticks(sample_run: Run) -> None:
    figures = _metrics(sample_run)
    kinds = (figures.cpu_user_ratio, figures.cpu_system_ratio, figures.cpu_softirq_ratio)
    assert kinds == pytest.approx((0.1, 0.06, 0.09))


def test_super_packets_get_the_headers_of_their_further_segments(sample_run: Run) -> None:
    plain, corrected = _metrics(sample_run, mtu_bytes=10_000), _metrics(sample_run, counts_super_packets=True)
    assert plain.throughput_bits_per_s == pytest.approx(1_000_000 * 8)
    # 700 segments went out in 100 packets; each further one has Ethernet 14, IPv4 20, TCP 20 and timestamps 12
    assert corrected.throughput_bits_per_s == pytest.approx((1_000_000 + 600 * (14 + 20 + 20 + 12)) * 8)
    assert corrected.bytes_per_packet == plain.bytes_per_packet == 10_000


def test_packets_longer_than_any_frame_were_super_packets_whatever_is_known_of_the_driver(sample_run: Run) -> None:
    known, seen = _metrics(sample_run, counts_super_packets=True), _metrics(sample_run)
    assert seen.throughput_bits_per_s == known.throughput_bits_per_s


def test_more_packets_than_segments_correct_nothing() -> None:
    assert metrics.cable_bytes(1000, 10, 5, 66, counts_super_packets=True) == 1000


def test_counts_are_of_the_whole_window_and_rates_a_second(sample_run: Run) -> None:
    figures = _metrics(sample_run)
    assert (figures.retrans_segments, figures.csum_errors, figures.packets_per_s) == (40, 4, 100)


def test_a_trial_without_a_window_has_no_figures(sample_run: Run) -> None:
    empty = trial(outcome="failed")
    assert metrics.of_trial(run(sample_run, [empty]), empty) is None
    table = trial_tables.trials([run(sample_run, [empty])])
    assert table["cpu_s_per_gb"].isna().all()
    assert table["outcome"].tolist() == ["failed"]


def test_a_trial_without_load_has_no_cost_per_gb(sample_run: Run) -> None:
    lone = msgspec.structs.replace(_TRIAL, load=None)
    figures = metrics.of_trial(run(sample_run, [lone]), lone)
    assert figures is not None
    assert math.isnan(figures.cpu_s_per_gb)
    assert math.isnan(figures.goodput_bits_per_s)
    assert figures.cpu_busy_ratio == pytest.approx(0.3 * 0.95)


def test_a_nic_that_sent_nothing_has_no_packet_size(sample_run: Run) -> None:
    silent = trial(samples=samples(), window_s=2.0)
    figures = metrics.of_trial(run(sample_run, [silent]), silent)
    assert figures is not None
    assert math.isnan(figures.bytes_per_packet)
    assert figures.throughput_bits_per_s == 0


def test_the_emulated_cables_own_count_agrees_with_the_corrected_counters(sample_run: Run) -> None:
    for captured in sample_run.trials:
        by_cable = metrics.of_trial(sample_run, captured)
        by_nic = metrics.of_trial(sample_run, msgspec.structs.replace(captured, wire=None))
        assert by_cable is not None
        assert by_nic is not None
        assert by_nic.throughput_bits_per_s == pytest.approx(by_cable.throughput_bits_per_s, rel=0.01)


def test_the_load_hosts_cpu_is_a_share_of_all_its_cpus(sample_run: Run) -> None:
    peer = PeerReport(interval_s=10.0, cpus=8, cpu_busy_s=20.0, cpu_stolen_s=0.0)
    measured = run(sample_run, [_TRIAL, msgspec.structs.replace(_TRIAL, peer=peer)])
    alone, beside = (metrics.of_trial(measured, one) for one in measured.trials)
    assert alone is not None
    assert beside is not None
    assert math.isnan(alone.peer_cpu_ratio)
    assert beside.peer_cpu_ratio == pytest.approx(0.25)
