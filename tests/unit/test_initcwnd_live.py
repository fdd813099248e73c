"""Live first flights: counted, and judged in the order of the method."""

from __future__ import annotations

from typing import Any

import pytest

from offloadbench.analysis.initcwnd import live, verdict
from offloadbench.model import FlightFrames, FlightTrial, TcpState

MSS = 1448
RTT_US = 20_000
PLANNED: dict[str, Any] = {
    "repeat": 1, "case": "tso", "congestion_control": "cubic", "metrics": "cold", "pattern": "one", "initcwnd": 10,
    "mss_bytes": MSS, "rtt_us": RTT_US, "window_bytes": 65535, "synacks": 1, "repeated": True, "waited_us": 250_000,
    "released_bytes": 2 * MSS,
}  # fmt: skip


def frames(*rows: tuple[int, int, int], mss: int = MSS) -> FlightFrames:
    """Rows of (microseconds, first segment, segments)."""
    return FlightFrames(
        t_us=[row[0] for row in rows],
        offset_bytes=[row[1] * mss for row in rows],
        payload_bytes=[row[2] * mss for row in rows],
        gso_bytes=[mss if row[2] > 1 else 0 for row in rows],
    )


def sent(segments: int) -> FlightFrames:
    """So many at once in two super-packets, and the repetition of the first."""
    half = segments // 2
    return frames((20_000, 0, half), (20_010, half, segments - half), (240_000, 0, 1))


def state(cwnd: int = 10, unsent: int = 4 * MSS, **others: int) -> TcpState:
    values = {
        "snd_cwnd_segments": cwnd, "snd_mss_bytes": MSS, "snd_wnd_bytes": 65535, "unacked_segments": 10,
        "notsent_bytes": unsent, "rto_us": 220_000, "srtt_us": RTT_US, "pacing_rate_bytes_per_s": 0,
        "sndbuf_bytes": 46080,
    }  # fmt: skip
    return TcpState(**{**values, **others})


def trial(**values: Any) -> FlightTrial:
    return FlightTrial(**{**PLANNED, "frames": sent(10), "before": state(), "after": state(), **values})


def test_a_super_packet_counts_by_its_segment_size_and_a_repetition_ends_the_flight() -> None:
    flight = live.count(trial(frames=frames((100, 0, 5), (110, 5, 4), (120, 9, 1), (220_000, 0, 1), (220_050, 10, 1))))
    assert (flight.segments, flight.all_segments, flight.frames, flight.super_packets) == (10, 10, 3, 2)
    assert (flight.largest_segments, flight.spread_us, flight.repeated_us) == (5, 20, 219_900)
    assert flight.steps == [(0, 5), (10, 9), (20, 10)]
    assert not flight.hole


def test_the_last_segment_of_a_super_packet_may_be_short() -> None:
    given = FlightFrames(t_us=[0], offset_bytes=[0], payload_bytes=[2 * MSS + 1], gso_bytes=[MSS])
    assert live.count(trial(frames=given)).segments == 3


def test_what_comes_after_a_round_trip_is_counted_apart() -> None:
    flight = live.count(trial(frames=frames((0, 0, 6), (RTT_US + 1, 6, 4))))
    assert (flight.segments, flight.all_segments, flight.spread_us) == (6, 10, 0)
    assert flight.repeated_us is None


def test_frames_out_of_order_are_no_repetition_and_leave_no_hole() -> None:
    flight = live.count(trial(frames=frames((0, 5, 5), (10, 0, 5))))
    assert (flight.segments, flight.hole, flight.repeated_us) == (10, False, None)


