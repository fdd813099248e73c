"""A TCP client that speaks for itself, so that it alone decides when to acknowledge.

It offers timestamps and window scaling, and no SACK: a Linux sender without SACK makes no tail loss probe (net/ipv4/
tcp_output.c, tcp_schedule_loss_probe), which would send new data that no window asked for, long before the first
repetition.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from dataclasses import dataclass, field

from offloadbench.analysis.capture.ignored_frames import Ignored
from offloadbench.analysis.capture.link_types import ETHERNET
from offloadbench.analysis.capture.tcp_segment import ACK, FIN, PSH, RST, SYN, Segment, options, segment
from offloadbench.base.errors import TrafficError
from offloadbench.engine.probe import probe_frames as frames
from offloadbench.engine.probe.probe_frames import Endpoint
from offloadbench.kernel.netdev.packet_socket import Arrival, PacketSocket
from offloadbench.model import FlightFrames

# what goes without scaling, the shift for more, and the largest (RFC 7323)
_UNSCALED_MAX_BYTES, _SHIFT, _LARGEST_SHIFT = 65535, 7, 14
_TIMESTAMP_BYTES = 12
_ATTEMPTS, _ATTEMPT_S = 3, 1.0
_WRAP, _HALF = 1 << 32, 1 << 31
# RFC 9293: the MSS of a peer that does not say
_DEFAULT_MSS_BYTES = 536


@dataclass(slots=True)
class _Received:
    """The server's stream from one request on.

    Attributes:
        base: stream offset of its first byte.
        end: up to here everything has come, from `base` on; `ahead` lies behind a hole.
    """

    base: int
    asked_ns: int
    end: int = 0
    ahead: list[tuple[int, int]] = field(default_factory=list)
    t_us: list[int] = field(default_factory=list)
    offset_bytes: list[int] = field(default_factory=list)
    payload_bytes: list[int] = field(default_factory=list)
    gso_bytes: list[int] = field(default_factory=list)
    repeated: bool = False

    def add(self, time_ns: int, offset: int, payload_bytes: int, gso_bytes: int) -> None:
        self.t_us.append(max(0, time_ns - self.asked_ns) // 1000)
        self.offset_bytes.append(offset)
        self.payload_bytes.append(payload_bytes)
        self.gso_bytes.append(gso_bytes)
        start, stop = offset, offset + payload_bytes
        self.repeated |= start < self.end or any(low < stop and start < high for low, high in self.ahead)
        self.ahead = sorted([*self.ahead, (start, stop)])
        while self.ahead and self.ahead[0][0] <= self.end:
            self.end = max(self.end, self.ahead.pop(0)[1])

    def frames(self) -> FlightFrames:
        return FlightFrames(
            t_us=list(self.t_us),
            offset_bytes=list(self.offset_bytes),
            payload_bytes=list(self.payload_bytes),
            gso_bytes=list(self.gso_bytes),
        )


class Client:
    """One connection.

    Args:
        wire: receives what the server sends to `local`.
        mss_bytes: to offer, before options.
        window_bytes: to offer; above 65535 it is scaled, once the SYN is through.

    Attributes:
        window_bytes: that the server may use: as asked for, or the most that TCP can offer it.
        mss_bytes: payload of a full segment, after options.
        rtt_us: SYN to SYN-ACK.
        synacks: how often the SYN-ACK came.
        finished: the server has ended its stream.
    """

    def __init__(
        self, wire: PacketSocket, local: Endpoint, remote: Endpoint, *, mss_bytes: int, window_bytes: int
    ) -> None:
        self._wire, self._local, self._remote = wire, local, remote
        self._offered_mss_bytes = mss_bytes
        self._shift = _shift(window_bytes)
        self.window_bytes = min(window_bytes, _UNSCALED_MAX_BYTES << self._shift)
        self.mss_bytes = mss_bytes
        self.rtt_us = 0
        self.synacks = 0
        self.finished = False
        self._seq = secrets.randbits(32)
        self._isn = 0
        self._acked = 0
        self._their_ack = 0
        self._timestamps = True
        self._echo = 0
        self._received = _Received(0, time.time_ns())
        self._notes: Counter[Ignored] = Counter()

    # ------------------------------------------------------------ what is sent

    def _send(self, flags: int, payload: bytes = b"", *, window_bytes: int | None = None) -> None:
        window_bytes = self.window_bytes if window_bytes is None else window_bytes
        window = min(-(-window_bytes // (1 << self._shift)), _UNSCALED_MAX_BYTES)
        self._wire.send(
            frames.build(
                self._local,
                self._remote,
                seq=self._seq,
                ack=(self._isn + 1 + self._acked) % _WRAP,
                flags=flags,
                window=window,
                options=self._stamp(),
                payload=payload,
            )
        )

    def _stamp(self) -> bytes:
        return frames.timestamps_option(time.monotonic_ns() // 10**6, self._echo) if self._timestamps else b""

    def connect(self) -> None:
        """SYN, SYN-ACK, ACK.

        Raises:
            TrafficError: nobody answers, or refuses.
        """
        offer = frames.mss_option(self._offered_mss_bytes) + frames.scale_option(self._shift) + self._stamp()
        syn = frames.build(
            self._local,
            self._remote,
            seq=self._seq,
            ack=0,
            flags=SYN,
            window=min(self.window_bytes, _UNSCALED_MAX_BYTES),
            options=offer,
        )
        for _ in range(_ATTEMPTS):
            sent_ns = time.time_ns()
            self._wire.send(syn)
            until_s = time.monotonic() + _ATTEMPT_S
            while not self.synacks and (arrival := self._wire.receive(until_s)):
                self._take(arrival)
                self.rtt_us = max(1, (arrival.time_ns - sent_ns) // 1000)
            if self.synacks:
                self._send(ACK)
                return
        raise TrafficError(
            f"{self._remote.address}:{self._remote.port} does not answer", "does a server listen there, on this link?"
        )

    def expect(self) -> None:
        """What comes from now on counts from offset 0: it is asked for on another connection, as FTP does."""
        self._received = _Received(self._received.base + self._received.end, time.time_ns())

    def request(self, payload: bytes) -> None:
        """Ask for data, which then count from offset 0; an unanswered request is repeated."""
        self.expect()
        self._send(ACK | PSH, payload)
        wanted = (self._seq + len(payload)) % _WRAP
        attempts = 1
        until_s = time.monotonic() + _ATTEMPT_S
        while not self._confirmed(wanted):
            arrival = self._wire.receive(until_s)
            if arrival:
                self._take(arrival)
            elif attempts == _ATTEMPTS:
                raise TrafficError(f"{self._remote.address}:{self._remote.port} takes no request", "see its log")
            else:
                attempts += 1
                self._send(ACK | PSH, payload)
                until_s = time.monotonic() + _ATTEMPT_S
        self._seq = wanted

    def _confirmed(self, seq: int) -> bool:
        return (self._their_ack - seq) % _WRAP < _HALF

    def acknowledge(self, window_bytes: int | None = None) -> None:
        """Everything that came without a hole; the window stays as it was unless given."""
        self._acked = self._received.base + self._received.end
        self._send(ACK, window_bytes=window_bytes)

    def reset(self) -> None:
        """End the connection at once, for the server too."""
        self._send(RST | ACK)

    def finish(self, patience_s: float) -> None:
        """End the connection in order, so that the server keeps what it has learned."""
        until_s = time.monotonic() + patience_s
        while not self.finished and (arrival := self._wire.receive(until_s)):
            self._take(arrival)
        self._acked = self._received.base + self._received.end + self.finished
        self._send(ACK | FIN)
        self._seq = (self._seq + 1) % _WRAP
        while not self._confirmed(self._seq) and (arrival := self._wire.receive(until_s)):
            self._take(arrival)

    # ------------------------------------------------------------ what comes

    def _take(self, arrival: Arrival) -> None:
        found = segment(ETHERNET, arrival.data, len(arrival.data), self._notes)
        if found is None:
            return
        if found.flags & RST:
            raise TrafficError(
                f"{self._remote.address}:{self._remote.port} resets the connection", "does a server listen there?"
            )
        stamp = frames.timestamp_of(arrival.data)
        if stamp is not None:
            self._echo = stamp
        if found.flags & ACK:
            self._their_ack = found.ack
        if found.flags & SYN:
            self._take_synack(found)
            return
        offset = self._offset(found.seq)
        if found.flags & FIN:
            self.finished = True
        if found.payload_bytes:
            self._received.add(arrival.time_ns, offset, found.payload_bytes, arrival.gso_bytes)

    def _take_synack(self, found: Segment) -> None:
        self.synacks += 1
        if self.synacks > 1:
            return
        offered = options(found.options)
        self._isn = found.seq
        self._seq = (self._seq + 1) % _WRAP
        self._timestamps = offered.timestamps
        if offered.scale is None:
            self._shift = 0
            self.window_bytes = min(self.window_bytes, _UNSCALED_MAX_BYTES)
        mss_bytes = min(self._offered_mss_bytes, offered.mss_bytes or _DEFAULT_MSS_BYTES)
        self.mss_bytes = mss_bytes - (_TIMESTAMP_BYTES if self._timestamps else 0)

    def _offset(self, seq: int) -> int:
        """Of the stream since the request, unwrapped near its end."""
        near = self._received.base + self._received.end
        return near + (seq - self._isn - 1 - near + _HALF) % _WRAP - _HALF - self._received.base

    def flight(self) -> FlightFrames:
        """Data frames since the last request, the first that repeats included."""
        return self._received.frames()

    @property
    def repeated(self) -> bool:
        return self._received.repeated

    @property
    def received_bytes(self) -> int:
        """Since the last request, without a hole."""
        return self._received.end

    def await_data(self, wait_s: float) -> None:
        """Receive for so long, or until the first data come."""
        until_s = time.monotonic() + wait_s
        while not self._received.t_us and (arrival := self._wire.receive(until_s)):
            self._take(arrival)

    def collect(self, wait_s: float) -> None:
        """Receive for so long, or until data is repeated, and acknowledge nothing."""
        until_s = time.monotonic() + wait_s
        while not self.repeated and (arrival := self._wire.receive(until_s)):
            self._take(arrival)

    def absorb(self, total_bytes: int, patience_s: float) -> None:
        """Receive and acknowledge, as any client does, until so much has come since the last request.

        Raises:
            TrafficError: it does not come.
        """
        until_s = time.monotonic() + patience_s
        if self.received_bytes:
            self.acknowledge()
        while self.received_bytes < total_bytes:
            arrival = self._wire.receive(until_s)
            if arrival is None:
                raise TrafficError(
                    f"{self.received_bytes} of {total_bytes} bytes came within {patience_s:.0f} s", "see the server"
                )
            self._take(arrival)
            self.acknowledge()

    def released(self, wait_s: float) -> int:
        """New bytes that come within this time, once everything has been acknowledged; the first burst is enough."""
        before = self.received_bytes
        until_s = time.monotonic() + wait_s
        while self.received_bytes == before and not self.finished and (arrival := self._wire.receive(until_s)):
            self._take(arrival)
        return self.received_bytes - before


def _shift(window_bytes: int) -> int:
    if window_bytes <= _UNSCALED_MAX_BYTES:
        return 0
    fits = (shift for shift in range(_SHIFT, _LARGEST_SHIFT) if window_bytes <= _UNSCALED_MAX_BYTES << shift)
    return next(fits, _LARGEST_SHIFT)
