"""One TCP connection of a capture, reduced to its first flight and the bursts after silence.

Where the capture ran shows in the handshake: SYN to SYN-ACK is long at the client, SYN-ACK to ACK at the server. That
needs the three in their order; a capture on several queues may record them otherwise, and then side and RTT are
unknown. Memory is about 2 KB a connection, whatever it carries.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from offloadbench.analysis.capture.tcp_segment import ACK, FIN, PSH, Segment, SynOptions, options, sacks, timestamps
from offloadbench.analysis.initcwnd.flight import COPY_NS, CapturedFlight
from offloadbench.analysis.initcwnd.segment_size import SegmentSize

CLIENT, SERVER, BETWEEN, UNKNOWN = "client", "server", "between", "unknown"
_WRAP, _HALF = 1 << 32, 1 << 31
# one gap of the handshake must be this many times the other to tell the side
_CLEARLY = 3
_RTO_MIN_NS = 200_000_000
_MOST_BURSTS = 100
# how far an ACK may be beyond a SYN-ACK that it answers: what a server may have sent before it (Fast Open)
_MOST_AHEAD_BYTES = 1 << 20
_MOST_OFFERS = 4


class _Offer(NamedTuple):
    """A SYN-ACK: where the server's stream begins, and which SYN it answers."""

    start: int
    ack: int
    time_ns: int
    options: SynOptions


