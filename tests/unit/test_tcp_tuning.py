"""What a path needs, against the figures of E4 and the kernel's own rules."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.analysis.tcp_tuning import needs, tcp_tuning_page
from offloadbench.analysis.tcp_tuning.needs import RMEM, RMEM_MAX, WINDOW_SCALING, WMEM, WMEM_MAX, PathTarget

TARGET = PathTarget(10 * 10**9, 0.04, (6, 18))
DEFAULTS = {
    WINDOW_SCALING: "1",
    needs.MODERATE_RCVBUF: "1",
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
    assert needs.bdp_bytes(bits_per_s, rtt_s) == size_bytes


@pytest.mark.parametrize("size_bytes", [64_000, 65_535, 65_536])
@pytest.mark.parametrize("mss_bytes", [1448, 1460])
def test_64_kb_at_500_ms_from_initcwnd_1_take_6_round_trips_and_3_seconds(size_bytes: int, mss_bytes: int) -> None:
    assert needs.growth_rounds(size_bytes, 1, mss_bytes) == 6
    assert needs.delivery_rounds(size_bytes, 1, mss_bytes) == 6
    target = PathTarget(100_000_000, 0.5, (6, 1), initcwnd=1, mss_bytes=mss_bytes, size_bytes=size_bytes)
    first = needs.needs(target).slow_start[0]
    assert (first.initcwnd, first.size_rounds, first.size_s) == (1, 6, 3.0)


@pytest.mark.parametrize(
    ("window_bytes", "shift"),
    [(1, 0), (65_535, 0), (65_536, 1), (131_070, 1), (131_071, 2), (1_073_725_440, 14), (2**31, 14)],
)
def test_the_scale_is_the_least_that_is_enough(window_bytes: int, shift: int) -> None:
    assert needs.window_scale(window_bytes) == shift


def test_no_window_is_larger_than_the_protocol_allows() -> None:
    assert needs.MAX_WINDOW_BYTES == 1_073_725_440
    needed = needs.needs(PathTarget(400 * 10**9, 0.2, (6, 1)))
    assert (needed.window_bytes, needed.window_scale, needed.connections) == (1_073_725_440, 14, 10)
    assert max(needed.tcp_rmem_max_bytes, needed.tcp_wmem_max_bytes) < 2**31


@pytest.mark.parametrize(
    ("rmem_bytes", "core_bytes", "shift"),
    [(65_535, 0, 0), (65_536, 0, 1), (6_291_456, 212_992, 7), (4096, 16_777_216, 9), (2**31 - 1, 0, 14)],
)
def test_the_scale_that_linux_announces_comes_from_the_larger_limit(
    rmem_bytes: int, core_bytes: int, shift: int
) -> None:
    assert needs.announced_window_scale(rmem_bytes, core_bytes) == shift


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
    assert needs.window_ratio(kernel, scale) == ratio


def test_one_connection_carries_a_window_a_round_trip() -> None:
    assert needs.connection_rate_bits_per_s(65_535, 0.04) == pytest.approx(13_107_000)


def test_a_transfer_beyond_the_window_goes_on_a_window_a_round_trip() -> None:
    # 10, 20, then 32 segments at a time
    assert needs.delivery_rounds(100 * 1000, 10, 1000, 32_000) == 5


def test_only_what_is_too_small_is_raised_and_the_first_two_values_stay() -> None:
    needed = needs.needs(TARGET)
    wanted = needs.changes(needed, DEFAULTS)
    assert wanted[RMEM] == f"4096 131072 {needed.tcp_rmem_max_bytes}"
    assert wanted[WMEM].startswith("4096 16384 ")
    assert int(wanted[RMEM].split()[2]) >= 2 * 50_000_000
    assert set(wanted) == {RMEM, WMEM, RMEM_MAX, WMEM_MAX}
    assert needs.changes(needed, DEFAULTS | wanted) == {}
    larger = {name: " ".join(["2000000000"] * len(value.split())) for name, value in wanted.items()}
    assert needs.changes(needed, DEFAULTS | larger) == {}


def test_scaling_that_is_off_is_turned_on_and_a_missing_sysctl_is_left_out() -> None:
    assert needs.changes(needs.needs(TARGET), {WINDOW_SCALING: "0"}) == {WINDOW_SCALING: "1"}


def test_the_page_holds_the_figures_and_the_lines_to_type() -> None:
    needed = needs.needs(TARGET)
    text = tcp_tuning_page.page(TARGET, needed, needs.changes(needed, DEFAULTS))
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
    lines = tcp_tuning_page.route_lines(PathTarget(10**9, 0.04, kernel, initcwnd=initcwnd))
    assert any(f"initrwnd {initcwnd}" in line for line in lines) is told


def test_an_initial_window_beyond_64_kb_is_told_to_be_capped() -> None:
    target = PathTarget(10**9, 0.04, (6, 1), initcwnd=46)
    assert "more than that first window takes" in tcp_tuning_page.page(target, needs.needs(target), {})


PATHS = st.tuples(st.floats(math.log10(56_000), math.log10(1.6e12)), st.floats(-5, 0))
KERNELS = st.sampled_from([((2, 6), None), ((5, 10), 1), ((5, 10), -2), ((5, 10), -31), ((5, 10), 31), ((6, 18), None)])


@given(PATHS, KERNELS, st.sampled_from([536, 1448, 8948]), st.integers(1, 1000))
def test_any_path_from_56_kbit_to_1_6_tbit_and_10_us_to_1_s_is_filled_within_the_kernels_limits(
    path: tuple[float, float], kernel: tuple[tuple[int, int], int | None], mss_bytes: int, streams: int
) -> None:
    rate, rtt_s = round(10 ** path[0]), 10 ** path[1]
    target = PathTarget(rate, rtt_s, kernel[0], kernel[1], mss_bytes=mss_bytes, streams=streams)
    needed = needs.needs(target)
    ratio = needed.window_ratio
    assert abs(needed.bdp_bytes - rate * rtt_s / 8) <= 1
    # so many windows hold what must be on the way, and no fewer would
    assert needed.connections * needed.window_bytes >= needed.bdp_bytes
    if needed.connections > streams:
        assert (needed.connections - 1) * needed.window_bytes < needed.bdp_bytes
    assert 1 <= needed.window_bytes <= needs.MAX_WINDOW_BYTES
    assert needs.UNSCALED_WINDOW_BYTES << needed.window_scale >= needed.window_bytes
    for size_bytes in (needed.tcp_rmem_max_bytes, needed.tcp_wmem_max_bytes):
        assert 0 < size_bytes < 2**31
        assert size_bytes % 4096 == 0
    # SOCK_MIN_RCVBUF and SOCK_MIN_SNDBUF, which net.core's values may not fall below
    assert 2304 <= max(needed.rmem_max_bytes, 2304) < 2**30
    if ratio >= 1e-6:
        assert needed.tcp_rmem_max_bytes * ratio >= min(needed.window_bytes, 1)
        assert needed.tcp_rmem_max_bytes * ratio >= needed.window_bytes - 1
    for start in needed.slow_start:
        assert all(math.isfinite(value) for value in dataclasses.astuple(start))
        # nothing arrives before the line can have sent it
        assert start.size_s >= target.size_bytes * 8 / rate
    page = tcp_tuning_page.page(target, needed, needs.changes(needed, DEFAULTS))
    assert not re.search(r"\\b(inf|nan)\\b|\\de[+-]?\\d", page)
    assert max(map(len, page.splitlines())) <= 130


@pytest.mark.parametrize(
    ("rate", "rtt_s", "words"),
    [
        (
            56_000,
            0.1,
            ["two segments, since delayed ACKs", "takes 2.069 s to leave", "line rate = 9.462 s", "enough"],
        ),
        (16 * 10**11, 1.0, ["use 187 connections", "the kernel ends there", "1.6 Tbit/s"]),
        (10**10, 0.05, ["4 streams                15,625,000 B, tcp_rmem 31,252,480"]),
    ],
)
def test_both_ends_of_the_range_are_told_what_matters_there(rate: int, rtt_s: float, words: list[str]) -> None:
    target = PathTarget(rate, rtt_s, (6, 18))
    page = tcp_tuning_page.page(target, needs.needs(target), {})
    assert [word for word in words if word not in page] == []


def test_parallel_streams_share_the_window_and_the_buffers() -> None:
    one, four = (needs.needs(dataclasses.replace(TARGET, streams=count)) for count in (1, 4))
    assert (four.window_bytes, four.connections) == (one.window_bytes // 4, 4)
    assert four.tcp_rmem_max_bytes < one.tcp_rmem_max_bytes / 3.9


def test_a_line_that_is_written_anyway_is_put_right_whole() -> None:
    wanted = needs.changes(needs.needs(TARGET), DEFAULTS | {RMEM: "8388608 8388608 8388608"})
    assert wanted[RMEM].startswith("4096 131072 ")
