"""The send path of 2.6.18 TCP up to the first ACK, as a small machine that one can read.

How bytes become skbs (net/ipv4/tcp.c, tcp_sendmsg). Each write appends to the last skb of the write queue while that is
unsent and below the *size goal*: one MSS without TSO; with TSO the largest multiple of the MSS that fits 64 KB with
headers and half of the peer's largest window (tcp_output.c, tcp_current_mss). Without TSO an skb owns linear space for
a full MSS; with TSO data goes to pages that the whole socket shares, so that a step of the copy ends at each page's
end. A new skb needs `wmem_queued < sndbuf`; otherwise the write pushes what it has and sleeps. Appending to an
existing skb asks for no such permission, which is how TSO skbs escape the send buffer.

When a step tries to send. Once the skb holds a full MSS (el5 from -121: the size goal): when more than half of the
largest window was written since the last push, everything pending is tried (*forced push*); otherwise, if the skb is
next in line, it alone is pushed. At the end of the write, or when the buffer is full, everything pending is tried.

What may leave (tcp_output.c). Both ways need a free place in cwnd and a first segment inside the peer's window. An skb
of several segments is cut to what both allow, and a partial last segment is cut off to wait for company. The push of
everything also asks Nagle (with Minshall's change: a partial segment waits for an earlier partial one) and, for an skb
of several segments, *deferral*: it waits while the room left is below a third (tcp_tso_win_divisor) of the smaller of
window and cwnd, hoping for an ACK; no clock ends this wait, but a FIN does. The push of one skb asks neither.

Close (tcp_send_fin). The FIN goes onto the last skb of the write queue while that is unsent, and everything pending is
tried. An skb with FIN asks neither Nagle nor deferral, nor is it held by cwnd: one segment of it may always leave, and
what remains has the FIN again, so it leaves segment by segment as far as the window reaches (tcp_cwnd_test; el5 is
taken to do the same).

Idle restart (tcp_event_data_sent). cwnd is halved once for each RTO of silence, down to the initial window, while the
first skb is being handed down: too late for that skb, whose quota was taken before.

Memory is taken to be plentiful: only the send buffer limits. MTU probing and urgent data are left out, and a FIN
without data counts as nothing.

Sources: Linux 2.6.18 and 2.6.18-*.el5, net/ipv4/tcp.c, tcp_output.c, tcp_input.c, include/net/sock.h. Written from what
they do; nothing of them is copied.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from offloadbench.analysis.initcwnd.scenario import TSO_WIN_DIVISOR, Kernel

PAGE_BYTES = 4096
# room for headers in front of every skb (MAX_TCP_HEADER, cache-aligned), and what ends its linear space
_HEADER_ROOM_BYTES, _MAX_TCP_HEADER_BYTES, _SHARED_INFO_BYTES, _CACHE_LINE_BYTES = 192, 160, 312, 64
_IP_HEADER_BYTES, _TCP_HEADER_BYTES, _TIMESTAMP_BYTES = 20, 20, 12
_LARGEST_IP_BYTES = 65535
# what RFC 1122 lets no MSS fall below, headers included
_SMALLEST_IP_BYTES = 68
# with divisor 0: what delayed ACKs make a burst of slow start
_MAX_BURST_SEGMENTS = 3
# a quota of this size is never waited for: it holds a full TSO skb
_FULL_TSO_BYTES = 65536

CWND, WINDOW, NAGLE, DEFERRAL = "cwnd", "window", "nagle", "deferral"


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // _CACHE_LINE_BYTES) * _CACHE_LINE_BYTES


def _tcp_header_bytes(timestamps: bool) -> int:
    return _TCP_HEADER_BYTES + (_TIMESTAMP_BYTES if timestamps else 0)


def half_window_bytes(size_bytes: int, window_bytes: int, *, timestamps: bool) -> int:
    """What tcp_sync_mss lets a segment, and tcp_current_mss an skb, be: no more than half of the largest window."""
    if not window_bytes:
        return size_bytes
    return min(size_bytes, max(window_bytes // 2, _SMALLEST_IP_BYTES - _tcp_header_bytes(timestamps)))


@dataclass(slots=True)
class _Skb:
    """Queued data; `linear_bytes` is what its own space can still take, `fin` ends the stream behind it."""

    length_bytes: int = 0
    linear_bytes: int = 0
    fin: bool = False


@dataclass(slots=True)
class Restart:
    """What the first skb handed down does to cwnd.

    Attributes:
        silence_ms, rto_ms: the restart happens when the first exceeds the second.
        floor_segments: the initial window, as tcp_init_cwnd gives it.
    """

    silence_ms: int
    rto_ms: int
    floor_segments: int

    def apply(self, cwnd_segments: int) -> int:
        floor = min(self.floor_segments, cwnd_segments)
        left_ms = self.silence_ms - self.rto_ms
        while left_ms > 0 and cwnd_segments > floor:
            cwnd_segments //= 2
            left_ms -= self.rto_ms
        return max(cwnd_segments, floor)


@dataclass(slots=True)
class SendPath:
    """A socket whose peer never acknowledges.

    Attributes:
        mss_bytes: already bounded by half of the window.
        window_bytes: the peer's; also the largest ever seen.
        cwnd_segments: current; falls by a restart or by validation, never grows without ACKs.
        unvalidated: cwnd was never stamped (a socket whose metrics were reset): the first send that does not fill it
            counts as limited by the application, since the stamp looks older than an RTO. The kernel compares with a
            stamp of 0, which is so from the sixth minute after boot until jiffies wrap.
        sent_segments: segments of each skb handed down, in order.
        tso_win_divisor: see `Scenario`.
        refusal: why the last skb that was tried did not leave, one of the words above; empty when all left.
        blocked: a write sleeps for send buffer.
        fin_segments: those that left beyond cwnd because of a FIN.
    """

    kernel: Kernel
    tso: bool
    nodelay: bool
    timestamps: bool
    mss_bytes: int
    window_bytes: int
    sndbuf_bytes: int
    cwnd_segments: int
    initial_segments: int
    restart: Restart | None = None
    unvalidated: bool = False
    tso_win_divisor: int = TSO_WIN_DIVISOR
    sent_segments: list[int] = field(default_factory=list)
    sent_bytes: int = 0
    wmem_queued_bytes: int = 0
    refusal: str = ""
    blocked: bool = False
    fin_segments: int = 0
    _unsent: deque[_Skb] = field(default_factory=deque)
    _in_flight: int = 0
    _written_bytes: int = 0
    _pushed_bytes: int = 0
    _page_used_bytes: int = 0
    _partial_in_flight: bool = False
    _goal_bytes: int = 0

    def __post_init__(self) -> None:
        self._goal_bytes = self.mss_bytes
        if self.tso:
            headers = _IP_HEADER_BYTES + _tcp_header_bytes(self.timestamps)
            goal = half_window_bytes(_LARGEST_IP_BYTES - headers, self.window_bytes, timestamps=self.timestamps)
            self._goal_bytes = goal - goal % self.mss_bytes

    @property
    def unsent_bytes(self) -> int:
        return sum(skb.length_bytes for skb in self._unsent)

    @property
    def flight_segments(self) -> int:
        return self._in_flight

    def write(self, size_bytes: int) -> None:
        """One send() of the application; does nothing when an earlier one still sleeps."""
        left = size_bytes
        while left and not self.blocked:
            if not self._unsent or self._unsent[-1].length_bytes >= self._goal_bytes:
                if self.wmem_queued_bytes >= self.sndbuf_bytes:
                    self.blocked = True
                    break
                self._allocate()
            left -= self._append(left)
            if left:
                self._push_while_filling()
        if left < size_bytes:
            self._push_all(nagle=not self.blocked and not self.nodelay)

    def close(self) -> None:
        """close() of the application; it never comes to it while a write sleeps."""
        if not self.blocked and self._unsent:
            self._unsent[-1].fin = True
            self._push_all(nagle=False)

    def _allocate(self) -> None:
        linear = 0
        if not self.tso:
            # a NIC with TSO switched off still gathers: what exceeds a page's linear space goes to pages
            page_break = PAGE_BYTES - _MAX_TCP_HEADER_BYTES - _SHARED_INFO_BYTES
            page_break -= page_break % _CACHE_LINE_BYTES
            linear = min(self.mss_bytes, page_break)
        self._unsent.append(_Skb(linear_bytes=_aligned(linear)))
        self.wmem_queued_bytes += self._overhead_bytes + _aligned(linear)

    @property
    def _overhead_bytes(self) -> int:
        return self.kernel.sk_buff_bytes + _HEADER_ROOM_BYTES

    def _append(self, available_bytes: int) -> int:
        """One step of the copy, into the last skb; returns its size."""
        skb = self._unsent[-1]
        size = min(available_bytes, self._goal_bytes - skb.length_bytes)
        if skb.linear_bytes:
            size = min(size, skb.linear_bytes)
            skb.linear_bytes -= size
        else:
            # at most 17 pages hold 64 KB, so the 18 fragments of an skb never run out
            size = min(size, PAGE_BYTES - self._page_used_bytes)
            self._page_used_bytes = (self._page_used_bytes + size) % PAGE_BYTES
            self.wmem_queued_bytes += size
        skb.length_bytes += size
        self._written_bytes += size
        return size

    def _push_while_filling(self) -> None:
        skb = self._unsent[-1]
        if skb.length_bytes < (self._goal_bytes if self.kernel.fills_to_goal else self.mss_bytes):
            return
        if self._written_bytes > self._pushed_bytes + self.window_bytes // 2:
            self._push_all(nagle=False)
        elif len(self._unsent) == 1:
            self._push_one()

    def _push_one(self) -> None:
        skb = self._unsent[0]
        quota = self._quota(skb)
        if quota:
            self._hand_down(skb, quota)
            self._validate_cwnd()

    def _push_all(self, *, nagle: bool) -> None:
        self.refusal = ""
        if not self._unsent:
            return
        self._pushed_bytes = self._written_bytes
        sent = False
        while self._unsent:
            skb = self._unsent[0]
            quota = self._quota(skb)
            if not quota:
                break
            if skb.length_bytes > self.mss_bytes:
                if not skb.fin and self._defers(quota):
                    self.refusal = DEFERRAL
                    break
            elif (
                nagle
                and not skb.fin
                and len(self._unsent) == 1
                and skb.length_bytes < self.mss_bytes
                and self._partial_in_flight
            ):
                self.refusal = NAGLE
                break
            if self._in_flight >= self.cwnd_segments:
                self.fin_segments += quota
            self._hand_down(skb, quota)
            # Minshall's mark is set on this way only: a push of one skb never sends a partial one alone
            self._partial_in_flight |= skb.length_bytes < self.mss_bytes
            sent = True
        if sent:
            self._validate_cwnd()

    def _quota(self, skb: _Skb) -> int:
        """Segments that cwnd allows now, or 0; also 0 when the first segment does not fit the window."""
        if self._in_flight >= self.cwnd_segments and not skb.fin:
            self.refusal = CWND
            return 0
        # a FIN takes a sequence number behind the last byte
        first_bytes = self.mss_bytes if skb.length_bytes > self.mss_bytes else skb.length_bytes + skb.fin
        if first_bytes > self._window_left_bytes:
            self.refusal = WINDOW
            return 0
        return 1 if skb.fin else self.cwnd_segments - self._in_flight

    @property
    def _window_left_bytes(self) -> int:
        return self.window_bytes - self.sent_bytes

    def _defers(self, quota_segments: int) -> bool:
        room = min(self._window_left_bytes, quota_segments * self.mss_bytes)
        if not self.tso_win_divisor:
            return room <= min(_FULL_TSO_BYTES - 1, _MAX_BURST_SEGMENTS * self.mss_bytes)
        whole = min(self.window_bytes, self.cwnd_segments * self.mss_bytes)
        return room < min(_FULL_TSO_BYTES, whole // self.tso_win_divisor)

    def _hand_down(self, skb: _Skb, quota_segments: int) -> None:
        if skb.length_bytes > self.mss_bytes:
            limit = self._cut_bytes(skb, quota_segments)
            if skb.length_bytes > limit:
                self._unsent.insert(1, _Skb(skb.length_bytes - limit, fin=skb.fin))
                skb.length_bytes, skb.fin = limit, False
                self.wmem_queued_bytes += self._overhead_bytes
        if self.restart:
            self.cwnd_segments = self.restart.apply(self.cwnd_segments)
            self.restart = None
        segments = -(-skb.length_bytes // self.mss_bytes)
        self.sent_segments.append(segments)
        self.sent_bytes += skb.length_bytes
        self._in_flight += segments
        self._unsent.popleft()

    def _cut_bytes(self, skb: _Skb, quota_segments: int) -> int:
        """How much of an skb of several segments may leave in one piece."""
        allowed = self.mss_bytes * quota_segments
        window = self._window_left_bytes
        if self.kernel.cuts_at_mss:
            if allowed <= window and len(self._unsent) > 1:
                return allowed
            needed = min(skb.length_bytes, window)
            return allowed if allowed <= needed else needed - needed % self.mss_bytes
        limit = min(window, allowed)
        return skb.length_bytes - skb.length_bytes % self.mss_bytes if skb.length_bytes < limit else limit

    def _validate_cwnd(self) -> None:
        """RFC 2861: a window that the application did not fill for an RTO shrinks half-way to what it used."""
        if self._in_flight < self.cwnd_segments and self.unvalidated and not self.blocked:
            used = max(self._in_flight, self.initial_segments)
            if used < self.cwnd_segments:
                self.cwnd_segments = (self.cwnd_segments + used) // 2
        self.unvalidated = False
