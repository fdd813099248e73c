"""Which segments make a connection: stray and repeated ones, those recorded out of order, data in SYNs, used ports."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offloadbench.analysis.capture.tcp_segment import ACK, FIN, PSH, RST, SYN
from offloadbench.analysis.initcwnd.scoring import FlowScore
from tests.unit.test_initcwnd_capture import only, score
from tests.unit.wirecraft import Conversation, Record, answer, pcap

MSS = 1448
SIDES = ("client", "server")


def _all(records: list[Record]) -> list[FlowScore]:
    return score(pcap(sorted(records, key=lambda record: record.time_ns), nanoseconds=True))


def _stray(talk: Conversation, at_ns: int, *, isn: int = 777_000, client_isn: int | None = None) -> list[Record]:
    """A SYN-ACK of the server's address that belongs to nothing."""
    other = replace(talk, records=[], server_isn=isn, client_isn=client_isn or talk.client_isn, sent=0, asked=0)
    other.server(at_ns, SYN | ACK)
    return other.records


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("at_ms", [-9.9, 1, 5, 25, 100])
@pytest.mark.parametrize("client_isn", [None, 99])
def test_a_stray_synack_changes_nothing(side: str, at_ms: float, client_isn: int | None) -> None:
    talk = Conversation(side=side, wire=True)
    talk.handshake()
    start_ns = talk.now_ns
    talk.request()
    talk.flight([10 * MSS])
    talk.acknowledged()
    talk.flight([10 * MSS], pushed=True)
    records = talk.finish()
    (flow,) = _all(records + _stray(talk, start_ns + int(at_ms * 1e6), client_isn=client_isn))
    assert (flow.verdict, flow.first_flight_bytes, flow.side) == ("honoured", 10 * MSS, side)


