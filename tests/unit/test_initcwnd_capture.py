"""First flights in crafted captures: every mark of the old kernels, both sides, every link, damage, and long life."""

from __future__ import annotations

import io
import itertools
import random
import struct
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.analysis.capture.capture_file import CaptureFile
from offloadbench.analysis.capture.link_types import ETHERNET
from offloadbench.analysis.capture.tcp_segment import ACK, PSH, SYN
from offloadbench.analysis.initcwnd.prediction import predict
from offloadbench.analysis.initcwnd.scoring import FlowScore, score_capture
from offloadbench.analysis.initcwnd.vectors import scenarios
from offloadbench.analysis.initcwnd.verdict import CAUSES, VERDICTS
from offloadbench.base.errors import UsageError
from tests.conftest import DATA
from tests.unit.wirecraft import Conversation, Link, Record, answer, block, pcap, pcapng

MSS = 1448
SIDES = ("client", "server")
VECTORS = scenarios((DATA / "initcwnd-vectors.json").read_bytes())
# a prediction tells segments per skb; only flights of full ones tell the bytes of each frame too
_OF_FULL_SEGMENTS = [n for n, v in enumerate(VECTORS) if predict(v).first_flight_bytes % v.mss_bytes == 0]


def score(data: bytes, expected: int | None = 10) -> list[FlowScore]:
    return score_capture(CaptureFile(io.BytesIO(data)), expected).flows


def known(words: str) -> bool:
    """A verdict of one word, or possible causes joined to one."""
    return words in VERDICTS or set(words.split(" or ")) <= set(CAUSES)


def only(records: list[Record], expected: int | None = 10, link: Link | None = None) -> FlowScore:
    (flow,) = score(pcap(records, (link or Link()).link_type, nanoseconds=True), expected)
    assert known(flow.verdict)
    assert flow.reason
    return flow


# ---------------------------------------------------------------- captures made from executed vectors


@pytest.mark.parametrize("wire", [True, False])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("number", _OF_FULL_SEGMENTS)
def test_the_mark_of_a_vector_shows_in_its_capture(number: int, side: str, wire: bool) -> None:
    vector, prediction = VECTORS[number], predict(VECTORS[number])
    expected = vector.initcwnd or 3
    settings = {"side": side, "wire": wire, "mss_bytes": vector.mss_bytes, "window_bytes": vector.rwnd_bytes}
    settings["timestamps"] = vector.timestamps
    rest = sum(vector.writes_bytes) - prediction.first_flight_bytes
    sizes = [segments * vector.mss_bytes for segments in prediction.skb_segments]
    # neither kernel sets PSH while more is to come, not even where the write sleeps
    flow = only(answer(sizes, rest, pushed=not rest, **settings), expected)
    assert (flow.side, flow.first_flight_segments) == (side, prediction.first_flight_segments)
    assert flow.first_flight_bytes == prediction.first_flight_bytes
    words = {"M0": "ignored", "M1": "delayed by TSO deferral", "M2": "exceeded"}
    words |= {"M3": "capped by send buffer", "M4": "capped by window"}
    if prediction.marks:
        assert flow.verdict.startswith(words[prediction.marks[0]]), flow.reason
    else:
        assert flow.verdict == "honoured"


@pytest.mark.parametrize("side", SIDES)
def test_a_burst_after_idle_decides_over_the_connection(side: str) -> None:
    talk = Conversation(side=side, window_bytes=262_144)
    talk.handshake()
    talk.request()
    talk.flight([2 * MSS, 3 * MSS, 3 * MSS, 2 * MSS], pushed=True)
    talk.acknowledged()
    talk.silence(10)
    before = talk.sent
    talk.request()
    talk.flight([40 * MSS])
    talk.acknowledged(before)
    talk.flight([20 * MSS], pushed=True)
    flow = only(talk.finish())
    assert flow.verdict == "exceeded"
    assert "after 10.0 s of silence 40 segments left at once in 1 frame" in flow.reason
    assert flow.first_flight_segments == 10
    (burst,) = flow.bursts
    assert (burst.segments, burst.frames, burst.super_packets) == (40, 1, 1)
    assert burst.idle_s == pytest.approx(10, abs=0.1)


