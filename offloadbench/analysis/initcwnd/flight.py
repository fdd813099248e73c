"""One flight of a server: the payload that it sent before an ACK could let it send more.

An ACK acts on what is captured one round trip to the server later: at once where the capture runs on the server, after
the whole RTT where it runs on the client. So a flight ends with the first data that comes later than the first ACK of
any of it plus that time, with the first that echoes the time stamp of that ACK (RFC 7323), or with the first
retransmission. The time is an upper bound from the handshake and from requests, so a tenth is taken off: data that an
ACK released must never count, and a flight that is not paced over the whole RTT is long complete by then. It is far too
long where a server was slow in both, waiting for ARP before its SYN-ACK for example; the echo is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# of the time from the capture to the server and back
_CERTAIN = 0.9
# copies of a frame (both ends of a veth pair, "any" device) come sooner than any retransmission (2 ticks, RFC 8985)
_COPY_NS = 1_000_000
_MOST_HOLES = 64
_WRAP, _HALF = 1 << 32, 1 << 31


@dataclass(slots=True)
class Flight:
    """Collects frames in the order of the capture.

    Attributes:
        base: stream offset of its first byte; offsets never wrap.
        mss_bytes: payload of a full segment.
        window_bytes: what the client had advertised before.
        idle_ns: silence before it; 0 = the connection's first data.
        cut_ns: from here on an ACK may have acted; None before the first ACK.
        stamp: TSval of that ACK; None where a segment before it had the same, or has none.
        segments: each frame counts its new bytes in segments, rounded up.
        pushed: the frame with the highest bytes so far had PSH or FIN.
    """

    base: int
    mss_bytes: int
    window_bytes: int
    first_ns: int
    idle_ns: int = 0
    last_ns: int = 0
    end: int = 0
    segments: int = 0
    bytes: int = 0
    frames: int = 0
    max_frame_bytes: int = 0
    super_packets: int = 0
    pushed: bool = False
    ack_ns: int | None = None
    cut_ns: int | None = None
    stamp: int | None = None
    next_ns: int | None = None
    retransmitted: bool = False
    _holes: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.end = self.base
        self.last_ns = self.first_ns

    @property
    def holes(self) -> bool:
        return bool(self._holes)

    @property
    def spread_ns(self) -> int:
        return self.last_ns - self.first_ns

    def acknowledge(self, time_ns: int, offset: int, to_server_ns: int, stamp: int | None = None) -> None:
        """A client's ACK; the first that covers any of this flight starts the end of it."""
        if offset > self.base and self.cut_ns is None:
            self.ack_ns = time_ns
            self.cut_ns = time_ns + int(_CERTAIN * to_server_ns)
            self.stamp = stamp

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
                self.next_ns = time_ns
            else:
                self.retransmitted = True
            return False
        new = self._new_bytes(offset, offset + payload_bytes)
        if not new:
            if offset < self.base or time_ns - self.last_ns < _COPY_NS:
                return True
            self.retransmitted = True
            return False
        self.segments += -(-new // self.mss_bytes)
        self.bytes += new
        self.frames += 1
        self.max_frame_bytes = max(self.max_frame_bytes, frame_bytes)
        self.super_packets += payload_bytes > self.mss_bytes
        if offset + payload_bytes >= self.end:
            self.pushed = pushed
        self.end = max(self.end, offset + payload_bytes)
        self.last_ns = time_ns
        return True

    def _new_bytes(self, start: int, stop: int) -> int:
        new = max(0, stop - max(start, self.end))
        if start > self.end and len(self._holes) < _MOST_HOLES:
            self._holes.append((self.end, start))
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
