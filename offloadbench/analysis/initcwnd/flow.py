"""TCP connections of a capture, each reduced to its first flight and the bursts after silence.

Where the capture ran shows in the handshake: SYN to SYN-ACK is long at the client, SYN-ACK to ACK at the server.
Memory is about 2 KB a connection, whatever it carries.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

from offloadbench.analysis.initcwnd.flight import Flight
from offloadbench.analysis.initcwnd.packet import ACK, FIN, PSH, RST, SYN, Options, Segment, options, timestamps

CLIENT, SERVER, BETWEEN, UNKNOWN = "client", "server", "between", "unknown"
_WRAP, _HALF = 1 << 32, 1 << 31
# RFC 9293: the MSS of a peer that does not say
_DEFAULT_MSS_BYTES = 536
_TIMESTAMP_BYTES = 12
# one gap of the handshake must be this many times the other to tell the side
_CLEARLY = 3
_RTO_MIN_NS = 200_000_000
_MOST_BURSTS = 100


@dataclass(slots=True)
class Flow:
    """One connection.

    Attributes:
        client, server: address and port, packed.
        to_server_ns: from the capture to the server and back; the least upper bound seen. None before the handshake.
        to_client_ns: the same towards the client.
        first: its first flight; None while the server sent nothing.
        bursts: flights after silence longer than the RTO, each with the most bytes that one round trip carried
            before it; the first hundred.
    """

    client: bytes
    server: bytes
    syn_seq: int | None = None
    syn_ns: int = 0
    syn_options: Options | None = None
    synack_ns: int = 0
    synacks: int = 0
    synack_options: Options | None = None
    to_server_ns: int | None = None
    to_client_ns: int | None = None
    first: Flight | None = None
    bursts: list[tuple[Flight, int]] = field(default_factory=list)
    client_packets: int = 0
    _client_options: bytes = b""
    _open: Flight | None = None
    _isn: int = 0
    _sent: int = 0
    _acked: int = 0
    _window: int = 0
    _scale: int = 0
    _last_data_ns: int = 0
    _request: tuple[int, int] | None = None
    _round: tuple[int, int] = (0, 0)
    _most_in_a_round: int = 0

    @property
    def handshake(self) -> bool:
        return self.to_server_ns is not None and self.to_client_ns is not None

    @property
    def rtt_ns(self) -> int | None:
        if self.to_server_ns is None or self.to_client_ns is None:
            return None
        return self.to_server_ns + self.to_client_ns

    @property
    def side(self) -> str:
        if self.to_server_ns is None or self.to_client_ns is None:
            return UNKNOWN
        if self.to_server_ns > _CLEARLY * self.to_client_ns:
            return CLIENT
        return SERVER if self.to_client_ns > _CLEARLY * self.to_server_ns else BETWEEN

    @property
    def mss_bytes(self) -> int | None:
        if self.syn_options is None or self.synack_options is None:
            return None
        both = [given.mss_bytes or _DEFAULT_MSS_BYTES for given in (self.syn_options, self.synack_options)]
        stamped = self.syn_options.timestamps and self.synack_options.timestamps
        return max(1, min(both) - (_TIMESTAMP_BYTES if stamped else 0))

    @property
    def rto_ns(self) -> int:
        """After one measurement (RFC 6298), with Linux's minimum for the variance."""
        rtt = self.rtt_ns or 0
        return rtt + max(_RTO_MIN_NS, 2 * rtt)

    # ------------------------------------------------------------ what arrives

    def syn(self, time_ns: int, segment: Segment) -> None:
        """The client's SYN; a repetition is the one that counts for the RTT."""
        self.syn_seq, self.syn_ns = segment.seq, time_ns
        self.syn_options = options(segment.options)
        self._window = segment.window

    def synack(self, time_ns: int, segment: Segment) -> None:
        self.synacks += 1
        self.synack_ns = time_ns
        self.synack_options = options(segment.options)
        self._isn = segment.seq + 1
        if self.syn_options and self.syn_options.scale is not None and self.synack_options.scale is not None:
            self._scale = self.syn_options.scale
        if self.syn_seq is not None and self.to_server_ns is None:
            self.to_server_ns = max(0, time_ns - self.syn_ns)

    def from_client(self, time_ns: int, segment: Segment) -> None:
        self.client_packets += 1
        if not segment.flags & ACK or not self.synacks:
            return
        if self.to_client_ns is None:
            self.to_client_ns = max(0, time_ns - self.synack_ns)
        offset = self._offset(segment.ack)
        self._acked = max(self._acked, offset)
        self._window = segment.window << self._scale
        if segment.payload_bytes and self._request is None:
            self._request = (segment.seq + segment.payload_bytes) % _WRAP, time_ns
        if self._open:
            self._open.acknowledge(time_ns, offset, self._acts_after_ns, self._new_stamp(segment))
        self._client_options = segment.options

    def from_server(self, time_ns: int, segment: Segment, frame_bytes: int) -> None:
        if self._request and (segment.ack - self._request[0]) % _WRAP < _HALF:
            # never shorter than the round trip, and often nearer to it than a SYN that met cold caches
            if self.to_server_ns is not None:
                self.to_server_ns = min(self.to_server_ns, time_ns - self._request[1])
            self._request = None
        if not segment.payload_bytes or not self.synacks:
            return
        offset = self._offset(segment.seq)
        pushed = bool(segment.flags & (PSH | FIN))
        self._hear_echo(time_ns, segment)
        if self._open and not self._open.add(time_ns, offset, segment.payload_bytes, frame_bytes, pushed=pushed):
            self._open = None
        if self._open is None and offset >= self._sent and self._begins(time_ns):
            self._open = self._begin(time_ns, offset)
            if self._open:
                self._open.add(time_ns, offset, segment.payload_bytes, frame_bytes, pushed=pushed)
        self._count_round(time_ns, offset + segment.payload_bytes)
        self._sent = max(self._sent, offset + segment.payload_bytes)
        self._last_data_ns = time_ns

    def _new_stamp(self, segment: Segment) -> int | None:
        """TSval of a client's segment; None unless it is newer than the one before, as only then its echo tells."""
        now, before = timestamps(segment.options), timestamps(self._client_options)
        return now[0] if now and before and 0 < (now[0] - before[0]) % _WRAP < _HALF else None

    def _hear_echo(self, time_ns: int, segment: Segment) -> None:
        flight = self._open
        stamps = timestamps(segment.options) if flight and flight.stamp is not None else None
        if flight is None or stamps is None or not flight.acted(time_ns, stamps[1]):
            return
        # the ACK went to the server and its echo came back in that time
        if self.to_server_ns is not None and flight.ack_ns is not None:
            self.to_server_ns = min(self.to_server_ns, time_ns - flight.ack_ns)

    @property
    def _acts_after_ns(self) -> int:
        return 0 if self.side == SERVER else self.to_server_ns or 0

    def _offset(self, seq: int) -> int:
        """Of the server's stream, unwrapped near what was sent last."""
        return self._sent + (seq - self._isn - self._sent + _HALF) % _WRAP - _HALF

    def _begins(self, time_ns: int) -> bool:
        if self.first is None:
            return True
        return self._acked >= self._sent and time_ns - self._last_data_ns > self.rto_ns

    def _begin(self, time_ns: int, offset: int) -> Flight | None:
        idle_ns = time_ns - self._last_data_ns if self.first else 0
        flight = Flight(offset, self.mss_bytes or _DEFAULT_MSS_BYTES, self._window, time_ns, idle_ns)
        if self.first is None:
            self.first = flight
        elif len(self.bursts) < _MOST_BURSTS:
            self.bursts.append((flight, self._most_in_a_round))
        else:
            return None
        return flight

    def _count_round(self, time_ns: int, end: int) -> None:
        """The most payload within one RTT: what cwnd must have been at least."""
        if time_ns - self._round[0] > (self.rtt_ns or 0):
            self._round = time_ns, self._sent
        self._most_in_a_round = max(self._most_in_a_round, end - self._round[1])


