"""When data was waiting: what a capture proves, and what it does not."""

from __future__ import annotations

import pytest

from offloadbench.analysis.capture.tcp_segment import ACK, FIN, PSH, RST
from tests.unit.test_initcwnd_capture import only, score
from tests.unit.wirecraft import Conversation, Record, pcap

MSS = 1448
SIDES = ("client", "server")


def _asked(side: str = "server", **settings: object) -> Conversation:
    talk = Conversation(side=side, wire=True, **settings)  # type: ignore[arg-type]
    talk.handshake()
    talk.request()
    return talk


def _go_on(talk: Conversation) -> list[Record]:
    talk.acknowledged()
    talk.flight([20 * MSS], pushed=True)
    return talk.finish()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("flight", [[21], [MSS, 700], [MSS, MSS, 1447], [700, 700]])
def test_a_partial_segment_with_psh_is_the_end_of_a_write(side: str, flight: list[int]) -> None:
    talk = _asked(side)
    talk.flight(flight, pushed=True)
    flow = only(_go_on(talk))
    assert flow.verdict == "inconclusive"
    assert "the application ended its write" in flow.reason


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("pushed", [True, False])
def test_what_follows_new_payload_of_the_client_may_answer_it(side: str, pushed: bool) -> None:
    talk = _asked(side)
    talk.flight([2 * MSS], pushed=pushed)
    talk.acknowledged()
    talk.request(60)
    talk.flight([20 * MSS], pushed=True)
    flow = only(talk.finish())
    assert flow.verdict == "inconclusive"
    assert "the client had sent more" in flow.reason


@pytest.mark.parametrize("side", SIDES)
def test_a_repeated_request_and_a_keep_alive_are_no_new_payload(side: str) -> None:
    talk = _asked(side)
    talk.flight([2 * MSS])
    talk.acknowledged()
    for back, size in ((100, 100), (1, 1)):
        talk.asked -= back
        talk.client(talk.now_ns - talk.rtt_ns // 2, ACK | PSH, size)
    talk.flight([20 * MSS], pushed=True)
    assert only(talk.finish()).verdict == "ignored"


@pytest.mark.parametrize("side", SIDES)
def test_full_segments_without_psh_had_more_behind_them(side: str) -> None:
    talk = _asked(side)
    talk.flight([2 * MSS])
    flow = only(_go_on(talk))
    assert flow.verdict == "ignored"
    assert "cwnd was below 3" in flow.reason


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("segments", "verdict"), [(2, "inconclusive"), (7, "delayed by TSO deferral")])
def test_a_full_segment_with_psh_may_be_the_end_of_a_write(side: str, segments: int, verdict: str) -> None:
    talk = _asked(side)
    talk.flight([segments * MSS], pushed=True)
    flow = only(_go_on(talk))
    assert flow.verdict.startswith(verdict)
    assert "the application may have paused" in flow.reason


def test_on_a_lan_ten_milliseconds_are_no_answer_to_an_ack() -> None:
    talk = _asked(rtt_ns=1_200_000)
    talk.flight([2 * MSS], pushed=True)
    talk.acknowledged()
    talk.silence(0.008)
    talk.flight([20 * MSS], pushed=True)
    flow = only(talk.finish())
    assert flow.verdict == "inconclusive"
    assert "nothing shows that the server had more to send" in flow.reason


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("acks", [0, 1])
@pytest.mark.parametrize("segments", [1, 9, 10])
def test_a_capture_that_ends_before_an_ack_could_act_proves_nothing(side: str, acks: int, segments: int) -> None:
    talk = _asked(side)
    talk.flight([segments * MSS])
    records = talk.captured()
    if acks and side == "client":
        # the client's ACK is there, and what it releases would come a round trip later
        talk.acknowledged()
        records = talk.captured()
    flow = only(records)
    assert flow.verdict == "inconclusive"
    assert "the capture ends before an ACK could act" in flow.reason


def test_what_already_exceeds_the_window_needs_no_ack() -> None:
    talk = _asked()
    talk.flight([11 * MSS])
    assert only(talk.captured()).verdict == "exceeded"


@pytest.mark.parametrize("side", SIDES)
def test_frames_of_others_show_that_the_capture_went_on(side: str) -> None:
    talk = _asked(side)
    talk.flight([9 * MSS])
    other = Conversation(side=side, client_port=50001, now_ns=talk.now_ns + 10 * talk.rtt_ns)
    other.handshake()
    flow = score(pcap([*talk.captured(), *other.captured()], nanoseconds=True))[0]
    assert flow.verdict == "inconclusive"
    assert "nothing shows that the server had more to send" in flow.reason


@pytest.mark.parametrize("side", SIDES)
def test_a_connection_that_was_reset_proves_nothing(side: str) -> None:
    talk = _asked(side)
    talk.flight([2 * MSS])
    talk.client(talk.now_ns, RST)
    other = Conversation(side=side, client_port=50001, now_ns=talk.now_ns + 10 * talk.rtt_ns)
    other.handshake()
    flow = score(pcap([*talk.captured(), *other.captured()], nanoseconds=True))[0]
    assert flow.verdict == "inconclusive"
    assert "reset before an ACK could act" in flow.reason