def test_a_burst_that_the_decayed_window_allows_proves_nothing() -> None:
    talk = Conversation(window_bytes=262_144)
    talk.handshake()
    talk.request()
    for segments in (10, 20, 40):
        before = talk.sent
        talk.flight([segments * MSS], pushed=segments == 40)
        talk.acknowledged(before)
    # one RTO of 0.24 s: a cwnd of up to 80 is now up to 40
    talk.silence(0.3)
    talk.flight([40 * MSS], pushed=True)
    flow = only(talk.finish())
    assert flow.verdict == "honoured"
    assert [burst.verdict for burst in flow.bursts] == ["inconclusive"]
    assert "may not have come down" in flow.bursts[0].reason


def test_a_pause_shorter_than_the_rto_is_no_restart() -> None:
    talk = Conversation()
    talk.handshake()
    talk.request()
    talk.flight([10 * MSS], pushed=True)
    talk.acknowledged()
    talk.silence(0.1)
    talk.flight([20 * MSS], pushed=True)
    assert only(talk.finish()).bursts == []


# ---------------------------------------------------------------- links, addresses, files

_LINKS = [
    Link(kind, version, ip_options, zero_length)
    for kind, version, ip_options, zero_length in itertools.product(
        ("ethernet", "vlan", "qinq", "sll", "sll2", "raw"), (4, 6), (0, 8), (False, True)
    )
]


@pytest.mark.parametrize("link", _LINKS, ids=str)
@pytest.mark.parametrize("side", SIDES)
def test_every_link_and_ip_version_shows_the_same_flight(link: Link, side: str) -> None:
    flow = only(answer([5 * MSS, 5 * MSS], 20 * MSS, link=link, side=side), link=link)
    assert (flow.verdict, flow.first_flight_segments, flow.frames, flow.super_packets) == ("honoured", 10, 2, 2)
    names = ("198.18.0.2:50000", "198.18.0.1:80") if link.version == 4 else ("[2001:db8::2]:50000", "[2001:db8::1]:80")
    assert (flow.client, flow.server, flow.side) == (*names, side)
    assert flow.mss_bytes == MSS
    assert flow.rtt_ms == pytest.approx(20, abs=0.1)
    assert flow.max_frame_bytes is not None
    assert flow.max_frame_bytes > 5 * MSS


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["us", "ns", "ng-us", "ng-ns", "ng-2^-20"])
def test_every_kind_of_file_shows_the_same_flight(order: str, kind: str) -> None:
    records = answer([5 * MSS, 5 * MSS], 20 * MSS, side="client")
    if kind.startswith("ng"):
        resolution = {"ng-us": None, "ng-ns": 9, "ng-2^-20": 0x80 | 20}[kind]
        data = pcapng(records, order=order, resolution=resolution)
    else:
        data = pcap(records, order=order, nanoseconds=kind == "ns")
    (flow,) = score(data)
    assert (flow.verdict, flow.side) == ("honoured", "client")
    assert flow.rtt_ms == pytest.approx(20, abs=0.1)


def test_sections_of_either_byte_order_follow_one_another() -> None:
    first = answer([10 * MSS], 20 * MSS)
    second = answer([2 * MSS], 20 * MSS, client_port=50001)
    other = block(0x12345, b"of a kind that is not known")
    data = pcapng(first) + other + pcapng(second, order=">", resolution=9)
    assert [flow.verdict for flow in score(data)] == ["honoured", "ignored"]


def test_simple_packets_have_no_time_and_prove_nothing() -> None:
    (flow,) = score(pcapng(answer([10 * MSS], 20 * MSS), simple=True))
    assert flow.verdict == "inconclusive"
    assert "time stamps" in flow.reason


def test_a_snap_length_costs_nothing() -> None:
    records = [record._replace(data=record.data[:96]) for record in answer([5 * MSS, 5 * MSS], 20 * MSS)]
    assert only(records) == only(answer([5 * MSS, 5 * MSS], 20 * MSS))