@pytest.mark.parametrize("side", SIDES)
def test_of_two_synacks_the_client_answers_one(side: str) -> None:
    talk = Conversation(side=side)
    talk.client(talk.now_ns - talk.rtt_ns // 2, SYN)
    talk.records += _stray(talk, talk.now_ns)
    talk.server(talk.now_ns, SYN | ACK)
    talk.now_ns += talk.rtt_ns
    talk.client(talk.now_ns - talk.rtt_ns // 2)
    talk.request()
    talk.flight([10 * MSS])
    talk.acknowledged()
    talk.flight([10 * MSS], pushed=True)
    (flow,) = _all(talk.finish())
    assert (flow.verdict, flow.first_flight_bytes) == ("honoured", 10 * MSS)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("late", ["synack", "ack", "data"])
def test_a_syn_recorded_too_late_belongs_to_its_connection(side: str, late: str) -> None:
    records = answer([10 * MSS], 20 * MSS, side=side)
    after = {"synack": 1, "ack": 2, "data": 4}[late]
    syn = records[0]._replace(time_ns=records[after].time_ns + 30_000)
    (flow,) = _all([syn, *records[1:]])
    assert (flow.verdict, flow.side, flow.rtt_ms, flow.first_flight_segments) == ("inconclusive", "unknown", None, 10)
    assert "out of order" in flow.reason


@pytest.mark.parametrize("side", SIDES)
def test_a_synack_recorded_after_the_ack_tells_no_round_trip(side: str) -> None:
    records = answer([10 * MSS], 20 * MSS, side=side)
    synack = records[1]._replace(time_ns=records[2].time_ns)
    (flow,) = _all([records[0], records[2], synack, *records[3:]])
    assert (flow.verdict, flow.side, flow.first_flight_segments) == ("inconclusive", "unknown", 10)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("copies", [2, 4])
def test_every_frame_may_be_there_several_times(side: str, copies: int) -> None:
    records = answer([2 * MSS] * 5, 20 * MSS, side=side, wire=True)
    many = [record._replace(time_ns=record.time_ns + 700 * n) for record in records for n in range(copies)]
    (flow,) = _all(many)
    assert (flow.verdict, flow.first_flight_segments, flow.side) == ("honoured", 10, side)


@pytest.mark.parametrize("side", SIDES)
def test_a_copy_of_the_synack_is_no_retransmission(side: str) -> None:
    records = answer([MSS], 20 * MSS, side=side)
    copy = records[1]._replace(time_ns=records[1].time_ns + 400_000)
    (flow,) = _all([*records, copy])
    assert flow.verdict == "ignored"


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("in_synack", [110, 1400])
def test_data_in_the_synack_is_the_beginning_of_the_first_flight(side: str, in_synack: int) -> None:
    talk = Conversation(side=side)
    talk.client(talk.now_ns - talk.rtt_ns // 2, SYN, 50)
    talk.server(talk.now_ns, SYN | ACK | PSH, in_synack)
    talk.now_ns += talk.rtt_ns
    talk.client(talk.now_ns - talk.rtt_ns // 2)
    talk.now_ns += talk.rtt_ns
    (flow,) = _all(talk.finish())
    assert (flow.first_flight_segments, flow.first_flight_bytes, flow.verdict) == (1, in_synack, "inconclusive")
    assert "sent no data" not in flow.reason


@pytest.mark.parametrize("side", SIDES)
def test_fast_open_sends_before_the_handshake_is_complete(side: str) -> None:
    talk = Conversation(side=side, wire=True)
    talk.client(talk.now_ns - talk.rtt_ns // 2, SYN, 50)
    talk.server(talk.now_ns, SYN | ACK)
    talk.flight([10 * MSS], gap_ns=10_000)
    talk.now_ns += talk.rtt_ns
    talk.client(talk.now_ns - talk.rtt_ns // 2, acked=0)
    talk.acknowledged()
    talk.flight([20 * MSS], pushed=True)
    (flow,) = _all(talk.finish())
    assert (flow.first_flight_segments, flow.verdict) == (10, "honoured")


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("closed", ["fin", "reset", "silence"])
def test_a_port_that_is_used_again_is_another_connection(side: str, closed: str) -> None:
    first = Conversation(side=side)
    first.handshake()
    first.request()
    first.flight([10 * MSS])
    first.acknowledged()
    first.flight([10 * MSS], pushed=True)
    if closed == "fin":
        first.server(first.now_ns + 100_000, FIN | ACK)
    elif closed == "reset":
        first.client(first.now_ns + 100_000, RST)
    later = answer([2 * MSS], 20 * MSS, side=side, client_isn=77, server_isn=9, now_ns=first.now_ns + 10**9)
    flows = _all(first.captured() + later)
    assert [flow.verdict for flow in flows] == ["honoured", "ignored"]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("answered", ["not", "refused"])
def test_a_stray_syn_ends_no_connection(side: str, answered: str) -> None:
    talk = Conversation(side=side, wire=True)
    talk.handshake()
    stray = replace(talk, records=[], client_isn=4_000_000)
    stray.client(talk.now_ns, SYN)
    if answered == "refused":
        stray.server(talk.now_ns + talk.rtt_ns // 2 + 20_000, RST | ACK)
    talk.request()
    talk.flight([10 * MSS])
    talk.acknowledged()
    talk.flight([10 * MSS], pushed=True)
    flows = _all(talk.finish() + stray.records)
    assert [flow.verdict for flow in flows] == ["honoured", "inconclusive"]
    assert "no SYN-ACK" in flows[1].reason


def test_a_connection_met_in_mid_stream_gives_way_to_a_new_one() -> None:
    old = answer([10 * MSS], 20 * MSS)[3:]
    new = answer([10 * MSS], 20 * MSS, client_isn=77, server_isn=9, now_ns=old[-1].time_ns + 10**9)
    flows = _all(old + new)
    assert [flow.verdict for flow in flows] == ["inconclusive", "honoured"]
    without_syn = _all(old + new[1:])
    assert [flow.first_flight_bytes for flow in without_syn] == [None, 10 * MSS]


def test_a_refused_connection_has_no_synack() -> None:
    talk = Conversation()
    talk.client(talk.now_ns, SYN)
    talk.server(talk.now_ns + talk.rtt_ns, RST | ACK)
    assert "no SYN-ACK" in only(talk.captured()).reason