class Flows:
    """All connections, in the order in which they appear."""

    def __init__(self) -> None:
        self.all: list[Flow] = []
        self._by_ends: dict[bytes, Flow] = {}

    def add(self, time_ns: int, segment: Segment, frame_bytes: int) -> None:
        """One segment, in the order of the capture."""
        ends = segment.source + segment.destination
        flow = self._by_ends.get(ends)
        is_syn = segment.flags & (SYN | ACK) == SYN
        if flow is None or (is_syn and flow.syn_seq != segment.seq):
            flow = self._new(segment)
        if segment.flags & RST:
            return
        if is_syn:
            flow.syn(time_ns, segment)
        elif segment.flags & SYN:
            flow.synack(time_ns, segment)
        elif segment.source == flow.client:
            flow.from_client(time_ns, segment)
        else:
            flow.from_server(time_ns, segment, frame_bytes)

    def _new(self, segment: Segment) -> Flow:
        client, server = segment.source, segment.destination
        answers = segment.flags & SYN and segment.flags & ACK
        # in mid-stream the lower port is the likelier server
        if answers or (not segment.flags & SYN and client[-2:] < server[-2:]):
            client, server = server, client
        flow = Flow(client, server)
        self.all.append(flow)
        self._by_ends[client + server] = self._by_ends[server + client] = flow
        return flow


def endpoint(packed: bytes) -> str:
    """`192.0.2.1:80` or `[2001:db8::1]:80`."""
    address = ipaddress.ip_address(packed[:-2])
    port = int.from_bytes(packed[-2:], "big")
    return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"


def flows(segments: Iterable[tuple[int, Segment, int]]) -> list[Flow]:
    """Of (time_ns, segment, frame length in bytes) in the order of the capture."""
    found = Flows()
    for time_ns, segment, frame_bytes in segments:
        found.add(time_ns, segment, frame_bytes)
    return found.all
