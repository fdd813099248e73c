"""The probe's own TCP client against a wire that a test holds in its hands."""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import Callable
from typing import cast

import pytest

from offloadbench.analysis.capture.link_types import ETHERNET
from offloadbench.analysis.capture.tcp_segment import ACK, FIN, PSH, RST, SYN, Segment, options, segment
from offloadbench.base.errors import TrafficError
from offloadbench.bed.wire_frames import ones_complement_sum
from offloadbench.engine.probe import probe_frames
from offloadbench.engine.probe.observe import NOT_OURS, ample_window_bytes, flight
from offloadbench.engine.probe.probe_client import Client
from offloadbench.engine.probe.probe_frames import Endpoint
from offloadbench.kernel.netdev.packet_socket import Arrival, PacketSocket
from offloadbench.model import FlightTrial

LOCAL = Endpoint("02:00:00:00:00:01", "198.18.0.6", 20000)
REMOTE = Endpoint("02:00:00:00:00:02", "198.18.0.1", 80)
MSS = 1448
ISN = 0xFFFF_F000
REQUEST = b"GET /".ljust(64)


class Wire:
    """Answers by a script: called with every segment that the client sends; its clock stands still in between."""

    def __init__(self, script: Callable[[Wire, Segment], None]) -> None:
        self.script = script
        self.sent: list[Segment] = []
        self.raw: list[bytes] = []
        self.coming: list[Arrival] = []
        self.drops = 0

    def send(self, frame: bytes) -> None:
        found = segment(ETHERNET, frame, len(frame), Counter())
        assert found is not None
        self.raw.append(frame)
        self.sent.append(found)
        self.script(self, found)

    def receive(self, until_s: float) -> Arrival | None:
        del until_s
        return self.coming.pop(0) if self.coming else None

    def lost(self) -> int:
        return self.drops

    def answer(self, flags: int, seq: int, ack: int, *, payload: int = 0, gso: int = 0, extra: bytes = b"") -> None:
        frame = probe_frames.build(
            REMOTE, LOCAL, seq=seq % (1 << 32), ack=ack, flags=flags, window=65535,
            options=extra + probe_frames.timestamps_option(777, 1), payload=bytes(payload),
        )  # fmt: skip
        self.coming.append(Arrival(time.time_ns(), gso, frame))


def server(wire: Wire, said: Segment) -> None:
    """Shakes hands; answers a request with ten segments in two super-packets, then repeats the first."""
    if said.flags == SYN:
        wire.answer(SYN | ACK, ISN, said.seq + 1, extra=probe_frames.mss_option(1460) + probe_frames.scale_option(7))
    elif said.payload_bytes:
        ack = said.seq + said.payload_bytes
        wire.answer(ACK, ISN + 1, ack, payload=5 * MSS, gso=MSS)
        wire.answer(ACK | PSH, ISN + 1 + 5 * MSS, ack, payload=5 * MSS, gso=MSS)
        wire.answer(ACK, ISN + 1, ack, payload=MSS)
    elif said.flags == ACK and (said.ack - ISN - 1) % (1 << 32) == 10 * MSS:
        wire.answer(ACK, ISN + 1 + 10 * MSS, said.seq, payload=2 * MSS, gso=MSS)


def connected(wire: Wire, window_bytes: int = 65535) -> Client:
    client = Client(cast(PacketSocket, wire), LOCAL, REMOTE, mss_bytes=1460, window_bytes=window_bytes)
    client.connect()
    return client


def _sum_of(words: bytes) -> int:
    padded = words + bytes(len(words) % 2)
    return ones_complement_sum(sum(struct.unpack(f">{len(padded) // 2}H", padded)))


@pytest.mark.parametrize("payload", [b"", b"odd", b"even"])
def test_a_frame_has_valid_checksums_and_is_read_as_it_was_written(payload: bytes) -> None:
    frame = probe_frames.build(
        LOCAL,
        REMOTE,
        seq=5,
        ack=7,
        flags=ACK | PSH,
        window=99,
        options=probe_frames.timestamps_option(1, 2),
        payload=payload,
    )
    assert _sum_of(frame[14:34]) == 0xFFFF
    pseudo = frame[26:34] + struct.pack(">HH", 6, len(frame) - 34)
    assert _sum_of(pseudo + frame[34:]) == 0xFFFF
    found = segment(ETHERNET, frame, len(frame), Counter())
    assert found is not None
    assert (found.seq, found.ack, found.flags, found.window) == (5, 7, ACK | PSH, 99)
    assert found.payload_bytes == len(payload)
    assert probe_frames.timestamp_of(frame) == 1


def test_a_frame_without_timestamps_or_with_damaged_options_has_none() -> None:
    bare = probe_frames.build(LOCAL, REMOTE, seq=1, ack=1, flags=ACK, window=1)
    assert probe_frames.timestamp_of(bare) is None
    damaged = probe_frames.build(LOCAL, REMOTE, seq=1, ack=1, flags=ACK, window=1, options=bytes([99, 0, 1, 1]))
    assert probe_frames.timestamp_of(damaged) is None


