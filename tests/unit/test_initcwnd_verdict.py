"""The judgement on a flight, as a live probe with tcp_info and an on/off pair would ask for it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.analysis.initcwnd.verdict import CAUSES, VERDICTS, FlightFacts, default_buffer_segments, judge

MSS = 1448


def _seen(segments: int, expected: int | None = 10, **known: Any) -> FlightFacts:
    return FlightFacts(
        segments=segments, **{"bytes": segments * MSS, "mss_bytes": MSS, "expected_segments": expected} | known
    )


DEFERRAL_OR_LESS = "delayed by TSO deferral or a smaller cwnd"
ALL_THREE = "capped by send buffer or delayed by TSO deferral or a smaller cwnd"
BUFFER_OR_LESS = "capped by send buffer or a smaller cwnd"


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (_seen(12, problem="frames were dropped"), "inconclusive"),
        (_seen(12, None), "inconclusive"),
        (_seen(11), "exceeded"),
        (_seen(11, short=True), "exceeded"),
        (_seen(12, bytes=420), "exceeded in packets, not in bytes"),
        (_seen(11, bytes=10 * MSS), "exceeded in packets, not in bytes"),
        (_seen(11, bytes=10 * MSS + 1), "exceeded"),
        (_seen(10), "honoured"),
        (_seen(10, cwnd_segments=20), "honoured"),
        (_seen(6, short=True, cwnd_segments=2), "inconclusive"),
        (_seen(2, cwnd_segments=2), "ignored"),
        (_seen(8, cwnd_segments=8, more_waiting=True), "ignored"),
        (_seen(4, cwnd_segments=10, window_bytes=4 * MSS), "capped by window"),
        (_seen(4, window_bytes=5840, more_waiting=True), "capped by window"),
        (_seen(4, window_bytes=5 * MSS, more_waiting=True), "ignored"),
        # 16 bytes of 2920, and 16 of 1000, where no segment holds more than 500
        (_seen(2, bytes=16, window_bytes=2920), "inconclusive"),
        (_seen(2, bytes=16, window_bytes=1000), "inconclusive"),
        (_seen(2, bytes=1000, window_bytes=1000, more_waiting=True), "capped by window"),
        # a window that is spent more than once is not the one that held
        (_seen(4, window_bytes=1, more_waiting=True), "ignored"),
        (_seen(9, cwnd_segments=10, write_blocked=True, more_waiting=False), "capped by send buffer"),
        (_seen(8, cwnd_segments=10, more_waiting=True, segments_tso_off=10), "delayed by TSO deferral"),
        (_seen(5, more_waiting=True, segments_tso_off=10), "delayed by TSO deferral"),
        (_seen(6, unprompted=True), "paced"),
        (_seen(1, synack_retransmitted=True, more_waiting=True), "inconclusive"),
        (_seen(2, more_waiting=True), "ignored"),
        (_seen(6, more_waiting=True), "ignored"),
        (_seen(7, more_waiting=True), DEFERRAL_OR_LESS),
        (_seen(7, more_waiting=True, cwnd_segments=10), "delayed by TSO deferral"),
        (_seen(7, more_waiting=True, tso=False), "ignored"),
        (_seen(7, more_waiting=True, tso=False, cwnd_segments=10), "inconclusive"),
        (_seen(2), "inconclusive"),
        (_seen(2, more_waiting=False), "inconclusive"),
        # the buffer counts sk_buffs: full or not, with PSH or without
        (_seen(9, more_waiting=True, pushed=False), ALL_THREE),
        (_seen(9, more_waiting=True, bytes=12_784), ALL_THREE),
        (_seen(9, 20, more_waiting=True, pushed=False), BUFFER_OR_LESS),
        (_seen(9, 40, more_waiting=True, tso=False), BUFFER_OR_LESS),
        (_seen(9, 40, more_waiting=True, tso=False, cwnd_segments=40), "capped by send buffer"),
        (_seen(9, 40, more_waiting=True, write_blocked=False), "ignored"),
        (_seen(10, 40, more_waiting=True), BUFFER_OR_LESS),
        (_seen(22, 40, more_waiting=True), BUFFER_OR_LESS),
        (_seen(14, 20, more_waiting=True), ALL_THREE),
        (_seen(30, 40, more_waiting=True), ALL_THREE),
        # two super-packets take no 16384 bytes with nine segments, and with twelve they do
        (_seen(9, 40, more_waiting=True, tso=True, frames=2), "ignored"),
        (_seen(12, 40, more_waiting=True, tso=True, frames=2), BUFFER_OR_LESS),
        # what PSH ends was written by then: whether the next write had begun is not certain
        (_seen(7, more_waiting=True, pushed=True), "delayed by TSO deferral or a smaller cwnd or the end of a write"),
        (_seen(2, more_waiting=True, pushed=True), "inconclusive"),
        (_seen(3, bytes=3000, more_waiting=True, pushed=True, write_ended=True), "inconclusive"),
        # 22 full segments and 912 bytes with PSH: eight pages, where 2.6.18 puts a write to sleep
        (
            _seen(23, 40, bytes=32768, more_waiting=True, pushed=True, write_ended=True),
            "capped by send buffer or the end of a write",
        ),
        (_seen(23, 40, bytes=32768, pushed=True, write_ended=True), "inconclusive"),
        (_seen(3, 40, bytes=4096, more_waiting=True, pushed=True, write_ended=True), "inconclusive"),
    ],
)
def test_the_questions_are_asked_in_order(seen: FlightFacts, verdict: str) -> None:
    assert judge(seen).verdict == verdict


def test_a_reason_names_what_else_would_look_the_same() -> None:
    assert "a cwnd of 8 would look the same" in judge(_seen(8, more_waiting=True)).reason
    nine = judge(_seen(9, more_waiting=True, pushed=False)).reason
    assert nine.index("send buffer may have been full") < nine.index("TSO deferral") < nine.index("a cwnd of 9")
    assert "cwnd was below 3" in judge(_seen(2, more_waiting=True)).reason
    assert "application ended its write" in judge(_seen(2, bytes=2000, write_ended=True)).reason
    assert "the client had sent more" in judge(_seen(2, asked=True)).reason


def test_packets_and_bytes_stand_side_by_side() -> None:
    lines = judge(_seen(12, bytes=420)).reason
    assert "a stack that counts packets" in lines
    assert "420 bytes, and one that counts bytes (RFC 6928: 14480 of them) stays within" in lines
    assert "counts bytes 350 of 14480" in judge(_seen(10, bytes=350)).reason
    assert "bytes" not in judge(_seen(10)).reason
    # 14600 bytes are fewer than ten large segments
    assert "14600 of them" not in judge(_seen(10, bytes=10 * 8948, mss_bytes=8948)).reason


@pytest.mark.parametrize(("mss_bytes", "segments"), [(1448, 9), (1460, 9), (536, 17), (8948, 2)])
def test_the_old_send_buffer_holds_so_many_segments(mss_bytes: int, segments: int) -> None:
    assert default_buffer_segments(mss_bytes) == segments


_MAYBE = st.sampled_from([None, False, True])
_FEW = st.none() | st.integers(0, 60)


@given(
    st.builds(
        FlightFacts,
        segments=st.integers(1, 60),
        bytes=st.integers(1, 90_000),
        mss_bytes=st.integers(48, 9000),
        expected_segments=st.none() | st.integers(1, 60),
        short=st.booleans(),
        cwnd_segments=_FEW,
        window_bytes=st.none() | st.integers(0, 90_000),
        write_blocked=_MAYBE,
        more_waiting=_MAYBE,
        pushed=_MAYBE,
        write_ended=st.booleans(),
        asked=st.booleans(),
        frames=_FEW,
        segments_tso_off=_FEW,
        unprompted=st.booleans(),
        tso=_MAYBE,
        synack_retransmitted=st.booleans(),
    )
)
def test_every_observation_has_one_of_the_words_and_a_reason(seen: FlightFacts) -> None:
    judged = judge(seen)
    causes = judged.verdict.split(" or ")
    assert judged.verdict in VERDICTS or set(causes) <= set(CAUSES)
    assert judged.reason
    if seen.expected_segments is None:
        return
    assert judged.verdict.startswith("exceeded") == (seen.segments > seen.expected_segments)
    assert (judged.verdict == "honoured") == (seen.segments == seen.expected_segments)
    if seen.cwnd_segments is None and judged.verdict == "ignored":
        assert seen.more_waiting
        assert not seen.write_ended
        assert not seen.pushed
    # causes that nothing tells apart are each in the reason too
    for cause, words in {"send buffer": "send buffer", "deferral": "TSO", "cwnd": "a cwnd of"}.items():
        if len(causes) > 1 and any(cause in one for one in causes):
            assert words in judged.reason
