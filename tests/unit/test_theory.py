"""The bounds, against figures that others give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.analysis.sender import theory
from offloadbench.analysis.sender.theory import Exchange, Path

LONG = Path(line_rate_bits_per_s=10**9, rtt_s=0.02)


def test_the_line_carries_941_megabits_of_payload() -> None:
    assert theory.line_rate(LONG).bits_per_s == pytest.approx(941.5e6, rel=1e-3)


def test_a_window_is_sent_once_in_a_round_trip() -> None:
    # RFC 7323, 1.1: 64 KiB at most without window scaling
    assert theory.window(LONG, 65535).bits_per_s == pytest.approx(26.2e6, rel=1e-3)


def test_the_default_send_buffer_carries_a_sixth_of_the_line() -> None:
    bound = theory.send_buffer(LONG, 2 * 212992, theory.payload_ratio())
    assert bound.bits_per_s == pytest.approx(167e6, rel=0.01)


def test_half_of_a_send_buffer_is_overhead_without_super_packets() -> None:
    assert theory.payload_ratio(1448) == pytest.approx(0.53, abs=0.01)


def test_one_command_at_a_time() -> None:
    # the initiator of facts.md reached 586 Mbit/s
    assert theory.queue_depth(LONG, Exchange(block_bytes=4 << 20)).bits_per_s == pytest.approx(603e6, rel=0.01)


def test_rounds_of_the_protocol_default() -> None:
    exchange = Exchange(block_bytes=4 << 20, max_burst_bytes=1 << 18)
    assert exchange.rounds == 16
    # libiscsi reached 64 Mbit/s with these bursts
    assert theory.r2t_rounds(LONG, exchange).bits_per_s == pytest.approx(89.3e6, rel=0.01)


@given(st.integers(1, 1 << 24), st.integers(0, 1 << 24), st.integers(1, 1 << 24), st.integers(1, 64))
def test_rounds_never_help(block: int, unsolicited: int, burst: int, depth: int) -> None:
    exchange = Exchange(block, depth, min(unsolicited, block), burst)
    assert (exchange.rounds == 0) == (unsolicited >= block)
    assert theory.r2t_rounds(LONG, exchange).bits_per_s <= theory.queue_depth(LONG, exchange).bits_per_s * (1 + 1e-9)


@pytest.mark.parametrize(
    ("initial_r2t", "immediate_data", "expected"),
    [(True, False, 0), (True, True, 8192), (False, True, 65536), (False, False, 65536)],
)
def test_what_is_sent_unasked(initial_r2t: bool, immediate_data: bool, expected: int) -> None:
    found = theory.unsolicited_bytes(
        1 << 22, initial_r2t=initial_r2t, immediate_data=immediate_data, first_burst_bytes=65536, max_segment_bytes=8192
    )
    assert found == expected


def test_only_what_is_known_becomes_a_bound_and_the_lowest_comes_first() -> None:
    assert theory.bounds(Path()) == []
    assert [bound.name for bound in theory.bounds(Path(line_rate_bits_per_s=1e9))] == [theory.LINE_RATE]
    found = theory.bounds(
        LONG, Exchange(4 << 20, 4, 0, 1 << 18), window_bytes=65535, cwnd_bytes=1e6, sndbuf_bytes=425984
    )
    assert {bound.name for bound in found} == {
        theory.LINE_RATE, theory.WINDOW, theory.CONGESTION_WINDOW, theory.SEND_BUFFER, theory.QUEUE_DEPTH,
        theory.R2T_ROUNDS,
    }  # fmt: skip
    assert found[0].name == theory.WINDOW
    assert found == sorted(found, key=lambda bound: bound.bits_per_s)
    assert all(bound.source and bound.formula for bound in found)
    assert "64 KiB / 20 ms" in str(theory.window(LONG, 65536))


def test_facts_become_path_and_exchange() -> None:
    facts = {"line_rate_bits_per_s": 10**8, "rtt_s": 0.01, "block_bytes": 4096, "queue_depth": 2}
    assert theory.path_of(facts) == Path(1e8, 0.01)
    assert theory.exchange_of(facts) == Exchange(4096, 2)
    assert theory.exchange_of({}) is None


def test_the_buffer_that_does_not_limit_holds_bdp_and_what_is_under_way() -> None:
    alone = theory.send_buffer_needed_bytes(LONG, None)
    assert theory.send_buffer(LONG, alone, theory.payload_ratio()).bits_per_s > theory.line_rate(LONG).bits_per_s
    deep = theory.send_buffer_needed_bytes(LONG, Exchange(4 << 20, 4))
    assert deep > 16 << 20