@pytest.mark.parametrize("make", [pcap, pcapng])
def test_of_a_truncated_file_everything_readable_is_used(make: object) -> None:
    whole = make(answer([10 * MSS], 20 * MSS))  # type: ignore[operator]
    reading = CaptureFile(io.BytesIO(whole[:-7]))
    (flow,) = score_capture(reading, 10).flows
    assert flow.verdict == "honoured"
    assert "the file ends inside" in reading.damage


@pytest.mark.parametrize("make", [pcap, pcapng])
@given(cut=st.integers(24, 60_000), noise=st.binary(max_size=64))
def test_damage_never_raises_and_is_told(make: object, cut: int, noise: bytes) -> None:
    whole = make(answer([2 * MSS] * 5, 20 * MSS, wire=True))  # type: ignore[operator]
    reading = CaptureFile(io.BytesIO(whole[:cut] + noise))
    score_capture(reading, 10)
    assert reading.frames <= 60


@given(st.binary(max_size=200), st.sampled_from(_LINKS))
def test_frames_of_noise_never_raise(noise: bytes, link: Link) -> None:
    frame = link.wrap(noise, from_client=True)
    score(pcap([Record(0, frame[: len(noise)], len(frame)), Record(1, noise, 9000)], link.link_type))


@given(st.data(), st.sampled_from(SIDES))
def test_frames_lost_doubled_and_out_of_order_never_raise(data: st.DataObject, side: str) -> None:
    records = answer([2 * MSS] * 5, 20 * MSS, wire=True, side=side)
    chosen = data.draw(st.lists(st.sampled_from(records), max_size=60))
    for flow in score(pcap(chosen)):
        assert known(flow.verdict)
        assert flow.reason


@pytest.mark.parametrize("data", [b"", b"\xd4\xc3", b"hello world, this is text", b"\x1f\x8b\x08\x00"])
def test_what_is_no_capture_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError, match="not a pcap or pcapng capture"):
        score(data)


def test_fragments_and_strange_links_are_counted() -> None:
    records = answer([10 * MSS], 20 * MSS)
    frame = bytearray(records[0].data)
    frame[20:22] = struct.pack(">H", 0x2000)
    scored = score_capture(CaptureFile(io.BytesIO(pcap([*records, Record(0, bytes(frame), len(frame))]))), 10)
    assert scored.notes == ["1 frame ignored: IP fragments"]
    assert score_capture(CaptureFile(io.BytesIO(pcap(records, 147))), 10).flows == []


# ---------------------------------------------------------------- what spoils a flight


def test_without_an_expectation_the_figures_are_told_and_nothing_is_judged() -> None:
    flow = only(answer([10 * MSS], 20 * MSS), expected=None)
    assert (flow.verdict, flow.first_flight_segments) == ("inconclusive", 10)
    assert "10 segments seen" in flow.reason
    assert "--initcwnd" in flow.reason


@pytest.mark.parametrize("side", SIDES)
def test_a_short_response_is_inconclusive(side: str) -> None:
    flow = only(answer([4 * MSS], 0, side=side, pushed=True))
    assert flow.verdict == "inconclusive"
    assert "too short" in flow.reason


@pytest.mark.parametrize("side", SIDES)
def test_a_response_as_long_as_the_window_honours_it(side: str) -> None:
    flow = only(answer([10 * MSS], 0, side=side, pushed=True))
    assert flow.verdict == "honoured"
    assert "may be larger" in flow.reason


def test_data_that_came_late_does_not_prove_that_it_was_waiting() -> None:
    talk = Conversation()
    talk.handshake()
    talk.request()
    talk.flight([3 * MSS], pushed=True)
    talk.acknowledged()
    talk.silence(0.05)
    talk.flight([20 * MSS], pushed=True)
    flow = only(talk.finish())
    assert flow.verdict == "inconclusive"
    assert "had more to send" in flow.reason


def test_mid_stream_has_no_verdict() -> None:
    flow = only(answer([10 * MSS], 20 * MSS)[3:])
    assert (flow.verdict, flow.side, flow.mss_bytes, flow.rtt_ms) == ("inconclusive", "unknown", None, None)
    assert "no handshake" in flow.reason
    assert flow.server == "198.18.0.1:80"


