"""Packets sent and acknowledged over time, from a capture."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from offloadbench.analysis import packets
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
    found = packets.read(path, PORT, OPENED_NS, window_s)
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
    one = packets.packets(_read(_capture(path, rows)))
    assert one.t_us.tolist() == [10_000, 20_000, 30_000, 40_000, 50_000]
    assert one.sent_bytes.tolist() == [1448, *[11 * 1448] * 4]
    assert one.acked_bytes.tolist() == [0, 0, 1448, 1448, 11 * 1448]
    assert one.payload_bytes.tolist() == [1448, 14480, 0, 1448, 0]


def test_acknowledgements_of_what_was_sent_before_the_window_are_no_new_bytes(path: Path) -> None:
    rows: list[Packet] = [(0.1, True, 5000, 1, 100, ACK), (0.2, False, 1, 3000, 0, ACK), (0.3, False, 1, 5100, 0, ACK)]
    assert packets.packets(_read(_capture(path, rows))).acked_bytes.tolist() == [0, 0, 100]


def test_what_was_acknowledged_has_been_sent(path: Path) -> None:
    rows: list[Packet] = [(0.1, False, 1, 5000, 0, ACK), (0.2, False, 1, 6448, 0, ACK), (0.3, True, 9344, 1, 1448, ACK)]
    one = packets.packets(_read(_capture(path, rows)))
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
    assert packets.read(path, PORT, OPENED_NS + 10**10, 1.0) is None


def test_what_does_not_fit_is_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "ROWS_MAX", 3)
    rows: list[Packet] = [(0.1 * n, True, 1000 + 100 * n, 1, 100, ACK) for n in range(1, 8)]
    trace = _read(_capture(path, rows))
    assert (trace.rows, trace.left_out) == (3, 4)
    assert np.diff(packets.packets(trace).sent_bytes).tolist() == [100, 100]
