"""A TCP connection's own state, read from the kernel by sock_diag(7): once for finding, a thousand times a second.

Decoding costs more than reading, so a watch keeps raw replies and decodes them all after the window
(include/uapi/linux/inet_diag.h, tcp.h, sock_diag.h).
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from offloadbench.base.errors import TrafficError

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY, _NLMSG_ERROR, _NLMSG_DONE = 20, 2, 3
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
# the state of BBR is asked for as that of Vegas (bbr_get_info in net/ipv4/tcp_bbr.c)
_INFO, _VEGAS, _CONGESTION, _MEMORY, _BBR = 2, 3, 4, 7, 16
_EXTENSIONS = sum(1 << (kind - 1) for kind in (_INFO, _VEGAS, _CONGESTION, _MEMORY))
_NO_COOKIE = b"\xff" * 8
_HEADER = struct.Struct("<IHHII")
_MESSAGE_BYTES = 72
_STATES = {1: "established", 4: "fin-wait-1", 5: "fin-wait-2", 8: "close-wait", 9: "last-ack", 10: "listen"}
_ESTABLISHED = 1
# time-wait, close
_ENDED_STATES = (6, 7)
_CONNECTED_STATES = 1 << 1 | 1 << 4 | 1 << 8
_REPLY_BYTES = 1 << 16

# struct tcp_info up to snd_wnd (5.4); what an older kernel does not fill stays 0
_TCP_INFO = np.dtype(
    [
        ("state", "u1"), ("ca_state", "u1"), ("retransmits", "u1"), ("probes", "u1"), ("backoff", "u1"),
        ("options", "u1"), ("wscale", "u1"), ("flags", "u1"), ("rto_us", "<u4"), ("ato_us", "<u4"),
        ("snd_mss_bytes", "<u4"), ("rcv_mss_bytes", "<u4"), ("unacked_segments", "<u4"), ("sacked_segments", "<u4"),
        ("lost_segments", "<u4"), ("retrans_segments", "<u4"), ("fackets", "<u4"), ("last_data_sent_ms", "<u4"),
        ("last_ack_sent_ms", "<u4"), ("last_data_recv_ms", "<u4"), ("last_ack_recv_ms", "<u4"), ("pmtu_bytes", "<u4"),
        ("rcv_ssthresh_bytes", "<u4"), ("srtt_us", "<u4"), ("rttvar_us", "<u4"), ("snd_ssthresh_segments", "<u4"),
        ("snd_cwnd_segments", "<u4"), ("advmss_bytes", "<u4"), ("reordering", "<u4"), ("rcv_rtt_us", "<u4"),
        ("rcv_space_bytes", "<u4"), ("total_retrans_segments", "<u4"), ("pacing_rate_bytes_per_s", "<u8"),
        ("max_pacing_rate_bytes_per_s", "<u8"), ("acked_bytes", "<u8"), ("received_bytes", "<u8"),
        ("out_segments", "<u4"), ("in_segments", "<u4"), ("notsent_bytes", "<u4"), ("min_rtt_us", "<u4"),
        ("data_in_segments", "<u4"), ("data_out_segments", "<u4"), ("delivery_rate_bytes_per_s", "<u8"),
        ("busy_us", "<u8"), ("rwnd_limited_us", "<u8"), ("sndbuf_limited_us", "<u8"), ("delivered_segments", "<u4"),
        ("delivered_ce_segments", "<u4"), ("sent_bytes", "<u8"), ("retrans_bytes", "<u8"), ("dsack_dups", "<u4"),
        ("reord_seen", "<u4"), ("rcv_ooopack", "<u4"), ("snd_wnd_bytes", "<u4"),
    ]
)  # fmt: skip
_SK_MEMORY = np.dtype(
    [(name, "<u4") for name in ("rmem_alloc", "rcvbuf", "wmem_alloc", "sndbuf", "fwd_alloc", "wmem_queued")]
)
# struct tcp_bbr_info; gains are in 1/256
_BBR_INFO = np.dtype([("bw", "<u8"), ("min_rtt_us", "<u4"), ("pacing_gain", "<u4"), ("cwnd_gain", "<u4")])
_APP_LIMITED_FLAG = 1
_NO_RATE = np.uint64(2**64 - 1)

Column = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class TcpConnection:
    """A TCP socket as sock_diag names it.

    Attributes:
        state: as ss(8) prints it.
        identity: the kernel's inet_diag_sockid, 48 bytes, cookie included: no other socket ever has the same.
    """

    family: int
    local: tuple[str, int]
    remote: tuple[str, int]
    state: str
    inode: int
    congestion_control: str
    identity: bytes

    @property
    def name(self) -> str:
        """`198.18.0.1:34567 > 198.18.0.2:3260`"""
        return f"{_printed(self.local)} > {_printed(self.remote)}"


def _printed(endpoint: tuple[str, int]) -> str:
    address, port = endpoint
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _socket() -> socket.socket:
    try:
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
    except OSError as error:
        raise TrafficError(
            f"sock_diag: {error.strerror}", "the kernel needs CONFIG_INET_DIAG (modprobe tcp_diag)"
        ) from error


def _request(family: int, identity: bytes, states: int, flags: int) -> bytes:
    body = struct.pack("<BBBxI", family, socket.IPPROTO_TCP, _EXTENSIONS, states) + identity
    return _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, flags, 1, 0) + body


def connections() -> list[TcpConnection]:
    """The connected TCP sockets of this thread's network namespace, IPv4 and IPv6.

    Raises:
        TrafficError: the kernel does not answer.
    """
    return _connections(socket.AF_INET) + _connections(socket.AF_INET6)


def _connections(family: int) -> list[TcpConnection]:
    found: list[TcpConnection] = []
    with _socket() as link:
        link.sendall(_request(family, bytes(48), _CONNECTED_STATES, _NLM_F_REQUEST | _NLM_F_DUMP))
        while True:
            data = link.recv(_REPLY_BYTES)
            offset = 0
            while offset + _HEADER.size <= len(data):
                length, kind, *_ = _HEADER.unpack_from(data, offset)
                if kind == _NLMSG_DONE:
                    return found
                if kind == _NLMSG_ERROR:
                    raise TrafficError(f"sock_diag: {_error(data[offset:])}", "the kernel needs tcp_diag")
                found.append(_connection(data[offset : offset + length]))
                offset += (length + 3) & ~3


def _error(message: bytes) -> str:
    return os.strerror(-struct.unpack_from("<i", message, _HEADER.size)[0])


def _connection(message: bytes) -> TcpConnection:
    family, state = message[16], message[17]
    identity = message[20:68]
    ports = struct.unpack_from(">HH", identity)
    size = 16 if family == socket.AF_INET6 else 4
    local, remote = (_address(identity[at : at + size]) for at in (4, 20))
    at, length = _layout(message).get(_CONGESTION, (0, 0))
    return TcpConnection(
        family=family,
        local=(local, ports[0]),
        remote=(remote, ports[1]),
        state=_STATES.get(state, str(state)),
        inode=struct.unpack_from("<I", message, 16 + 68)[0],
        congestion_control=message[at : at + length].rstrip(b"\0").decode(),
        identity=identity,
    )


def _address(packed: bytes) -> str:
    address = ipaddress.ip_address(packed)
    # a socket of IPv6 that speaks IPv4, as many servers have
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _layout(message: bytes) -> dict[int, tuple[int, int]]:
    """Attribute -> where its value begins, and its length."""
    found = {}
    offset = _HEADER.size + _MESSAGE_BYTES
    while offset + 4 <= len(message):
        length, kind = struct.unpack_from("<HH", message, offset)
        if length < 4:
            break
        found[kind] = (offset + 4, length - 4)
        offset += (length + 3) & ~3
    return found


class SocketWatch:
    """Reads one connection again and again, keeping raw replies.

    Args:
        connection: of this thread's network namespace.
    """

    def __init__(self, connection: TcpConnection) -> None:
        self.connection = connection
        self._socket = _socket()
        self._request = _request(connection.family, connection.identity, 0xFFFFFFFF, _NLM_F_REQUEST)
        self._replies: list[bytes] = []

    def read(self) -> bool:
        """Keep one more reply; False once the connection is gone."""
        self._socket.send(self._request)
        reply = self._socket.recv(4096)
        # nlmsg_type and idiag_state
        if reply[4] == _NLMSG_ERROR or reply[17] in _ENDED_STATES:
            return False
        # what remains of a closed connection has no struct tcp_sock, and no tcp_info to read, though it may call
        # itself fin-wait-2 (inet_twsk_diag_fill in net/ipv4/inet_diag.c)
        if reply[17] != _ESTABLISHED and _INFO not in _layout(reply):
            return False
        self._replies.append(reply)
        return True

    def decode(self, last: int | None = None) -> dict[str, Column]:
        """Every reply so far, or the `last` ones, as columns of equal length; see `decode`."""
        return decode(self._replies[-last:] if last else self._replies)

    def close(self) -> None:
        self._socket.close()


def decode(replies: Sequence[bytes]) -> dict[str, Column]:
    """Columns of sock_diag replies.

    Returns:
        The fields of struct tcp_info with their units in their names, and of the socket's memory: sndbuf_bytes,
        wmem_queued_bytes (what the send queue charges: payload with its overhead), wmem_alloc_bytes (handed to the
        lower layers), wqueue_bytes (written and not acknowledged); max_pacing_rate_bytes_per_s is 0
        where nobody set SO_MAX_PACING_RATE; app_limited: 1 where the last delivery rate is what
        the application wrote; of BBR, 0 under others: bbr_bytes_per_s (its estimate of the bottleneck), bbr_min_rtt_us,
        bbr_pacing_gain_256ths.
    """
    information = np.zeros(len(replies), dtype=_TCP_INFO)
    memory = np.zeros(len(replies), dtype=_SK_MEMORY)
    bbr = np.zeros(len(replies), dtype=_BBR_INFO)
    queued = np.zeros(len(replies), dtype=np.uint32)
    sizes = np.array([len(reply) for reply in replies])
    left = np.arange(len(replies))
    while len(left):
        # a connection's replies are laid out alike but for a change of its congestion control, or another kernel
        layout = _layout(replies[left[0]])
        same = left[sizes[left] == sizes[left[0]]]
        table = np.frombuffer(b"".join([replies[row] for row in same.tolist()]), np.uint8)
        table = table.reshape(len(same), -1)
        headers = [at + byte for at, _ in layout.values() for byte in range(-4, 0)]
        alike = (table[:, headers] == table[0, headers]).all(axis=1)
        rows, table = same[alike], table[alike]
        for kind, target in ((_INFO, information), (_MEMORY, memory), (_BBR, bbr)):
            target[rows] = _records(table, *layout.get(kind, (0, 0)), target.dtype)
        queued[rows] = _records(table, _HEADER.size + 60, 4, np.dtype("<u4"))
        left = np.setdiff1d(left, rows, assume_unique=True)
    columns = {name: information[name] for name in information.dtype.names or ()}
    for name in ("sndbuf", "wmem_queued", "wmem_alloc"):
        columns[f"{name}_bytes"] = memory[name]
    columns |= {"wqueue_bytes": queued, "app_limited": columns["flags"] & _APP_LIMITED_FLAG}
    most = columns["max_pacing_rate_bytes_per_s"]
    columns["max_pacing_rate_bytes_per_s"] = np.where(most == _NO_RATE, 0, most)
    return columns | {
        "bbr_bytes_per_s": bbr["bw"],
        "bbr_min_rtt_us": bbr["min_rtt_us"],
        "bbr_pacing_gain_256ths": bbr["pacing_gain"],
    }


def _records(table: Column, at: int, length: int, dtype: np.dtype[Any]) -> Column:
    """One record out of each row of bytes, cut or filled up with zeros to its full size."""
    size = dtype.itemsize
    data = np.zeros((len(table), size), dtype=np.uint8)
    kept = min(length, size)
    data[:, :kept] = table[:, at : at + kept]
    return data.view(dtype)[:, 0]


def matching(
    found: Iterable[TcpConnection], local_port: int = 0, remote: tuple[str, int] | None = None
) -> list[TcpConnection]:
    """Those with this local port and this remote end, where they are given; the port 0 of a remote end means any."""
    return [
        one
        for one in found
        if (not local_port or one.local[1] == local_port)
        and (remote is None or (one.remote[0] == remote[0] and remote[1] in (0, one.remote[1])))
    ]


def decode_info(data: bytes) -> dict[str, int]:
    """A struct tcp_info as getsockopt(TCP_INFO) gives it: the fields of `decode` that it holds, others 0."""
    whole = np.frombuffer(data, np.uint8).reshape(1, -1)
    row = _records(whole, 0, len(data), _TCP_INFO)[0]
    return {name: int(row[name]) for name in _TCP_INFO.names or ()}
