"""What a path needs, against the figures of E4 and the kernel's own rules."""

from __future__ import annotations

import pytest

from offloadbench.analysis import tcp_tuning, tcp_tuning_page
from offloadbench.analysis.tcp_tuning import RMEM, RMEM_MAX, WINDOW_SCALING, WMEM, WMEM_MAX, Target

TARGET = Target(10 * 10**9, 0.04, (6, 18))
DEFAULTS = {
    WINDOW_SCALING: "1",
    tcp_tuning.MODERATE_RCVBUF: "1",
    RMEM: "4096 131072 6291456",
    WMEM: "4096 16384 4194304",
    RMEM_MAX: "212992",
    WMEM_MAX: "212992",
}


@pytest.mark.parametrize(
    ("bits_per_s", "rtt_s", "size_bytes"),
    [
        (100_000_000, 2.0, 25_000_000),
        (40_000_000, 0.04, 200_000),
        (10**10, 0.04, 50_000_000),
        (10**6, 1e-6, 1),
        (10**6, 1e-15, 1),
    ],
)
def test_the_bandwidth_delay_product_is_exact(bits_per_s: int, rtt_s: float, size_bytes: int) -> None:
    assert tcp_tuning.bdp_bytes(bits_per_s, rtt_s) == size_bytes


@pytest.mark.parametrize("size_bytes", [64_000, 65_535, 65_536])
@pytest.mark.parametrize("mss_bytes", [1448, 1460])
def test_64_kb_at_500_ms_from_initcwnd_1_take_6_round_trips_and_3_seconds(size_bytes: int, mss_bytes: int) -> None:
    assert tcp_tuning.growth_rounds(size_bytes, 1, mss_bytes) == 6
    assert tcp_tuning.delivery_rounds(size_bytes, 1, mss_bytes) == 6
    target = Target(100_000_000, 0.5, (6, 1), initcwnd=1, mss_bytes=mss_bytes, size_bytes=size_bytes)
    first = tcp_tuning.needs(target).slow_start[0]
    assert (first.initcwnd, first.size_rounds, first.size_s) == (1, 6, 3.0)


@pytest.mark.parametrize(
    ("window_bytes", "shift"),
    [(1, 0), (65_535, 0), (65_536, 1), (131_070, 1), (131_071, 2), (1_073_725_440, 14), (2**31, 14)],
)
def test_the_scale_is_the_least_that_is_enough(window_bytes: int, shift: int) -> None:
    assert tcp_tuning.window_scale(window_bytes) == shift


def test_no_window_is_larger_than_the_protocol_allows() -> None:
    assert tcp_tuning.MAX_WINDOW_BYTES == 1_073_725_440
    needed = tcp_tuning.needs(Target(400 * 10**9, 0.2, (6, 1)))
    assert (needed.window_bytes, needed.window_scale, needed.connections) == (1_073_725_440, 14, 10)
    assert max(needed.tcp_rmem_max_bytes, needed.tcp_wmem_max_bytes) < 2**31


@pytest.mark.parametrize(
    ("rmem_bytes", "core_bytes", "shift"),
    [(65_535, 0, 0), (65_536, 0, 1), (6_291_456, 212_992, 7), (4096, 16_777_216, 9), (2**31 - 1, 0, 14)],
)
def test_the_scale_that_linux_announces_comes_from_the_larger_limit(
    rmem_bytes: int, core_bytes: int, shift: int
) -> None:
    assert tcp_tuning.announced_window_scale(rmem_bytes, core_bytes) == shift


@pytest.mark.parametrize(
    ("kernel", "scale", "ratio"),
    [
        ((2, 6), None, 0.75),
        ((5, 10), None, 0.5),
        ((5, 10), 2, 0.75),
        ((5, 10), 0, 1.0),
        ((5, 10), -2, 0.25),
        ((6, 6), 2, 0.5),
    ],
)
def test_the_window_is_a_part_of_the_buffer(kernel: tuple[int, int], scale: int | None, ratio: float) -> None:
    assert tcp_tuning.window_ratio(kernel, scale) == ratio


def test_one_connection_carries_a_window_a_round_trip() -> None:
    assert tcp_tuning.connection_rate_bits_per_s(65_535, 0.04) == pytest.approx(13_107_000)


def test_a_transfer_beyond_the_window_goes_on_a_window_a_round_trip() -> None:
    # 10, 20, then 32 segments at a time
    assert tcp_tuning.delivery_rounds(100 * 1000, 10, 1000, 32_000) == 5


def test_only_what_is_too_small_is_raised_and_the_first_two_values_stay() -> None:
    needed = tcp_tuning.needs(TARGET)
    wanted = tcp_tuning.changes(needed, DEFAULTS)
    assert wanted[RMEM] == f"4096 131072 {needed.tcp_rmem_max_bytes}"
    assert wanted[WMEM].startswith("4096 16384 ")
    assert int(wanted[RMEM].split()[2]) >= 2 * 50_000_000
    assert set(wanted) == {RMEM, WMEM, RMEM_MAX, WMEM_MAX}
    assert tcp_tuning.changes(needed, DEFAULTS | wanted) == {}
    larger = {name: " ".join(["2000000000"] * len(value.split())) for name, value in wanted.items()}
    assert tcp_tuning.changes(needed, DEFAULTS | larger) == {}


def test_scaling_that_is_off_is_turned_on_and_a_missing_sysctl_is_left_out() -> None:
    assert tcp_tuning.changes(tcp_tuning.needs(TARGET), {WINDOW_SCALING: "0"}) == {WINDOW_SCALING: "1"}


def test_the_page_holds_the_figures_and_the_lines_to_type() -> None:
    needed = tcp_tuning.needs(TARGET)
    text = tcp_tuning_page.page(TARGET, needed, tcp_tuning.changes(needed, DEFAULTS))
    assert "50,000,000 B = 10 Gbit/s x 40 ms / 8" in text
    assert "sysctl -w net.ipv4.tcp_rmem='4096 131072 100003840'" in text
    assert "initcwnd 10" in text
    assert "tcp_mem counts pages" in text
    assert max(map(len, text.splitlines())) <= 120
    assert "nothing" in tcp_tuning_page.page(TARGET, needed, {})


@pytest.mark.parametrize(
    ("kernel", "initcwnd", "told"), [((6, 1), 40, False), ((4, 19), 40, True), ((4, 19), 10, False)]
)
def test_initrwnd_is_told_where_the_receiver_would_cap_the_first_flight(
    kernel: tuple[int, int], initcwnd: int, told: bool
) -> None:
    lines = tcp_tuning_page.route_lines(Target(10**9, 0.04, kernel, initcwnd=initcwnd))
    assert any(f"initrwnd {initcwnd}" in line for line in lines) is told


def test_an_initial_window_beyond_64_kb_is_told_to_be_capped() -> None:
    target = Target(10**9, 0.04, (6, 1), initcwnd=46)
    assert "more than that first window takes" in tcp_tuning_page.page(target, tcp_tuning.needs(target), {})