def test_a_handshake_in_pieces_has_no_verdict() -> None:
    records = answer([10 * MSS], 20 * MSS)
    assert only(records[1:]).verdict == "inconclusive"
    assert only([records[0], *records[2:]]).verdict == "inconclusive"


def test_a_repeated_synack_explains_a_window_of_one() -> None:
    talk = Conversation()
    talk.handshake(synacks=2)
    talk.request()
    talk.flight([MSS])
    talk.acknowledged()
    talk.flight([20 * MSS], pushed=True)
    flow = only(talk.finish())
    assert flow.verdict == "inconclusive"
    assert "SYN-ACK was sent twice" in flow.reason


def test_a_repeated_syn_does_not_lengthen_the_rtt() -> None:
    talk = Conversation(side="client")
    talk.client(talk.now_ns - talk.rtt_ns // 2 - 10**9, SYN)
    talk.handshake()
    talk.request()
    talk.flight([10 * MSS])
    talk.acknowledged()
    talk.flight([20 * MSS], pushed=True)
    flow = only(talk.finish())
    assert flow.verdict == "honoured"
    assert flow.rtt_ms == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize("side", SIDES)
def test_a_hole_has_no_verdict(side: str) -> None:
    records = answer([10 * MSS], 20 * MSS, wire=True, side=side)
    data = [record for record in records if len(record.data) > 1000]
    records.remove(data[4])
    flow = only(records)
    assert flow.verdict == "inconclusive"
    assert "missing" in flow.reason


@pytest.mark.parametrize("side", SIDES)
def test_order_and_copies_do_not_matter(side: str) -> None:
    records = answer([10 * MSS], 20 * MSS, wire=True, side=side)
    first = [number for number, record in enumerate(records) if len(record.data) > 1000][:10]
    swapped = list(records)
    for number in first[1:8:2]:
        low, high = records[number], records[number + 1]
        swapped[number], swapped[number + 1] = high._replace(time_ns=low.time_ns), low._replace(time_ns=high.time_ns)
    doubled = [copy for record in swapped for copy in (record, record._replace(time_ns=record.time_ns + 500))]
    for captured in (swapped, sorted(doubled, key=lambda record: record.time_ns)):
        flow = only(captured)
        assert (flow.verdict, flow.first_flight_segments) == ("honoured", 10)


def test_a_retransmission_ends_a_flight_that_nobody_acknowledged() -> None:
    talk = Conversation(wire=True)
    talk.handshake()
    talk.request()
    talk.flight([8 * MSS])
    talk.server(talk.now_ns + 300_000_000, ACK, MSS, offset=0)
    talk.server(talk.now_ns + 900_000_000, ACK, MSS, offset=0)
    # less than a segment may have waited for Nagle
    flow = only(talk.captured())
    assert (flow.verdict, flow.first_flight_segments) == ("inconclusive", 8)
    assert "nothing shows" in flow.reason


@pytest.mark.parametrize("isn", [2**32 - 1 - 5 * MSS, 2**32 - 2, 2**32 - 1, 0])
def test_sequence_numbers_wrap(isn: int) -> None:
    flow = only(answer([5 * MSS, 5 * MSS], 20 * MSS, server_isn=isn, client_isn=isn))
    assert (flow.verdict, flow.first_flight_bytes) == ("honoured", 10 * MSS)


def test_a_paced_flight_that_fills_the_round_trip_is_no_verdict_on_the_window() -> None:
    talk = Conversation(side="client", wire=True)
    talk.handshake()
    talk.request()
    # one segment every 4 ms, through the time when ACKs act
    talk.flight([30 * MSS], gap_ns=4_000_000)
    start = talk.now_ns + talk.rtt_ns // 2
    for number in range(30):
        talk.client(start + number * 4_000_000 + 1000, ACK, acked=(number + 1) * MSS)
    flow = only(talk.captured())
    assert flow.verdict == "paced"


def test_a_flight_paced_over_half_the_round_trip_is_complete() -> None:
    for side in SIDES:
        talk = Conversation(side=side, wire=True)
        talk.handshake()
        talk.request()
        talk.flight([10 * MSS], gap_ns=1_000_000)
        talk.acknowledged()
        talk.flight([20 * MSS], pushed=True)
        flow = only(talk.finish())
        assert flow.verdict == "honoured"
        assert flow.spread_ms == pytest.approx(9, abs=0.1)


def test_a_round_trip_that_is_too_short_is_no_proof() -> None:
    flow = only(answer([20 * MSS], 20 * MSS, rtt_ns=50_000))
    assert flow.verdict == "inconclusive"
    assert "0.05 ms" in flow.reason


def test_scaled_windows_and_those_that_are_not_negotiated() -> None:
    assert only(answer([10 * MSS], 20 * MSS, window_bytes=262_144)).window_bytes == 262_144


def test_a_port_used_again_is_another_connection() -> None:
    first = answer([10 * MSS], 20 * MSS)
    later = answer([2 * MSS], 20 * MSS, client_isn=77, now_ns=first[-1].time_ns + 10**9)
    flows = score(pcap(first + later))
    assert [flow.verdict for flow in flows] == ["honoured", "ignored"]


def test_a_port_scan_and_a_silent_server_are_told() -> None:
    talk = Conversation()
    talk.client(talk.now_ns, SYN)
    assert "no SYN-ACK" in only(talk.captured()).reason
    talk.handshake()
    assert "no data" in only(talk.captured()).reason


def test_a_server_that_speaks_first_is_judged_by_its_greeting() -> None:
    talk = Conversation()
    talk.handshake()
    talk.flight([100], pushed=True)
    talk.acknowledged()
    assert "too short" in only(talk.finish()).reason


def test_thousands_of_connections_need_little_memory() -> None:
    records = answer([5 * MSS, 5 * MSS], 3 * MSS)
    template = [record._replace(data=record.data[:78]) for record in records]

    def many() -> list[Record]:
        found = []
        for port in range(5000):
            for record in template:
                data = bytearray(record.data)
                # the client's address in the last two bytes of its end
                at = 28 if data[26:30] == bytes([198, 18, 0, 2]) else 32
                data[at : at + 2] = struct.pack(">H", port)
                found.append(record._replace(data=bytes(data)))
        return found

    data = pcap(many())
    tracemalloc.start()
    flows = score(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(flows) == 5000
    assert {flow.verdict for flow in flows} == {"honoured"}
    assert peak / 5000 < 4000


def test_interleaved_connections_are_kept_apart() -> None:
    talks = [answer([segments * MSS], 20 * MSS, client_port=51000 + segments) for segments in (2, 8, 10, 12)]
    merged = sorted(itertools.chain(*talks), key=lambda record: (record.time_ns, random.Random(1).random()))
    verdicts = {flow.client: flow.verdict for flow in score(pcap(merged, nanoseconds=True))}
    assert list(verdicts.values()) == [
        "ignored", "delayed by TSO deferral or a smaller cwnd", "honoured", "exceeded",
    ]  # fmt: skip


def test_the_link_type_of_a_file_is_told_by_its_low_bits() -> None:
    data = pcap(answer([10 * MSS], 20 * MSS), ETHERNET | 0x24000000)
    assert [flow.verdict for flow in score(data)] == ["honoured"]


def test_a_window_update_before_the_flight_counts() -> None:
    talk = Conversation(window_bytes=5840)
    talk.handshake()
    talk.request()
    small = replace(talk, records=[])
    talk.flight([4 * MSS])
    talk.acknowledged()
    talk.flight([4 * MSS], pushed=True)
    assert only(talk.finish()).verdict == "capped by window"
    small.window_bytes = 65535
    small.records = talk.records[:4]
    small.client(small.now_ns - small.rtt_ns // 2, ACK | PSH, 10)
    small.flight([10 * MSS])
    small.acknowledged()
    small.flight([4 * MSS], pushed=True)
    assert only(small.finish()).verdict == "honoured"