def test_the_syn_offers_what_the_method_asks_for_and_no_sack() -> None:
    wire = Wire(server)
    client = connected(wire, window_bytes=120_000)
    offered = options(wire.sent[0].options)
    assert (offered.mss_bytes, offered.scale, offered.timestamps) == (1460, 7, True)
    # kind 4: SACK permitted
    assert b"\x04\x02" not in wire.sent[0].options
    assert wire.sent[0].window == 65535
    # scaled once the handshake is through
    assert wire.sent[1].window == -(-120_000 // 128)
    assert (client.mss_bytes, client.synacks) == (MSS, 1)


def test_a_small_window_is_offered_exactly() -> None:
    wire = Wire(server)
    connected(wire, window_bytes=5840)
    assert options(wire.sent[0].options).scale == 0
    assert [said.window for said in wire.sent] == [5840, 5840]


def _unscaled(wire: Wire, said: Segment) -> None:
    if said.flags == SYN:
        wire.answer(SYN | ACK, ISN, said.seq + 1, extra=probe_frames.mss_option(1460))


@pytest.mark.parametrize(
    ("asked", "script", "scale", "offered"),
    [
        (2 * 40 * 1460, server, 7, 2 * 40 * 1460),
        (65535 << 7, server, 7, 65535 << 7),
        (20_000_000, server, 9, 20_000_000),
        (2**31, server, 14, 65535 << 14),
        # a server that does not scale is offered what fits without
        (2 * 40 * 1460, _unscaled, 7, 65535),
    ],
)
def test_the_window_that_counts_is_the_one_that_the_server_may_use(
    asked: int, script: Callable[[Wire, Segment], None], scale: int, offered: int
) -> None:
    wire = Wire(script)
    client = connected(wire, window_bytes=asked)
    assert (options(wire.sent[0].options).scale, client.window_bytes) == (scale, offered)
    shift = scale if script is server else 0
    assert wire.sent[1].window == -(-offered >> shift)


@pytest.mark.parametrize(
    ("payload_bytes", "window_bytes"), [((0,), 65535), ((10 * 1460,), 65535), ((40 * 1460, 100_000), 200_000)]
)
def test_the_window_is_twice_what_may_come(payload_bytes: tuple[int, ...], window_bytes: int) -> None:
    assert ample_window_bytes(*payload_bytes) == window_bytes


def test_nothing_is_acknowledged_before_the_repetition_and_then_two_segments_have_room() -> None:
    wire = Wire(server)
    client = connected(wire)
    planned = FlightTrial(
        repeat=1, case="", congestion_control="", metrics="", pattern="response", initcwnd=10
    )  # fmt: skip
    seen = flight(client, cast(PacketSocket, wire), planned, lambda: client.request(REQUEST), lambda: NOT_OURS)
    assert seen.frames.offset_bytes == [0, 5 * MSS, 0]
    assert seen.frames.payload_bytes == [5 * MSS, 5 * MSS, MSS]
    assert seen.frames.gso_bytes == [MSS, MSS, 0]
    assert (seen.repeated, seen.released_bytes, seen.mss_bytes) == (True, 2 * MSS, MSS)
    # SYN, ACK, request; then the one ACK of everything
    assert [said.flags for said in wire.sent] == [SYN, ACK, ACK | PSH, ACK]
    assert wire.sent[2].ack == ISN + 1
    assert wire.sent[3].ack == (ISN + 1 + 10 * MSS) % (1 << 32)
    assert wire.sent[3].window == 2 * MSS


def test_the_servers_timestamp_is_echoed() -> None:
    wire = Wire(server)
    connected(wire)
    assert wire.raw[1][-4:] == (777).to_bytes(4, "big")


def test_what_absorbs_acknowledges_every_frame() -> None:
    wire = Wire(server)
    client = connected(wire)
    client.request(REQUEST)
    client.absorb(10 * MSS, 1.0)
    assert [(said.ack - ISN - 1) % (1 << 32) for said in wire.sent[3:]] == [5 * MSS, 10 * MSS]


def test_a_server_that_stays_silent_or_resets_is_an_error() -> None:
    with pytest.raises(TrafficError, match="does not answer"):
        connected(Wire(lambda wire, said: None))
    with pytest.raises(TrafficError, match="resets the connection"):
        connected(Wire(lambda wire, said: wire.answer(RST | ACK, 0, said.seq + 1)))


def test_a_lost_request_is_sent_again_and_a_third_time_only() -> None:
    def deaf(wire: Wire, said: Segment) -> None:
        if said.flags == SYN:
            server(wire, said)

    wire = Wire(deaf)
    client = connected(wire)
    with pytest.raises(TrafficError, match="takes no request"):
        client.request(REQUEST)
    requests = [said for said in wire.sent if said.payload_bytes]
    assert len(requests) == 3
    assert len({said.seq for said in requests}) == 1


def test_a_connection_ends_in_order() -> None:
    def closing(wire: Wire, said: Segment) -> None:
        server(wire, said)
        if said.flags & FIN:
            wire.answer(ACK, ISN + 2, said.seq + 1)

    wire = Wire(closing)
    client = connected(wire)
    wire.answer(ACK | FIN, ISN + 1, wire.sent[-1].seq)
    client.finish(1.0)
    assert client.finished
    assert (wire.sent[-1].flags, wire.sent[-1].ack) == (ACK | FIN, ISN + 2)
