"""PDUs: every header comes back as it went; digests as RFC 3720 prints them; what is damaged is told."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.traffic.iscsi import pdu
from offloadbench.traffic.iscsi.iscsi_connection import IscsiConnection, SilentPeer
from offloadbench.traffic.iscsi.pdu import IscsiError, Opcode, PduHeader

_WORD = st.integers(0, 2**32 - 1)


@st.composite
def headers(draw: st.DrawFn) -> PduHeader:
    return PduHeader(
        opcode=draw(st.integers(0, 0x3F)),
        immediate=draw(st.booleans()),
        flags=draw(st.integers(0, 255)),
        code=draw(st.integers(0, 0xFFFF)),
        ahs_bytes=draw(st.integers(0, 255)) * 4,
        data_bytes=draw(st.integers(0, 2**24 - 1)),
        lun=draw(st.integers(0, 2**64 - 1)),
        task_tag=draw(_WORD),
        words=draw(st.tuples(_WORD, _WORD, _WORD, _WORD, _WORD, _WORD, _WORD)),
    )


@given(headers())
def test_a_header_comes_back_as_it_went(header: PduHeader) -> None:
    encoded = header.encode()
    assert len(encoded) == pdu.BHS_BYTES
    assert PduHeader.decode(encoded) == header


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(min_size=1, max_size=40)), max_size=4))
def test_additional_header_segments_come_back_as_they_went(segments: list[tuple[int, bytes]]) -> None:
    encoded = pdu.encode_ahs(segments)
    assert len(encoded) % 4 == 0
    assert pdu.decode_ahs(encoded) == segments


@pytest.mark.parametrize("data", [b"\0\x05\x01", b"\0\x09\x01\0", b"\0"])
def test_a_damaged_additional_header_segment_is_told(data: bytes) -> None:
    with pytest.raises(IscsiError, match="additional header"):
        pdu.decode_ahs(data)


def test_a_scsi_command_has_its_fields_where_the_rfc_puts_them() -> None:
    cdb = bytes(range(16))
    header = pdu.scsi_command(
        cdb, flags=0xA1, lun=1 << 48, task_tag=7, expected_bytes=4096, cmd_sn=9, exp_stat_sn=11, data_bytes=512
    )
    encoded = header.encode()
    assert encoded[:8] == bytes([0x01, 0xA1, 0, 0, 0, 0, 2, 0])
    assert encoded[8:16] == bytes([0, 1, 0, 0, 0, 0, 0, 0])
    assert [int.from_bytes(encoded[at : at + 4], "big") for at in (16, 20, 24, 28)] == [7, 4096, 9, 11]
    assert encoded[32:] == cdb


def test_a_cdb_of_more_than_16_bytes_goes_on_in_an_additional_header_segment(
    pair: tuple[IscsiConnection, IscsiConnection],
) -> None:
    cdb = bytes(range(32))
    header = pdu.scsi_command(cdb, flags=0, lun=0, task_tag=1, expected_bytes=0, cmd_sn=1, exp_stat_sn=1)
    for end in pair:
        end.header_digest = True
    pair[0].send(header, b"", pdu.extended_cdb(cdb))
    received = pair[1].receive()
    assert received.header.encode()[32:] == cdb[:16]
    assert received.ahs == [(1, b"\0" + cdb[16:])]
    assert pdu.extended_cdb(cdb[:16]) == b""


# RFC 3720, B.4
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (bytes(32), "aa36918a"),
        (b"\xff" * 32, "43aba862"),
        (bytes(range(32)), "4e79dd46"),
        (bytes(range(31, -1, -1)), "5cdb3f11"),
        (
            bytes.fromhex(
                "01c000000000000000000000000000001400000000000400000000140000001828000000000000000200000000000000"
            ),
            "563a96d9",
        ),
    ],
)
def test_digests_are_those_of_the_rfc(data: bytes, expected: str) -> None:
    assert pdu.digest(data).hex() == expected
    assert pdu.digest(data[:5], data[5:]).hex() == expected


def test_residuals_have_a_sign() -> None:
    words = (0, 0, 0, 0, 0, 0, 512)
    assert PduHeader(Opcode.SCSI_RESPONSE, flags=pdu.UNDERFLOW, words=words).residual == 512
    assert PduHeader(Opcode.SCSI_RESPONSE, flags=pdu.OVERFLOW, words=words).residual == -512
    assert PduHeader(Opcode.SCSI_RESPONSE, words=words).residual == 0


def test_names_for_messages() -> None:
    assert pdu.opcode_name(Opcode.SCSI_RESPONSE) == "SCSI response"
    assert pdu.opcode_name(0x1F) == "opcode 0x1f"


@pytest.fixture
def pair() -> Iterator[tuple[IscsiConnection, IscsiConnection]]:
    ends = tuple(IscsiConnection(end, 0.2) for end in socket.socketpair())
    yield ends[0], ends[1]
    for end in ends:
        end.close()


@pytest.mark.parametrize("header_digest", [False, True])
@pytest.mark.parametrize("data_digest", [False, True])
@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 4096])
def test_data_arrives_whole_whatever_its_padding(
    pair: tuple[IscsiConnection, IscsiConnection], header_digest: bool, data_digest: bool, size: int
) -> None:
    for end in pair:
        end.header_digest, end.data_digest = header_digest, data_digest
    data = bytes(i % 251 for i in range(size))
    for number in range(2):
        pair[0].send(PduHeader(Opcode.DATA_OUT, data_bytes=size, task_tag=number), memoryview(data))
    for number in range(2):
        received = pair[1].receive()
        assert received.header.task_tag == number
        assert bytes(received.data) == data


def test_data_longer_than_the_send_buffer_goes_in_pieces(pair: tuple[IscsiConnection, IscsiConnection]) -> None:
    import threading

    data = bytes(4 << 20)
    pair[1].max_receive_bytes = len(data)
    sending = threading.Thread(
        target=pair[0].send, args=(PduHeader(Opcode.DATA_OUT, data_bytes=len(data)), memoryview(data))
    )
    sending.start()
    place = memoryview(bytearray(b"x" * len(data)))
    assert pair[1].receive(lambda header: place).data is place
    sending.join(5)
    assert place == data


@pytest.mark.parametrize(("at", "what"), [(17, "header digest"), (53, "data digest")])
def test_a_flipped_bit_is_told(at: int, what: str) -> None:
    ours, theirs = socket.socketpair()
    sender, receiver = IscsiConnection(ours, 0.2), IscsiConnection(theirs, 0.2)
    for end in (sender, receiver):
        end.header_digest = end.data_digest = True
    sender.send(PduHeader(Opcode.DATA_IN, data_bytes=8, task_tag=3), b"abcdefgh")
    wire = bytearray(theirs.recv(4096))
    wire[at] ^= 0x10
    ours.sendall(wire)
    with pytest.raises(IscsiError, match=f"{what} of a data in"):
        receiver.receive()
    sender.close()
    receiver.close()


def test_a_segment_longer_than_declared_is_told(pair: tuple[IscsiConnection, IscsiConnection]) -> None:
    pair[0].send(PduHeader(Opcode.DATA_IN, data_bytes=8196), bytes(8196))
    with pytest.raises(IscsiError, match="8196 bytes of data; declared were 8192"):
        pair[1].receive()


def test_silence_is_no_error_but_a_stall_inside_a_pdu_is(pair: tuple[IscsiConnection, IscsiConnection]) -> None:
    with pytest.raises(SilentPeer):
        pair[1].receive()
    pair[0].send(PduHeader(Opcode.DATA_IN, data_bytes=100))
    with pytest.raises(IscsiError, match="stopped inside a PDU"):
        pair[1].receive()


def test_a_receiver_that_takes_nothing_is_told(pair: tuple[IscsiConnection, IscsiConnection]) -> None:
    with pytest.raises(IscsiError, match="took no data"):
        pair[0].send(PduHeader(Opcode.DATA_OUT, data_bytes=8 << 20), memoryview(bytes(8 << 20)))


def test_a_closed_connection_is_told(pair: tuple[IscsiConnection, IscsiConnection]) -> None:
    pair[0].interrupt()
    pair[0].interrupt()
    with pytest.raises(IscsiError, match="closed the connection"):
        pair[1].receive()
    with pytest.raises(IscsiError, match="broke"):
        pair[1].send(PduHeader(Opcode.NOP_OUT))
