"""One flight of a server: the payload that it sent before an ACK could let it send more.

An ACK acts on what is captured one round trip to the server later: at once where the capture runs on the server, after
the whole RTT where it runs on the client. So a flight ends with the first data that comes later than the first ACK of
any of it, or one that reports a loss, plus that time; with the first that echoes the time stamp of that ACK (RFC 7323);
or with the first retransmission. The time is an upper bound from the handshake and from requests, so a tenth is taken
off: data that an ACK released must never count, and a flight that is not paced over the whole RTT is long complete by
then. It is far too long where a server was slow in both, waiting for ARP before its SYN-ACK for example; the echo is
exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from offloadbench.analysis.initcwnd.segment_size import SegmentSize

# of the time from the capture to the server and back
_CERTAIN = 0.9
# copies of a frame (both ends of a veth pair, "any" device) come sooner than any retransmission (2 ticks, RFC 8985)
COPY_NS = 1_000_000
_MOST_HOLES, _MOST_SIZES = 64, 64
_WRAP, _HALF = 1 << 32, 1 << 31


@dataclass(slots=True)
class CapturedFlight:
    """Collects frames in the order of the capture.

    Attributes:
        base: stream offset of its first byte; offsets never wrap. What is missing from there on is a hole.
        size: of the server's segments.
        window_bytes: what the client had advertised before.
        idle_ns: silence before it; 0 = the connection's first data.
        cut_ns: from here on an ACK may have acted; None before the first ACK.
        stamp: TSval of that ACK; None where a segment before it had the same, or has none.
        pushed: the frame with the highest bytes so far had PSH or FIN.
        last_bytes: its payload.
        asked: the client sent new payload between the first data and what ended the flight: what follows may answer it.
        acked_end: the highest offset that the client acknowledged before the flight was over.
        gap_ns: the longest between two of its frames.
        next_ns, next_bytes: of the first data after it.
        after_ns, after_bytes: of the frame behind that.
    """

    base: int
    size: SegmentSize
    window_bytes: int
    first_ns: int
    idle_ns: int = 0
    last_ns: int = 0
    end: int = 0
    bytes: int = 0
    frames: int = 0
    max_frame_bytes: int = 0
    super_packets: int = 0
    pushed: bool = False
    last_bytes: int = 0
    asked: bool = False
    ack_ns: int | None = None
    cut_ns: int | None = None
    stamp: int | None = None
    acked_end: int = 0
    gap_ns: int = 0
    next_ns: int | None = None
    next_bytes: int = 0
    after_ns: int | None = None
    after_bytes: int = 0
    retransmitted: bool = False
    _singles: int = 0
    _supers: dict[int, int] = field(default_factory=dict)
    _holes: list[tuple[int, int]] = field(default_factory=list)
    _holes_overflow: bool = False
    _torn: bool = False

    def __post_init__(self) -> None:
        self.end = self.base
        self.last_ns = self.first_ns

    @property
    def holes(self) -> bool:
        """Something is missing inside, or behind the last frame: the client acknowledged more, or what follows does
        not join on."""
        return bool(self._holes) or self._holes_overflow or self._torn or self.acked_end > self.end

    @property
    def spread_ns(self) -> int:
        return self.last_ns - self.first_ns

    @property
    def mss_bytes(self) -> int:
        return self.size.mss_bytes

    @property
    def segments(self) -> int:
        """A frame no longer than the client's MSS is one; a longer one holds full segments and the rest."""
        mss = self.size.mss_bytes
        return self._singles + sum(times * -(-size // mss) for size, times in self._supers.items())

    @property
    def ends_full(self) -> bool:
        """Its last segment is full, so nothing says that a write ended there, as a partial one with PSH does."""
        mss = self.size.mss_bytes
        return self.last_bytes == mss if self.size.one_segment(self.last_bytes) else not self.last_bytes % mss

    def acknowledge(self, time_ns: int, offset: int, to_server_ns: int, stamp: int | None = None) -> None:
        """A client's ACK; the first that covers any of this flight starts the end of it."""
        self.acked_end = max(self.acked_end, offset)
        if offset > self.base and self.cut_ns is None:
            self.ack_ns = time_ns
            self.cut_ns = time_ns + int(_CERTAIN * to_server_ns)
            self.stamp = stamp

    def miss(self, time_ns: int, to_server_ns: int) -> None:
        """A client's ACK that covers none of this flight, as it misses the beginning: it lets more leave all the same
        (RFC 3042, 6675)."""
        if self.cut_ns is None:
            self.cut_ns = time_ns + int(_CERTAIN * to_server_ns)

    def acted(self, time_ns: int, echo: int) -> bool:
        """Whether what the server echoes now (TSecr) shows that the ACK has reached it; then the flight is over."""
        if self.stamp is None or self.cut_ns is None or (echo - self.stamp) % _WRAP >= _HALF:
            return False
        self.cut_ns = min(self.cut_ns, time_ns)
        return True

    def add(self, time_ns: int, offset: int, payload_bytes: int, frame_bytes: int, *, pushed: bool) -> bool:
        """A frame of the server; False when the flight was over before it."""
        if self.cut_ns is not None and time_ns >= self.cut_ns:
            if offset + payload_bytes > self.end:
                self.next_ns, self.next_bytes = time_ns, payload_bytes
                self._torn = offset > self.end
            elif time_ns - self.last_ns < COPY_NS:
                return True
            else:
                self.retransmitted = True
            return False
        new = self._new_bytes(offset, offset + payload_bytes)
        if not new:
            if offset < self.base or time_ns - self.last_ns < COPY_NS:
                return True
            self.retransmitted = True
            return False
        if self.size.one_segment(payload_bytes):
            self._singles += 1
        elif new in self._supers or len(self._supers) < _MOST_SIZES:
            self._supers[new] = self._supers.get(new, 0) + 1
        else:
            self._singles += -(-new // self.size.mss_bytes)
        self.bytes += new
        self.frames += 1
        self.max_frame_bytes = max(self.max_frame_bytes, frame_bytes)
        self.super_packets += not self.size.one_segment(payload_bytes)
        if offset + payload_bytes >= self.end:
            self.pushed, self.last_bytes = pushed, payload_bytes
        self.end = max(self.end, offset + payload_bytes)
        if self.frames > 1:
            self.gap_ns = max(self.gap_ns, time_ns - self.last_ns)
        self.last_ns = time_ns
        return True

    def _new_bytes(self, start: int, stop: int) -> int:
        new = max(0, stop - max(start, self.end))
        if start > self.end:
            if len(self._holes) < _MOST_HOLES:
                self._holes.append((self.end, start))
            else:
                self._holes_overflow = True
        elif self._holes and start < self.end:
            left = []
            for low, high in self._holes:
                inner_low, inner_high = max(low, start), min(high, stop)
                if inner_low >= inner_high:
                    left.append((low, high))
                    continue
                new += inner_high - inner_low
                left += [piece for piece in ((low, inner_low), (inner_high, high)) if piece[0] < piece[1]]
            self._holes = left
        return new