@pytest.mark.parametrize("side", SIDES)
def test_a_response_that_a_fin_ends_is_short_with_psh_or_without(side: str) -> None:
    talk = _asked(side)
    talk.flight([3 * MSS])
    talk.server(talk.now_ns + 50_000, FIN | ACK)
    talk.acknowledged()
    flow = only(talk.captured())
    assert flow.verdict == "inconclusive"
    assert "too short" in flow.reason


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    ("expected", "flight", "pushed", "begins"),
    [
        # the cases of a real 2.6.18 with its default buffer, as far as they are not among the captures
        (40, [22 * MSS, 912], True, "capped by send buffer"),
        (40, [22 * MSS], False, "capped by send buffer"),
        (20, [14 * MSS], True, "capped by send buffer"),
        (20, [10 * MSS], True, "capped by send buffer"),
        (40, [10 * MSS], True, "capped by send buffer"),
        (40, [9 * MSS], False, "capped by send buffer"),
        (10, [7 * MSS], True, "delayed by TSO deferral"),
        (10, [8 * MSS], True, "delayed by TSO deferral"),
        (20, [2 * MSS], False, "ignored"),
        (4, [2 * MSS], False, "ignored"),
    ],
)
def test_the_likelier_cause_comes_first(side: str, expected: int, flight: list[int], pushed: bool, begins: str) -> None:
    talk = _asked(side)
    talk.flight(flight, pushed=pushed)
    talk.acknowledged()
    talk.flight([20 * MSS], pushed=True)
    flow = only(talk.finish(), expected)
    assert flow.verdict.startswith(begins), flow.reason
    assert begins == "ignored" or "ignored" not in flow.verdict


def test_lines_written_one_by_one_are_not_paced() -> None:
    talk = _asked("client")
    for _ in range(30):
        talk.flight([200], pushed=True)
        talk.now_ns += 4_000_000
    start = talk.now_ns - 30 * 4_000_000 + talk.rtt_ns // 2
    for number in range(30):
        talk.client(start + number * 4_000_000 + 1000, ACK, acked=(number + 1) * 200)
    flow = only(talk.captured())
    assert flow.verdict == "inconclusive"
    assert "ended its write" in flow.reason


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("rest", [1, 193, 1447])
def test_less_than_a_segment_may_wait_for_nagle(side: str, rest: int) -> None:
    """A certificate of 3089 bytes: two full segments, and 193 bytes when they are acknowledged."""
    talk = _asked(side)
    talk.flight([2 * MSS])
    talk.acknowledged()
    talk.flight([rest], pushed=True)
    flow = only(talk.finish())
    assert flow.verdict == "inconclusive"
    assert "Nagle" in flow.reason


@pytest.mark.parametrize("side", SIDES)
def test_a_partial_segment_with_more_right_behind_it_is_more_than_nagle_holds(side: str) -> None:
    talk = _asked(side)
    talk.flight([2 * MSS])
    talk.acknowledged()
    talk.flight([912])
    talk.now_ns += 5_000
    talk.flight([4 * MSS], pushed=True)
    assert only(talk.finish()).verdict == "ignored"


@pytest.mark.parametrize("side", SIDES)
def test_a_slow_server_between_full_segments_is_no_window(side: str) -> None:
    """sendfile() of a file that is not in memory: full segments without PSH, and then the disk."""
    talk = _asked(side)
    talk.flight([2 * MSS])
    talk.acknowledged()
    talk.silence(0.15)
    talk.flight([20 * MSS], pushed=True)
    flow = only(talk.finish())
    assert flow.verdict == "inconclusive"
    assert "nothing shows that the server had more to send" in flow.reason


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("gap_ms", [8, 15, 40])
def test_segments_one_by_one_are_a_slow_link_or_a_pacing_sender(side: str, gap_ms: int) -> None:
    talk = _asked(side)
    talk.flight([5 * MSS], gap_ns=gap_ms * 1_000_000)
    for number in range(5):
        talk.client(talk.now_ns + talk.rtt_ns // 2 + number * gap_ms * 1_000_000 + 1000, ACK, acked=(number + 1) * MSS)
    talk.silence(5 * gap_ms / 1000)
    talk.flight([3 * MSS], gap_ns=gap_ms * 1_000_000, pushed=True)
    flow = only(talk.finish())
    assert flow.verdict in ("paced", "inconclusive")


@pytest.mark.parametrize("side", SIDES)
def test_what_an_ack_releases_one_by_one_was_paced(side: str) -> None:
    """Two segments at once, and then one in 40 ms: as a link of 300 kbit/s has them behind its queue."""
    talk = _asked(side)
    talk.flight([2 * MSS])
    talk.acknowledged()
    talk.flight([4 * MSS], gap_ns=40_000_000, pushed=True)
    flow = only(talk.finish())
    assert flow.verdict == "paced"


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("lost", [2, 3])
def test_what_the_client_acknowledged_was_sent(side: str, lost: int) -> None:
    """The capture lost the frames behind the flight's second: the next joins on a segment later, or an ACK tells."""
    talk = _asked(side)
    talk.flight([10 * MSS])
    talk.acknowledged()
    talk.flight([20 * MSS], pushed=True)
    records = talk.finish()
    data = [record for record in records if len(record.data) > 1000]
    for record in data[2:10] if lost == 2 else data[2:]:
        records.remove(record)
    flow = only(records)
    assert flow.verdict == "inconclusive"
    assert "missing in the capture" in flow.reason
