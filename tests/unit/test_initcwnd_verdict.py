"""The judgement on a flight, as a live probe with tcp_info and an on/off pair would ask for it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.analysis.initcwnd.verdict import VERDICTS, Observation, default_buffer_segments, judge

MSS = 1448


def _seen(segments: int, expected: int | None = 10, **known: Any) -> Observation:
    return Observation(
        segments=segments, **{"bytes": segments * MSS, "mss_bytes": MSS, "expected_segments": expected} | known
    )


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (_seen(12, problem="frames were dropped"), "inconclusive"),
        (_seen(12, None), "inconclusive"),
        (_seen(11), "exceeded"),
        (_seen(11, short=True), "exceeded"),
        (_seen(10), "honoured"),
        (_seen(10, cwnd_segments=20), "honoured"),
        (_seen(6, short=True, cwnd_segments=2), "inconclusive"),
        (_seen(2, cwnd_segments=2), "ignored"),
        (_seen(8, cwnd_segments=8, more_waiting=True), "ignored"),
        (_seen(4, cwnd_segments=10, window_segments=4), "capped by window"),
        (_seen(4, window_segments=4, more_waiting=True), "capped by window"),
        (_seen(9, cwnd_segments=10, write_blocked=True, more_waiting=False), "capped by send buffer"),
        (_seen(8, cwnd_segments=10, more_waiting=True, segments_tso_off=10), "delayed by TSO deferral"),
        (_seen(5, more_waiting=True, segments_tso_off=10), "delayed by TSO deferral"),
        (_seen(6, unprompted=True), "paced"),
        (_seen(1, synack_retransmitted=True, more_waiting=True), "inconclusive"),
        (_seen(2, more_waiting=True), "ignored"),
        (_seen(6, more_waiting=True), "ignored"),
        (_seen(7, more_waiting=True), "delayed by TSO deferral"),
        (_seen(7, more_waiting=True, tso=False), "ignored"),
        (_seen(2), "inconclusive"),
        (_seen(2, more_waiting=False), "inconclusive"),
        (_seen(9, more_waiting=True, pushed=True), "capped by send buffer"),
        (_seen(9, 20, more_waiting=True, pushed=True), "capped by send buffer"),
        (_seen(9, more_waiting=True, pushed=False), "delayed by TSO deferral"),
        (_seen(9, more_waiting=True, pushed=True, tso=True), "delayed by TSO deferral"),
        (_seen(9, more_waiting=True, pushed=True, bytes=12_288), "delayed by TSO deferral"),
    ],
)
def test_the_questions_are_asked_in_order(seen: Observation, verdict: str) -> None:
    assert judge(seen).verdict == verdict


def test_a_reason_names_what_else_would_look_the_same() -> None:
    assert "a cwnd of 8, or a full send buffer" in judge(_seen(8, more_waiting=True)).reason
    assert "or TSO deferral" in judge(_seen(9, more_waiting=True, pushed=True)).reason
    assert "cwnd was below 3" in judge(_seen(2, more_waiting=True)).reason


@pytest.mark.parametrize(("mss_bytes", "segments"), [(1448, 9), (1460, 9), (536, 17), (8948, 2)])
def test_the_old_send_buffer_holds_so_many_segments(mss_bytes: int, segments: int) -> None:
    assert default_buffer_segments(mss_bytes) == segments


_MAYBE = st.sampled_from([None, False, True])
_FEW = st.none() | st.integers(0, 60)


@given(
    st.builds(
        Observation,
        segments=st.integers(1, 60),
        bytes=st.integers(1, 90_000),
        mss_bytes=st.integers(48, 9000),
        expected_segments=st.none() | st.integers(1, 60),
        short=st.booleans(),
        cwnd_segments=_FEW,
        window_segments=_FEW,
        write_blocked=_MAYBE,
        more_waiting=_MAYBE,
        pushed=_MAYBE,
        segments_tso_off=_FEW,
        unprompted=st.booleans(),
        tso=_MAYBE,
        synack_retransmitted=st.booleans(),
    )
)
def test_every_observation_has_one_of_the_words_and_a_reason(seen: Observation) -> None:
    judged = judge(seen)
    assert judged.verdict in VERDICTS
    assert judged.reason
    if seen.expected_segments is not None:
        assert (judged.verdict == "exceeded") == (seen.segments > seen.expected_segments)
        assert (judged.verdict == "honoured") == (seen.segments == seen.expected_segments)
