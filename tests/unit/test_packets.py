"""Packets sent and acknowledged over time, from a capture."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from offloadbench.analysis.sender import command_times, sent_packets
from offloadbench.files.packed_columns import pack_columns
from offloadbench.model import PacketTrace

SENDER, RECEIVER, PORT = ("10.0.0.1", 40000), ("10.0.0.2", 3260), 3260
SYN, ACK = 0x02, 0x10
OPENED_NS = 1_700_000_000 * 10**9
Packet = tuple[float, bool, int, int, int, int]


def _frame(outward: bool, seq: int, ack: int, payload: int, flags: int) -> bytes:
    """Headers only, as a short snap length leaves them."""
    (source, sport), (target, dport) = (SENDER, RECEIVER) if outward else (RECEIVER, SENDER)
    addresses = b"".join(bytes(map(int, address.split("."))) for address in (source, target))
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 40 + payload, 1, 0, 64, 6, 0) + addresses
    tcp = struct.pack(">HHIIBBHHH", sport, dport, seq % 2**32, ack % 2**32, 0x50, flags, 1000, 0, 0)
    return bytes(12) + b"\x08\x00" + ip + tcp


def _capture(path: Path, rows: list[Packet]) -> Path:
    """Rows: (seconds since the window opened, outward, seq, ack, payload bytes, flags); nanosecond pcap."""
    content = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 160, 1)
    for t_s, outward, seq, ack, payload, flags in rows:
        data = _frame(outward, seq, ack, payload, flags)
        at_ns = OPENED_NS + round(t_s * 1e9)
        content += struct.pack("<IIII", *divmod(at_ns, 10**9), len(data), len(data) + payload) + data
    path.write_bytes(content)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sender.pcap"


def _read(path: Path, window_s: float = 1.0) -> PacketTrace:
    found = sent_packets.read(path, PORT, OPENED_NS, window_s)
    assert found is not None
    return found


@pytest.mark.parametrize("start", [1000, 2**32 - 2000])
def test_sent_and_acknowledged_bytes_rise_even_where_sequence_numbers_wrap(path: Path, start: int) -> None:
    rows: list[Packet] = [
        (0.01, True, start, 1, 1448, ACK),
        (0.02, True, start + 1448, 1, 10 * 1448, ACK),
        (0.03, False, 1, start + 1448, 0, ACK),
        # sent again: nothing new
        (0.04, True, start, 1, 1448, ACK),
        (0.05, False, 1, start + 11 * 1448, 0, ACK),
    ]
    one = sent_packets.packets(_read(_capture(path, rows)))
    assert one.t_us.tolist() == [10_000, 20_000, 30_000, 40_000, 50_000]
    assert one.sent_bytes.tolist() == [1448, *[11 * 1448] * 4]
    assert one.acked_bytes.tolist() == [0, 0, 1448, 1448, 11 * 1448]
    assert one.payload_bytes.tolist() == [1448, 14480, 0, 1448, 0]


def test_acknowledgements_of_what_was_sent_before_the_window_are_no_new_bytes(path: Path) -> None:
    rows: list[Packet] = [(0.1, True, 5000, 1, 100, ACK), (0.2, False, 1, 3000, 0, ACK), (0.3, False, 1, 5100, 0, ACK)]
    assert sent_packets.packets(_read(_capture(path, rows))).acked_bytes.tolist() == [0, 0, 100]


def test_what_was_acknowledged_has_been_sent(path: Path) -> None:
    rows: list[Packet] = [(0.1, False, 1, 5000, 0, ACK), (0.2, False, 1, 6448, 0, ACK), (0.3, True, 9344, 1, 1448, ACK)]
    one = sent_packets.packets(_read(_capture(path, rows)))
    assert one.acked_bytes.tolist() == [0, 1448, 1448]
    assert one.sent_bytes.tolist() == [0, 1448, 5792]


def test_only_the_window_counts_and_no_handshake(path: Path) -> None:
    rows: list[Packet] = [
        (-0.5, True, 900, 1, 100, ACK),
        (0.1, True, 999, 0, 0, SYN),
        (0.2, True, 1000, 1, 100, ACK),
        (1.5, True, 1100, 1, 100, ACK),
    ]
    assert _read(_capture(path, rows)).rows == 1
    assert sent_packets.read(path, PORT, OPENED_NS + 10**10, 1.0) is None


def test_what_does_not_fit_is_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent_packets, "ROWS_MAX", 3)
    rows: list[Packet] = [(0.1 * n, True, 1000 + 100 * n, 1, 100, ACK) for n in range(1, 8)]
    trace = _read(_capture(path, rows))
    assert (trace.rows, trace.left_out) == (3, 4)
    assert np.diff(sent_packets.packets(trace).sent_bytes).tolist() == [100, 100]


def _pdu(opcode: int, data_bytes: int = 0) -> bytes:
    """An iSCSI header, and its data padded to four bytes."""
    return bytes([opcode, 0x80, 0, 0, 0]) + data_bytes.to_bytes(3, "big") + bytes(40 + (data_bytes + 3 & ~3))


def _answer(path: Path, rows: list[tuple[float, int, bytes]]) -> sent_packets.Packets:
    """Rows: (seconds, payload bytes sent) or (seconds, 0, what the target answers)."""
    content = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 288, 1)
    sent, answered = 1000, 1
    for t_s, payload, answer in rows:
        size = payload or len(answer)
        data = _frame(bool(payload), sent if payload else answered, answered if payload else sent, size, ACK)
        length = len(data) + size
        data += answer[:200]
        content += struct.pack("<IIII", *divmod(OPENED_NS + round(t_s * 1e9), 10**9), len(data), length) + data
        sent, answered = sent + payload, answered + len(answer)
    path.write_bytes(content)
    return sent_packets.packets(_read(path))


READY_TO_TRANSFER, RESPONSE = _pdu(0x31), _pdu(0x21)


def test_what_is_sent_between_two_scsi_responses_is_a_command(path: Path) -> None:
    one = _answer(
        path,
        [
            (0.01, 5000, b""),
            (0.02, 0, RESPONSE),
            (0.03, 3000, b""),
            (0.04, 0, READY_TO_TRANSFER),
            (0.05, 1448, b""),
            (0.06, 0, READY_TO_TRANSFER + _pdu(0x20, 5) + RESPONSE),
            (0.07, 10, b""),
            (0.08, 0, RESPONSE + RESPONSE),
            (0.09, 999, b""),
        ],
    )
    assert one.responses.tolist() == [0, 1, 1, 1, 1, 2, 2, 4, 4]
    table = command_times.per_command(one, 1448)
    assert table["command"].tolist() == [2, 4]
    assert table["packets"].tolist() == [2, 1]
    assert table["segments"].tolist() == [4, 1]
    assert table["payload_bytes"].tolist() == [4448, 10]
    assert table[["start_s", "end_s"]].to_numpy().tolist() == pytest.approx(np.array([[0.02, 0.06], [0.06, 0.08]]))


def test_what_no_target_says_is_no_response(path: Path) -> None:
    one = _answer(path, [(0.01, 100, b""), (0.02, 0, b"!21" * 40), (0.03, 0, b"\x00" + RESPONSE), (0.04, 0, b"\x21")])
    assert command_times.per_command(one, 1448).empty


def test_a_trace_of_an_earlier_version_has_no_responses() -> None:
    columns = {name: np.arange(3) for name in sent_packets.NAMES}
    old = PacketTrace(
        sender_port=1, receiver_port=2, names=list(columns), rows=3, columns=pack_columns(columns), left_out=0
    )
    assert sent_packets.packets(old).responses.tolist() == [0, 0, 0]
