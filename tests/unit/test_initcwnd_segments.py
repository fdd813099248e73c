"""How many segments a flight has: the MSS of each direction, time stamps that disappear, holes, and cut options."""

from __future__ import annotations

import pytest

from offloadbench.analysis.capture.tcp_segment import ACK, PSH, options, sacks
from offloadbench.analysis.initcwnd.segment_size import SegmentSize
from tests.unit.test_initcwnd_capture import only
from tests.unit.wirecraft import Conversation, Record, answer

MSS = 1448
SIDES = ("client", "server")


def _captured(side: str, sizes: list[int], **settings: object) -> list[Record]:
    talk = Conversation(side=side, **settings)  # type: ignore[arg-type]
    talk.handshake()
    talk.request()
    talk.flight(sizes)
    talk.acknowledged()
    talk.flight([talk.mss_bytes] * 20, pushed=True)
    return talk.finish()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("server_mss", [1380, 1400, 1440, 536])
@pytest.mark.parametrize("segments", [5, 10])
def test_a_server_may_send_what_the_client_announced(side: str, server_mss: int, segments: int) -> None:
    flow = only(_captured(side, [1448] * segments, announced=(1460, server_mss)))
    assert (flow.first_flight_segments, flow.mss_bytes, flow.super_packets) == (segments, 1448, 0)
    assert flow.verdict == ("honoured" if segments == 10 else "ignored")


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("segments", [5, 10])
def test_time_stamps_may_disappear_after_the_handshake(side: str, segments: int) -> None:
    flow = only(_captured(side, [1460] * segments, mss_bytes=1460, stamped_data=False))
    assert (flow.first_flight_segments, flow.mss_bytes) == (segments, 1460)
    assert flow.verdict == ("honoured" if segments == 10 else "ignored")


@pytest.mark.parametrize(("server_mss", "mss"), [(1380, 1368), (1380, 1448), (1460, 1448)])
def test_super_packets_are_split_as_their_sizes_divide(server_mss: int, mss: int) -> None:
    talk = Conversation(announced=(1460, server_mss), mss_bytes=mss)
    talk.handshake()
    talk.request()
    talk.flight([5 * mss, 5 * mss])
    talk.acknowledged()
    talk.flight([20 * mss], pushed=True)
    flow = only(talk.finish())
    assert (flow.first_flight_segments, flow.mss_bytes, flow.super_packets) == (10, mss, 2)


def test_a_narrow_path_shows_in_segments_that_end_no_write() -> None:
    flow = only(_captured("client", [1348] * 2, announced=(1460, 1460), mss_bytes=1348))
    assert (flow.mss_bytes, flow.first_flight_segments, flow.verdict) == (1348, 2, "ignored")
    size = SegmentSize(1460, 1460, 12)
    for _ in range(5):
        size.saw(1000, 12, pushed=True)
    assert size.mss_bytes == 1448


def test_a_server_without_an_mss_option_sends_what_the_client_announced() -> None:
    size = SegmentSize()
    size.announced(1410, None, timestamps=False)
    size.saw(3 * 1410, 0, pushed=True)
    assert size.mss_bytes == 1410
    size.announced(None, 1460, timestamps=False)
    assert size.client_bytes == 536


def test_sack_blocks_do_not_shorten_a_segment() -> None:
    size = SegmentSize(1460, 1460, 12)
    size.saw(1436, 24, pushed=False)
    size.saw(1448, 12, pushed=False)
    size.saw(1436, 24, pushed=False)
    assert size.mss_bytes == 1448


def test_the_sizes_of_super_packets_cost_no_memory() -> None:
    size = SegmentSize(1460, 1460, 12)
    for payload in range(2000, 9000):
        size.saw(payload, 12, pushed=True)
    assert len(size._super_sizes) == 64
    assert size.mss_bytes == 1448


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("first", [1, 2, 9])
def test_the_first_flight_begins_at_the_streams_beginning_in_whatever_order(side: str, first: int) -> None:
    records = answer([10 * MSS], 20 * MSS, wire=True, side=side)
    data = [number for number, record in enumerate(records) if len(record.data) > 1000][:10]
    times = [records[number].time_ns for number in data]
    order = [data[first], *(number for number in data if number != data[first])]
    for number, time_ns in zip(order, times, strict=True):
        records[number] = records[number]._replace(time_ns=time_ns)
    flow = only(sorted(records, key=lambda record: record.time_ns))
    assert (flow.verdict, flow.first_flight_segments) == ("honoured", 10)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("missing", [[0], [0, 1], [4], [0, 5, 8]])
def test_what_is_missing_is_a_hole_at_the_beginning_too(side: str, missing: list[int]) -> None:
    records = answer([9 * MSS], 0, wire=True, side=side, pushed=True)
    data = [record for record in records if len(record.data) > 1000]
    for number in missing:
        records.remove(data[number])
    flow = only(records)
    assert flow.verdict == "inconclusive"
    assert "missing in the capture" in flow.reason