@pytest.mark.parametrize(
    ("values", "word", "reason"),
    [
        ({}, verdict.HONOURED, "exactly 10 segments"),
        ({"lost_frames": 2}, verdict.INCONCLUSIVE, "the observer lost 2 frames"),
        ({"frames": frames((0, 0, 4), (10, 5, 5))}, verdict.INCONCLUSIVE, "lost on the way"),
        ({"frames": FlightFrames()}, verdict.INCONCLUSIVE, "the server sent no data"),
        ({"problem": "it does not answer"}, verdict.INCONCLUSIVE, "it does not answer"),
        (
            {"frames": sent(3), "released_bytes": 0, "after": state(unsent=0)},
            verdict.INCONCLUSIVE,
            "too short",
        ),
        ({"frames": sent(12)}, verdict.EXCEEDED, "12 segments left before an ACK could act, 10 were expected"),
        ({"frames": frames((0, 0, 8), (RTT_US + 5, 8, 4))}, verdict.EXCEEDED, "12 segments"),
        ({"frames": sent(2), "before": state(cwnd=2)}, verdict.IGNORED, "cwnd was 2, not 10"),
        ({"frames": sent(4), "window_bytes": 5840}, verdict.CAPPED_BY_WINDOW, "5792 bytes of the client's"),
        (
            {"frames": sent(8), "write_blocked": True, "after": state(unsent=0)},
            verdict.CAPPED_BY_SEND_BUFFER,
            "sleeps after 8 segments",
        ),
        ({"frames": frames((0, 0, 6), (RTT_US + 1, 6, 2))}, verdict.PACED, "kept coming"),
        ({"frames": frames((0, 0, 6), (RTT_US + 1, 6, 4))}, verdict.HONOURED, "exactly 10 segments"),
        ({"frames": sent(9), "case": "csum", "write_blocked": False}, verdict.INCONCLUSIVE, "cwnd was 10"),
        ({"frames": sent(5), "case": "csum", "before": None}, verdict.IGNORED, "TSO is off"),
        ({"initcwnd": None}, verdict.INCONCLUSIVE, "nothing to compare with"),
    ],
)  # fmt: skip
def test_one_trial_is_judged(values: dict[str, Any], word: str, reason: str) -> None:
    (judged,) = live.judge([trial(**values)])
    assert judged.verdict == word
    assert reason in judged.reason


def test_the_same_flight_without_super_packets_tells_deferral() -> None:
    pair = [trial(frames=sent(8)), trial(case="csum", frames=frames(*((0, at, 1) for at in range(10))))]
    assert [one.verdict for one in live.judge(pair)] == [verdict.DELAYED_BY_DEFERRAL, verdict.HONOURED]
    # TSO off at the NIC alone is no such pair: sockets go on building super-packets
    alone = [trial(frames=sent(8)), trial(case="gso", frames=sent(10))]
    assert "8 segments with TSO, 10 without" not in live.judge(alone)[0].reason


def test_a_pair_must_be_of_the_same_setting() -> None:
    other = trial(case="csum", congestion_control="bbr", frames=frames(*((0, at, 1) for at in range(10))))
    assert "8 segments with TSO, 10 without" not in live.judge([trial(frames=sent(8)), other])[0].reason


def test_a_burst_after_silence_is_not_judged_by_the_window_that_it_started_from() -> None:
    burst = {"pattern": live.IDLE, "idle_us": 900_000, "before": state(cwnd=70)}
    assert live.judge([trial(**burst)])[0].verdict == verdict.HONOURED
    exceeding = live.judge([trial(**burst, frames=sent(70))])[0]
    assert exceeding.verdict == verdict.EXCEEDED
    assert "after 0.9 s of silence (cwnd was 70 before)" in exceeding.reason


def test_a_foreign_server_is_judged_by_what_it_sends_alone() -> None:
    foreign = {"before": None, "after": None, "case": "", "write_blocked": None}
    assert live.judge([trial(**foreign)])[0].verdict == verdict.HONOURED
    short = live.judge([trial(**foreign, frames=sent(4), released_bytes=0, finished=True)])[0]
    assert (short.verdict, "too short" in short.reason) == (verdict.INCONCLUSIVE, True)
    assert "the end" in live.evidence(trial(**foreign, released_bytes=0, finished=True))


def test_evidence_names_the_servers_own_account() -> None:
    told = live.evidence(trial(write_blocked=True))
    assert "10 segments in 2 frames of up to 5 within 0.01 ms" in told
    assert f"cwnd 10 before the write, then 10 segments unacknowledged and {4 * MSS} B unsent" in told
    assert "the write asleep" in told
    assert "first repetition after 220 ms" in told
