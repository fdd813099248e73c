"""Rates, times, sizes and CPU lists as people write and read them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.base import units
from offloadbench.base.errors import UsageError

_FACTORS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_RATES = {"bit/s": 1, "kbit/s": 10**3, "Mbit/s": 10**6, "Gbit/s": 10**9}


@given(st.integers(1, 10**6), st.sampled_from(["mbit", "Mbit", "MBIT"]))
def test_a_rate_is_decimal_and_ignores_case(number: int, unit: str) -> None:
    assert units.parse_rate_bits_per_s(f"{number}{unit}") == number * 10**6


@pytest.mark.parametrize(("text", "bits"), [("1gbit", 10**9), (" 2.5 gbit ", 2_500_000_000), ("1000kbit", 10**6)])
def test_rates_as_tc_writes_them(text: str, bits: int) -> None:
    assert units.parse_rate_bits_per_s(text) == bits


@pytest.mark.parametrize("text", ["", "1", "gbit", "-1gbit", "1 gbyte", "1e9bit", "1gbit!", "1,5gbit"])
def test_what_is_no_rate_is_a_usage_error_that_shows_how_to_write_one(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        units.parse_rate_bits_per_s(text)
    assert repr(text) in caught.value.message
    assert "1gbit" in caught.value.hint


def test_a_rate_below_one_megabit_is_refused() -> None:
    assert units.parse_rate_bits_per_s("1mbit") == 10**6
    with pytest.raises(UsageError, match="too low"):
        units.parse_rate_bits_per_s("999kbit")


@pytest.mark.parametrize(("text", "bits"), [("56kbit", 56_000), ("1.6tbit", 16 * 10**11), ("2.3tbit", 23 * 10**11)])
def test_paths_are_slower_and_faster_than_links_of_the_lab(text: str, bits: int) -> None:
    assert units.parse_rate_bits_per_s(text, 1000) == bits


@pytest.mark.parametrize("text", ["9" * 400 + "tbit", "101tbit", "1000000gbit"])
def test_a_rate_that_nothing_has_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        units.parse_rate_bits_per_s(text)


@pytest.mark.parametrize("text", ["9" * 5000, "9" * 400 + "GiB"])
def test_a_size_that_nothing_has_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        units.parse_size_bytes(text)


@given(st.integers(0, 10**5))
def test_a_time_means_the_same_in_every_unit(milliseconds: int) -> None:
    in_ms = units.parse_time_s(f"{milliseconds}ms")
    assert in_ms == pytest.approx(milliseconds / 1000)
    assert units.parse_time_s(f"{milliseconds * 1000}us") == pytest.approx(in_ms)
    assert units.parse_time_s(f"{milliseconds / 1000:.3f}s") == pytest.approx(in_ms)


@pytest.mark.parametrize("text", ["20", "20 minutes", "-1ms", "ms"])
def test_what_is_no_time_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time"):
        units.parse_time_s(text)


@given(st.integers(0, 2**40))
def test_a_bare_number_is_bytes(number: int) -> None:
    assert units.parse_size_bytes(str(number)) == number


@pytest.mark.parametrize(
    ("text", "size"), [("128MiB", 2**27), ("16MB", 16 * 10**6), ("64kib", 2**16), ("1.5GiB", 3 * 2**29)]
)
def test_sizes_are_binary_only_where_they_say_so(text: str, size: int) -> None:
    assert units.parse_size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "12 MiBs", "-5", "MiB", "0x10"])
def test_what_is_no_size_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        units.parse_size_bytes(text)


@given(st.integers(1, 1023), st.sampled_from(sorted(_FACTORS)))
def test_a_formatted_size_parses_to_itself(number: int, unit: str) -> None:
    assert units.parse_size_bytes(units.format_bytes(number * _FACTORS[unit])) == number * _FACTORS[unit]


@given(st.floats(1e3, 9.99e11))
def test_a_formatted_rate_is_plain_digits_within_half_a_percent(bits_per_s: float) -> None:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ([kMG]?bit/s)", units.format_rate(bits_per_s))
    assert match, units.format_rate(bits_per_s)
    assert float(match[1]) * _RATES[match[2]] == pytest.approx(bits_per_s, rel=0.005)


@pytest.mark.parametrize("bits_per_s", [999_600_000, 999_999_999, 999_950])
def test_a_rate_just_below_the_next_unit_is_not_shown_with_an_exponent(bits_per_s: float) -> None:
    assert "e+" not in units.format_rate(bits_per_s)


@given(st.integers(0, 10**6))
def test_a_formatted_duration_adds_up(seconds: int) -> None:
    text = units.format_duration(seconds)
    parts = {unit: int(number) for number, unit in re.findall(r"(\d+)([hms])", text)}
    total = parts.get("h", 0) * 3600 + parts.get("m", 0) * 60 + parts.get("s", 0)
    assert total == (seconds // 60 * 60 if "h" in parts else seconds)


@given(st.frozensets(st.integers(0, 1023), min_size=1))
def test_a_cpulist_survives_the_round_trip(cpus: frozenset[int]) -> None:
    assert units.parse_cpulist(units.format_cpulist(cpus)) == cpus


def test_ranges_of_a_cpulist_include_both_ends() -> None:
    assert units.parse_cpulist("0-2,5,8-9\n") == {0, 1, 2, 5, 8, 9}


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.00027, "0.027 %"), (-0.0312, "3.1 %"), (0.0996, "10 %"), (0.41, "41 %"), (7.9, "790 %")]
)
def test_a_change_is_told_without_exponents(ratio: float, text: str) -> None:
    assert units.format_change(ratio) == text


@pytest.mark.parametrize(("text", "ratio"), [("2%", 0.02), (" 0.5 % ", 0.005), ("100%", 1.0), ("2", 0.02)])
def test_a_percentage_is_read(text: str, ratio: float) -> None:
    assert units.parse_percent(text) == pytest.approx(ratio)


@pytest.mark.parametrize("text", ["-1%", "two%", "", "%"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a percentage"):
        units.parse_percent(text)


@pytest.mark.parametrize("text", ["0%", "101%", "100.5 %"])
def test_a_percentage_out_of_range_is_said_to_be(text: str) -> None:
    with pytest.raises(UsageError, match="out of range"):
        units.parse_percent(text)


@pytest.mark.parametrize("text", ["0", " 0 ", "0.0", "0ms"])
def test_no_time_needs_no_unit(text: str) -> None:
    assert units.parse_time_s(text) == 0.0