def test_more_holes_than_are_kept_are_holes() -> None:
    talk = Conversation(wire=True, window_bytes=1_000_000)
    talk.handshake()
    talk.request()
    talk.flight([400 * MSS])
    talk.acknowledged()
    records = talk.finish()
    data = [record for record in records if len(record.data) > 1000]
    for record in data[1::2]:
        records.remove(record)
    assert "missing in the capture" in only(records).reason


def test_a_burst_whose_first_frame_is_missing_has_a_hole() -> None:
    talk = Conversation(wire=True)
    talk.handshake()
    talk.request()
    talk.flight([10 * MSS], pushed=True)
    talk.acknowledged()
    talk.silence(10)
    before = talk.sent
    talk.request()
    talk.flight([11 * MSS])
    talk.acknowledged(before)
    talk.flight([20 * MSS], pushed=True)
    records = talk.finish()
    data = [record for record in records if len(record.data) > 1000]
    records.remove(data[10])
    (burst,) = only(records).bursts
    assert burst.verdict == "inconclusive"
    assert "missing" in burst.reason


@pytest.mark.parametrize("snap_bytes", [54, 58, 60, 64])
def test_options_that_the_snap_length_hides_are_unknown(snap_bytes: int) -> None:
    records = [record._replace(data=record.data[:snap_bytes]) for record in answer([10 * MSS], 20 * MSS, wire=True)]
    flow = only(records)
    assert flow.verdict == "inconclusive"
    assert f"cut off by the snap length ({snap_bytes} bytes)" in flow.reason


@pytest.mark.parametrize(
    ("raw", "known"),
    [
        # Linux: MSS, SACK, time stamps, padding, window scale; the old default of tcpdump cuts after 14 bytes
        ("020405b40402080a000000010000", (1460, None, False, 68)),
        ("020405b4", (1460, None, False, 68)),
        ("", (None, None, False, 68)),
        ("020405b4010303070101080a0000000100000000", (1460, 7, True, 0)),
        ("020405b400", (1460, None, False, 0)),
    ],
)
def test_what_was_captured_of_the_options_is_read(raw: str, known: tuple[int | None, int | None, bool, int]) -> None:
    assert tuple(options(bytes.fromhex(raw), 68)) == known


@pytest.mark.parametrize("side", SIDES)
def test_a_window_is_bytes(side: str) -> None:
    talk = Conversation(side=side, wire=True, window_bytes=2920, mss_bytes=1460, timestamps=False)
    talk.handshake()
    talk.request()
    for _ in range(2):
        talk.flight([8], pushed=True)
    talk.acknowledged()
    talk.flight([1460], pushed=True)
    flow = only(talk.finish())
    assert flow.verdict == "inconclusive"
    assert "2 segments, 16 bytes" in flow.reason


@pytest.mark.parametrize("side", SIDES)
def test_few_bytes_in_many_packets_are_judged_as_both(side: str) -> None:
    talk = Conversation(side=side, wire=True)
    talk.handshake()
    talk.request()
    for number in range(14):
        talk.server(talk.now_ns + number * 5_000, ACK | PSH, 100)
    talk.acknowledged()
    talk.flight([20 * MSS], pushed=True)
    flow = only(talk.finish())
    assert flow.verdict == "exceeded in packets, not in bytes"
    assert "1400 bytes" in flow.reason


@pytest.mark.parametrize("side", SIDES)
def test_an_ack_that_reports_a_loss_lets_more_leave_too(side: str) -> None:
    """The first segment is lost on its way; what the second and third ACK of nothing release is no first flight."""
    talk = Conversation(side=side, wire=True)
    talk.handshake()
    talk.request()
    talk.flight([10 * MSS])
    for number in range(2, 6):
        talk.client(talk.now_ns + talk.rtt_ns // 2 + number * 1000, ACK, acked=0)
    talk.now_ns += talk.rtt_ns + 10_000
    talk.flight([2 * MSS], pushed=True)
    assert only(talk.finish()).first_flight_segments == 10


def test_sack_blocks_report_a_loss() -> None:
    assert sacks(bytes.fromhex("0101050a0000000100000002"))
    assert not sacks(bytes.fromhex("0101080a0000000100000002"))
    assert not sacks(bytes.fromhex("0101050a00000001"))


def test_new_data_behind_a_pause_without_an_ack_was_sent_by_a_timer() -> None:
    talk = Conversation(side="client", wire=True)
    talk.handshake()
    talk.request()
    talk.flight([10 * MSS])
    talk.now_ns += 45_000_000
    talk.flight([MSS])
    talk.acknowledged()
    talk.flight([20 * MSS], pushed=True)
    flow = only(talk.finish())
    assert flow.verdict == "inconclusive"
    assert "a pause of a round trip" in flow.reason
