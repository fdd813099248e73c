"""What a frame weighs on the cable, and what is left of a super-packet that lost segments."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.bed.wire_frames import cut, frame_cost, full_segment_bytes
from tests.unit.frames import (
    ECN,
    ETHERNET_BYTES,
    TCPV4,
    TCPV6,
    VNET_BYTES,
    ones_sum,
    plain_frame,
    pseudo_header_sum,
    super_packet,
)

_FIN, _PSH, _ACK, _CWR = 0x01, 0x08, 0x10, 0x80


@pytest.mark.parametrize(("length", "on_cable"), [(42, 60), (60, 60), (66, 66), (101, 101), (1514, 1514)])
def test_a_plain_frame_is_one_segment_and_no_shorter_than_ethernet_allows(length: int, on_cable: int) -> None:
    assert frame_cost(plain_frame(length)) == (1, on_cable)


@given(st.integers(1, 40000), st.sampled_from([536, 1448]), st.sampled_from([20, 32, 60]), st.sampled_from([0, ECN]))
def test_a_super_packet_costs_what_its_segments_would(payload: int, segment: int, tcp_bytes: int, ecn: int) -> None:
    segments, l2_bytes = frame_cost(super_packet(payload, segment, kind=TCPV4 | ecn, tcp_bytes=tcp_bytes))
    sizes = [min(segment, payload - start) for start in range(0, payload, segment)]
    assert segments == len(sizes)
    assert l2_bytes == sum(14 + 20 + tcp_bytes + size for size in sizes)


def test_a_super_packet_of_ipv6_has_the_longer_headers_on_every_segment() -> None:
    assert frame_cost(super_packet(3 * 1428, 1428, kind=TCPV6)) == (3, 3 * (14 + 40 + 32 + 1428))


@given(
    st.integers(2, 30),
    st.integers(1, 1448),
    st.sampled_from([TCPV4, TCPV6, TCPV4 | ECN]),
    st.sampled_from([20, 32, 60]),
    st.data(),
)
def test_a_piece_has_the_headers_that_a_nic_would_give_it(
    segments: int, last: int, kind: int, tcp_bytes: int, data: st.DataObject
) -> None:
    payload = bytes(number % 251 for number in range((segments - 1) * 1448 + last))
    flags = _CWR | _ACK | _PSH | _FIN
    sequence = 0xFFFFFFFF - 2000
    whole = super_packet(payload, 1448, kind=kind, tcp_bytes=tcp_bytes, flags=flags, sequence=sequence)
    first = data.draw(st.integers(0, segments - 1))
    end = data.draw(st.integers(first + 1, segments))
    piece = cut(whole, first, end)
    wanted = payload[first * 1448 : end * 1448]
    assert piece[-len(wanted) :] == wanted
    is_ipv4 = kind & ~ECN == TCPV4
    ip_bytes = 20 if is_ipv4 else 40
    headers = ETHERNET_BYTES + ip_bytes + tcp_bytes
    assert len(piece) == VNET_BYTES + headers + len(wanted)
    needs_checksum, gso, linear, segment, start, offset = struct.unpack_from("<BBHHHH", piece)
    single = end - first == 1
    assert (needs_checksum, linear, start, offset) == (1, headers, ETHERNET_BYTES + ip_bytes, 16)
    assert (gso, segment) == ((0, 0) if single else (kind if first == 0 else kind & ~ECN, 1448))
    ip = piece[VNET_BYTES + ETHERNET_BYTES :]
    if is_ipv4:
        assert struct.unpack_from(">HH", ip, 2) == (len(ip), (0xFFFE + first) & 0xFFFF)
        assert ones_sum(ip[:20]) == 0xFFFF
    else:
        assert struct.unpack_from(">H", ip, 4)[0] == len(ip) - 40
    tcp = ip[ip_bytes:]
    assert struct.unpack_from(">I", tcp, 4)[0] == (sequence + first * 1448) & 0xFFFFFFFF
    assert tcp[13] == _ACK | (_CWR if first == 0 else 0) | (_PSH | _FIN if end == segments else 0)
    # zero has two forms in one's complement
    assert struct.unpack_from(">H", tcp, 16)[0] % 0xFFFF == pseudo_header_sum(piece) % 0xFFFF
    assert frame_cost(piece)[0] == end - first


def test_the_whole_of_a_super_packet_is_itself_but_for_the_linear_length() -> None:
    whole = super_packet(5 * 1448, 1448)
    assert cut(whole, 0, 5)[4:] == whole[4:]


def test_a_full_segment_is_headers_and_segment_size() -> None:
    assert full_segment_bytes(super_packet(5000, 1448)) == 14 + 20 + 32 + 1448
