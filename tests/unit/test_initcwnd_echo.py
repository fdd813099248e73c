"""What the server echoes of the client's time stamps tells when an ACK has acted, where the handshake tells nothing."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.analysis.capture.capture_file import CaptureFile
from offloadbench.analysis.capture.tcp_segment import ACK, SYN, Segment, timestamps
from offloadbench.analysis.initcwnd.connections import connections
from offloadbench.analysis.initcwnd.flow import Flow
from offloadbench.analysis.initcwnd.scoring import score_capture
from tests.unit.real_kernels import TRUTH, capture

MSS = 1448
CLIENT, SERVER = bytes([198, 18, 0, 2, 200, 0]), bytes([198, 18, 0, 1, 0, 80])
_HANDSHAKE = struct.pack(">BBHBBBB", 2, 4, MSS + 12, 1, 3, 3, 7)


def _options(value: int, echo: int, *, syn: bool = False, stamped: bool = True) -> bytes:
    stamps = struct.pack(">BBBBII", 1, 1, 8, 10, value % 2**32, echo % 2**32) if stamped else b""
    return (_HANDSHAKE if syn else b"") + stamps


def slow_server(side: str, *, tick_ms: int = 1, first_ms: int = 1000, stamped: bool = True) -> Flow:
    """A SYN-ACK that waits 24 ms for ARP and a request that waits 8 ms, at an RTT of 20 ms; two segments, then four.

    Args:
        tick_ms: of the client's time stamps.
        first_ms: the first of them.
    """
    to_server_ms, to_client_ms = (0, 20) if side == "server" else (20, 0)
    found: list[tuple[int, Segment, int]] = []

    def value(at_ms: float) -> int:
        return (first_ms + int(at_ms)) // tick_ms

    def client(at_ms: float, flags: int, seq: int, ack: int, payload: int = 0) -> None:
        seen_ms = at_ms + (20 - to_server_ms) / 2
        options = _options(value(at_ms), 1, stamped=stamped, syn=bool(flags & SYN))
        found.append((int(seen_ms * 1e6), Segment(CLIENT, SERVER, seq, ack, flags, 65535, payload, options), 66))

    def server(at_ms: float, flags: int, seq: int, ack: int, payload: int = 0, *, heard_ms: float = 0) -> None:
        seen_ms = at_ms + (20 - to_client_ms) / 2
        options = _options(1, value(heard_ms), stamped=stamped, syn=bool(flags & SYN))
        found.append(
            (int(seen_ms * 1e6), Segment(SERVER, CLIENT, seq, ack, flags, 65535, payload, options), payload + 66)
        )

    client(0, SYN, 1000, 0)
    server(10 + 24, SYN | ACK, 5000, 1001)
    client(44, ACK, 1001, 5001)
    client(44, ACK, 1001, 5001, 100)
    server(54 + 8, ACK, 5001, 1101, heard_ms=44)
    for number in range(2):
        server(70 + number / 100, ACK, 5001 + number * MSS, 1101, MSS, heard_ms=44)
    client(81, ACK, 1101, 5001 + 2 * MSS)
    for number in range(2, 6):
        server(93 + number / 100, ACK, 5001 + number * MSS, 1101, MSS, heard_ms=81)
    (flow,) = connections(sorted(found, key=lambda one: one[0])).flows
    return flow


@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize("first_ms", [1000, 2**32 - 60])
def test_what_an_ack_released_is_no_part_of_the_first_flight(side: str, first_ms: int) -> None:
    flow = slow_server(side, first_ms=first_ms)
    assert flow.first is not None
    assert (flow.first.segments, flow.side) == (2, side)
    assert flow.rtt_ns == pytest.approx(22e6, abs=1e6)


@pytest.mark.parametrize("settings", [{"stamped": False}, {"tick_ms": 500}])
def test_without_time_stamps_or_with_coarse_ones_the_round_trip_decides(settings: dict[str, int]) -> None:
    flow = slow_server("client", **settings)  # type: ignore[arg-type]
    assert flow.first is not None
    assert flow.first.segments == 6


def test_an_old_echo_does_not_end_a_flight() -> None:
    flow = slow_server("server")
    assert flow.first is not None
    assert not flow.first.acted(0, (flow.first.stamp or 0) - 1)


@pytest.mark.parametrize("name", [name for name in TRUTH if "cold-large" in name])
def test_the_first_connection_to_a_host_waits_for_arp_and_two_segments_stay_two(name: str) -> None:
    scored = score_capture(CaptureFile(io.BytesIO(capture(name))), TRUTH[name]["initcwnd"]).flows
    assert {flow.first_flight_segments for flow in scored} == {2}
    assert {flow.side for flow in scored} == {TRUTH[name]["side"]}
    assert all(20 < (flow.rtt_ms or 0) < 30 for flow in scored)


@pytest.mark.parametrize("name", TRUTH)
def test_flights_of_real_kernels_are_counted_as_another_parser_counted_them(name: str) -> None:
    scored = score_capture(CaptureFile(io.BytesIO(capture(name))), TRUTH[name]["initcwnd"]).flows
    seen = [
        [(flow.first_flight_segments, flow.first_flight_bytes), *((one.segments, one.bytes) for one in flow.bursts)]
        for flow in scored
    ]
    expected = [[(one["segments"], one["bytes"]) for one in flow] for flow in TRUTH[name]["flows"]]
    # that parser left a connection out whose beginning it did not have
    assert len(seen) - len(expected) in (0, 1)
    for flow in expected:
        seen.remove(flow)


@pytest.mark.parametrize(
    ("raw", "stamps"),
    [
        (b"", None),
        (_options(7, 9), (7, 9)),
        (_options(7, 9, syn=True), (7, 9)),
        (_options(7, 9)[:-1], None),
        (b"\x08\x09" + bytes(7), None),
        (b"\x00" + _options(7, 9), None),
        (b"\x05\x00", None),
        (b"\x05", None),
    ],
)
def test_time_stamps_are_read_where_they_stand(raw: bytes, stamps: tuple[int, int] | None) -> None:
    assert timestamps(raw) == stamps


@given(st.binary(max_size=44))
def test_options_of_noise_never_raise(raw: bytes) -> None:
    timestamps(raw)
