"""Decoding of sock_diag replies, captured from Linux 6.18 beside what ss(8) printed at the same moment."""

from __future__ import annotations

import json
import re
import socket
import struct
from pathlib import Path

import numpy as np
import pytest

from offloadbench.kernel.tcp import sock_diag
from offloadbench.kernel.tcp.sock_diag import TcpConnection, decode, matching

CAPTURED = json.loads((Path(__file__).resolve().parents[1] / "data" / "tcp" / "replies.json").read_text())
REPLIES = [bytes.fromhex(reply) for reply in CAPTURED["replies"]]


def _ss(pattern: str) -> int:
    match = re.search(pattern, CAPTURED["ss"])
    assert match, pattern
    return int(match[1])


def test_the_last_reply_says_what_ss_prints() -> None:
    columns = decode(REPLIES)
    last = {name: int(column[-1]) for name, column in columns.items()}
    for name, pattern in {
        "wmem_queued_bytes": r"\bw(\d+)",
        "sndbuf_bytes": r"\btb(\d+)",
        "wqueue_bytes": r"^ESTAB 0 +(\d+)",
        "notsent_bytes": r"notsent:(\d+)",
        "snd_cwnd_segments": r"cwnd:(\d+)",
        "snd_mss_bytes": r" mss:(\d+)",
        "acked_bytes": r"bytes_acked:(\d+)",
        "sent_bytes": r"bytes_sent:(\d+)",
        "retrans_bytes": r"bytes_retrans:(\d+)",
        "data_out_segments": r"data_segs_out:(\d+)",
        "delivered_segments": r"delivered:(\d+)",
        "total_retrans_segments": r"retrans:\d+/(\d+)",
    }.items():
        assert last[name] == _ss(pattern), name
    assert last["srtt_us"] == pytest.approx(31230)
    assert last["min_rtt_us"] == pytest.approx(20024)
    assert last["pacing_rate_bytes_per_s"] * 8 == pytest.approx(_ss(r"pacing_rate (\d+)bps"), abs=8)
    assert last["delivery_rate_bytes_per_s"] * 8 == pytest.approx(_ss(r"delivery_rate (\d+)bps"), abs=8)
    # the reply was read a moment before ss, on a clock of 4 ms
    assert last["busy_us"] == pytest.approx(_ss(r"busy:(\d+)ms") * 1000, abs=8000)
    assert last["rwnd_limited_us"] == pytest.approx(_ss(r"rwnd_limited:(\d+)ms") * 1000, abs=8000)


def test_replies_keep_their_order_whatever_their_layout() -> None:
    first, last = REPLIES
    short = _without_tail_of_info(last)
    columns = decode([first, short, last, first])
    assert columns["sent_bytes"][[0, 2, 3]].tolist() == [
        int(decode([one])["sent_bytes"][0]) for one in (first, last, first)
    ]
    # an older kernel fills less of struct tcp_info
    assert columns["snd_cwnd_segments"][1] == columns["snd_cwnd_segments"][2]
    assert columns["sent_bytes"][1] == 0
    assert (columns["sndbuf_bytes"] == 425984).all()
    assert all(len(column) == 4 for column in columns.values())


def _without_tail_of_info(reply: bytes) -> bytes:
    """The reply of a kernel (before 4.19) whose struct tcp_info ends where sent_bytes would begin."""
    at, length = sock_diag._layout(reply)[2]
    kept = sock_diag._TCP_INFO.fields["sent_bytes"][1]  # type: ignore[index]
    header = struct.pack("<HH", kept + 4, 2)
    return reply[: at - 4] + header + reply[at : at + kept] + reply[(at + length + 3) & ~3 :]


class _Socket:
    """Answers with what remains of a connection."""

    def __init__(self, reply: bytes) -> None:
        self._reply = reply

    def send(self, request: bytes) -> None:
        pass

    def recv(self, size: int) -> bytes:
        return self._reply[:size]


@pytest.mark.parametrize(("state", "read"), [(1, True), (4, True), (5, True), (6, False), (7, False)])
def test_a_closed_connection_is_no_reading(state: int, read: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket in fin-wait-2 may be one without struct tcp_sock: it has no tcp_info, and zeros would end the trace."""
    reply = bytearray(REPLIES[1])
    reply[17] = state
    without = reply[: sock_diag._HEADER.size + sock_diag._MESSAGE_BYTES]
    for answer, expected in ((reply, read), (without, state == 1)):
        monkeypatch.setattr(sock_diag, "_socket", lambda answer=answer: _Socket(bytes(answer)))
        watch = sock_diag.SocketWatch(sock_diag._connection(REPLIES[0]))
        assert watch.read() is expected
        assert len(watch._replies) == expected


def test_a_rate_that_nobody_set_is_none() -> None:
    columns = decode(REPLIES)
    assert columns["max_pacing_rate_bytes_per_s"].tolist() == [0, 0]
    assert columns["bbr_bytes_per_s"].tolist() == [0, 0]
    assert set(columns["app_limited"].tolist()) <= {0, 1}


def test_no_replies_are_empty_columns() -> None:
    assert {len(column) for column in decode([]).values()} == {0}


def test_a_reply_names_its_connection() -> None:
    one = sock_diag._connection(REPLIES[0])
    assert one.name == CAPTURED["connection"]
    assert (one.state, one.congestion_control) == ("established", "cubic")
    assert one.inode > 0
    assert len(one.identity) == 48


@pytest.mark.parametrize(
    ("packed", "printed"),
    [("c6120001", "198.18.0.1"), ("0" * 20 + "ffffc6120001", "198.18.0.1"), ("0" * 31 + "1", "::1")],
)
def test_a_socket_of_ipv6_that_speaks_ipv4_is_named_as_such(packed: str, printed: str) -> None:
    assert sock_diag._address(bytes.fromhex(packed)) == printed


def _connection(port: int, remote: tuple[str, int]) -> TcpConnection:
    return TcpConnection(socket.AF_INET, ("10.0.0.1", port), remote, "established", 1, "cubic", bytes(48))


def test_connections_are_chosen_by_either_end() -> None:
    found = [_connection(1, ("10.0.0.2", 3260)), _connection(2, ("10.0.0.2", 80)), _connection(1, ("10.0.0.3", 80))]
    assert matching(found) == found
    assert matching(found, 1) == [found[0], found[2]]
    assert matching(found, 0, ("10.0.0.2", 0)) == found[:2]
    assert matching(found, 1, ("10.0.0.2", 3260)) == found[:1]


def test_columns_have_the_types_that_hold_them() -> None:
    columns = decode(REPLIES)
    assert columns["acked_bytes"].dtype == np.uint64
    assert columns["notsent_bytes"].dtype == np.uint32