@dataclass(slots=True)
class Flow:
    """One connection.

    Attributes:
        client, server: address and port, packed.
        disordered: the handshake is recorded in an order in which it cannot have happened.
        synacks: how often the SYN-ACK was sent; copies within a millisecond count once.
        to_server_ns: from the capture to the server and back; the least upper bound seen. None before the handshake.
        to_client_ns: the same towards the client.
        first: its first flight; None while the server sent nothing.
        bursts: flights after silence longer than the RTO, each with the most bytes that one round trip carried
            before it; the first hundred.
        fin_offset: end of the server's stream, once it has sent FIN.
        reset_ns: when either end reset the connection.
    """

    client: bytes
    server: bytes
    syn_seq: int | None = None
    syn_ns: int = 0
    syn_options: SynOptions | None = None
    synack_options: SynOptions | None = None
    synacks: int = 0
    disordered: bool = False
    to_server_ns: int | None = None
    to_client_ns: int | None = None
    size: SegmentSize = field(default_factory=SegmentSize)
    first: CapturedFlight | None = None
    bursts: list[tuple[CapturedFlight, int]] = field(default_factory=list)
    fin_offset: int | None = None
    reset_ns: int | None = None
    _offers: list[_Offer] = field(default_factory=list)
    _confirmed: bool = False
    _early_ack: int | None = None
    _client_options: bytes = b""
    _client_end: int | None = None
    _client_ns: int = 0
    _syn_payload_bytes: int = 0
    _open: CapturedFlight | None = None
    _followed: CapturedFlight | None = None
    _start: int = 0
    _sent: int = 0
    _acked: int = 0
    _window: int = 0
    _syn_window: int = 0
    _last_data_ns: int = 0
    _synack_ns: int = 0
    _request: tuple[int, int] | None = None
    _round: tuple[int, int] = (0, 0)
    _most_in_a_round: int = 0

    @property
    def handshake(self) -> bool:
        """Whether its three segments tell the round trip."""
        return self.to_server_ns is not None and self.to_client_ns is not None

    @property
    def established(self) -> bool:
        """The client has answered a SYN-ACK, and the server has not closed since: a new SYN may be a stray one."""
        return self._confirmed and self.fin_offset is None and self.reset_ns is None

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
        """Payload of a full segment of the server; None where the capture lacks a SYN."""
        if self.syn_options is None or self.synack_options is None:
            return None
        return self.size.mss_bytes

    @property
    def cut_bytes(self) -> int:
        """Captured bytes of a SYN whose snap length hides options; 0 where they are whole."""
        both = [given.cut_bytes for given in (self.syn_options, self.synack_options) if given]
        return max(both, default=0)

    @property
    def rto_ns(self) -> int:
        """After one measurement (RFC 6298), with Linux's minimum for the variance."""
        rtt = self.rtt_ns or 0
        return rtt + max(_RTO_MIN_NS, 2 * rtt)

    # ------------------------------------------------------------ the handshake

    def begins_with(self, syn: Segment) -> bool:
        """Whether it is this connection's SYN: the same again, or one that is recorded after its SYN-ACK."""
        if self.syn_seq is not None:
            return syn.seq == self.syn_seq
        return any((offer.ack - syn.seq - 1) % _WRAP <= syn.payload_bytes for offer in self._offers)

    def accepts(self, answer: Segment) -> bool:
        """Whether a SYN-ACK or RST answers this connection's SYN, as far as that is captured."""
        if self.syn_seq is None:
            return bool(self._offers)
        return (answer.ack - self.syn_seq - 1) % _WRAP <= self._syn_payload_bytes

    def syn(self, time_ns: int, segment: Segment) -> None:
        """The client's SYN; a repetition is the one that counts for the RTT."""
        if self.syn_seq is None and self.synacks:
            self._record_disorder()
        self.syn_seq, self.syn_ns = segment.seq, time_ns
        self._syn_payload_bytes = segment.payload_bytes
        self.syn_options = options(segment.options, segment.cut_bytes)
        self._syn_window = segment.window
        if not self._confirmed:
            self._window = segment.window
        self._agree()
        self._hear_payload(segment.seq + 1, segment.payload_bytes)

    def synack(self, time_ns: int, segment: Segment, frame_bytes: int) -> None:
        """A SYN-ACK. The client's ACK decides between several; after it only the same again means anything."""
        start = (segment.seq + 1) % _WRAP
        if any(offer.start == start for offer in self._offers):
            if start == self._start and time_ns - self._synack_ns >= COPY_NS:
                self.synacks += 1
                self._synack_ns = time_ns
        elif not self._confirmed and len(self._offers) < _MOST_OFFERS:
            offer = _Offer(start, segment.ack, time_ns, options(segment.options, segment.cut_bytes))
            self._offers.append(offer)
            if len(self._offers) == 1:
                self._adopt(offer)
            if self._early_ack is not None and (self._early_ack - start) % _WRAP <= _MOST_AHEAD_BYTES:
                self._confirmed = True
                self._record_disorder()
        if segment.payload_bytes and start == self._start:
            # Fast Open: options of a SYN say nothing of the data's
            self._hear_data(time_ns, 0, segment, frame_bytes, self.size.option_bytes)

    def _adopt(self, offer: _Offer) -> None:
        self._start, self._synack_ns, self.synack_options, self.synacks = offer.start, offer.time_ns, offer.options, 1
        if self.syn_seq is not None and not self.disordered:
            self.to_server_ns = max(0, offer.time_ns - self.syn_ns)
        self._agree()

    def _agree(self) -> None:
        """What both SYNs together say, as far as they are captured."""
        if self.syn_options and self.synack_options:
            stamped = self.syn_options.timestamps and self.synack_options.timestamps
            self.size.announced(self.syn_options.mss_bytes, self.synack_options.mss_bytes, timestamps=stamped)

    def _confirm(self, time_ns: int, ack: int) -> None:
        """The client's first ACK after a SYN-ACK: which of them it answers, and how long that took."""
        answered = [offer for offer in self._offers if (ack - offer.start) % _WRAP <= _MOST_AHEAD_BYTES]
        if answered and self._start not in (offer.start for offer in answered):
            self._adopt(answered[0])
        self._confirmed = True
        if not self.disordered:
            self.to_client_ns = max(0, time_ns - self._synack_ns)

    def _record_disorder(self) -> None:
        self.disordered = True
        self.to_server_ns = self.to_client_ns = None

    # ------------------------------------------------------------ what follows it

    def from_client(self, time_ns: int, segment: Segment) -> None:
        """A client's segment that is no SYN."""
        new = self._hear_payload(segment.seq, segment.payload_bytes)
        if not segment.flags & ACK:
            return
        if not self.synacks:
            self._early_ack = segment.ack
            return
        if not self._confirmed:
            self._confirm(time_ns, segment.ack)
        offset = self._offset(segment.ack)
        self._acked = max(self._acked, offset)
        repeated = not segment.payload_bytes and self._window == segment.window << self._scale
        self._window = segment.window << self._scale
        copied = time_ns - self._client_ns < COPY_NS
        self._client_ns = time_ns
        # what is repeated may have been answered already
        if new and self._request is None:
            self._request = (segment.seq + segment.payload_bytes) % _WRAP, time_ns
        if self._open:
            if offset <= self._open.base:
                self._open.window_bytes = max(self._open.window_bytes, self._window)
            # what acknowledges a FIN is one more
            data_end = offset if self.fin_offset is None else min(offset, self.fin_offset)
            self._open.acknowledge(time_ns, data_end, self.acts_after_ns, self._new_stamp(segment))
            if offset == self._open.base and not copied and (repeated or sacks(segment.options)):
                self._open.miss(time_ns, self.acts_after_ns)
        self._client_options = segment.options

    def from_server(self, time_ns: int, segment: Segment, frame_bytes: int) -> None:
        """A server's segment that is no SYN-ACK."""
        if self._request and (segment.ack - self._request[0]) % _WRAP < _HALF:
            # never shorter than the round trip, and often nearer to it than a SYN that met cold caches
            if self.to_server_ns is not None:
                self.to_server_ns = min(self.to_server_ns, time_ns - self._request[1])
            self._request = None
        if not self.synacks:
            return
        offset = self._offset(segment.seq)
        if segment.flags & FIN:
            self.fin_offset = offset + segment.payload_bytes
        if segment.payload_bytes:
            option_bytes = self.size.option_bytes if segment.cut_bytes else len(segment.options)
            self._hear_data(time_ns, offset, segment, frame_bytes, option_bytes)

    def reset(self, time_ns: int) -> None:
        """A RST of either end."""
        if self.reset_ns is None:
            self.reset_ns = time_ns

    def _hear_data(self, time_ns: int, offset: int, segment: Segment, frame_bytes: int, option_bytes: int) -> None:
        payload_bytes, pushed = segment.payload_bytes, bool(segment.flags & (PSH | FIN))
        self.size.saw(payload_bytes, option_bytes, pushed=pushed)
        self._hear_echo(time_ns, segment)
        if self._followed and offset >= self._sent:
            self._followed.after_ns, self._followed.after_bytes = time_ns, payload_bytes
            self._followed = None
        if self._open and not self._open.add(time_ns, offset, payload_bytes, frame_bytes, pushed=pushed):
            self._followed = self._open if self._open.next_ns is not None else None
            self._open = None
        if self._open is None and offset >= self._sent and self._begins(time_ns):
            self._open = self._begin(time_ns)
            if self._open:
                self._open.add(time_ns, offset, payload_bytes, frame_bytes, pushed=pushed)
        self._count_round(time_ns, offset + payload_bytes)
        self._sent = max(self._sent, offset + payload_bytes)
        self._last_data_ns = time_ns

    def _hear_payload(self, seq: int, payload_bytes: int) -> bool:
        """Whether it is new payload of the client, which what comes next may answer; a keep-alive is none."""
        end = (seq + payload_bytes) % _WRAP
        if not payload_bytes or (self._client_end is not None and not 0 < (end - self._client_end) % _WRAP < _HALF):
            return False
        self._client_end = end
        self._followed = None
        if self._open:
            self._open.asked = True
        return True

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
    def acts_after_ns(self) -> int:
        """From when a client's segment is captured until what it released is captured, at most."""
        return 0 if self.side == SERVER else self.to_server_ns or 0

    @property
    def _scale(self) -> int:
        if self.syn_options is None or self.synack_options is None:
            return 0
        return (self.syn_options.scale or 0) if self.synack_options.scale is not None else 0

    def _offset(self, seq: int) -> int:
        """Of the server's stream, unwrapped near what was sent last."""
        return self._sent + (seq - self._start - self._sent + _HALF) % _WRAP - _HALF

    def _begins(self, time_ns: int) -> bool:
        if self.first is None:
            return True
        return self._acked >= self._sent and time_ns - self._last_data_ns > self.rto_ns

    def _begin(self, time_ns: int) -> CapturedFlight | None:
        idle_ns = time_ns - self._last_data_ns if self.first else 0
        # what was offered is not taken back (RFC 9293, 3.8.6), and that of the SYN is exact, as it is not scaled
        window = self._window if self.first else max(self._window, self._syn_window)
        flight = CapturedFlight(self._sent, self.size, window, time_ns, idle_ns)
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
