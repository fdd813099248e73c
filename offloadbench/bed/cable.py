"""A cable with a rate, a delay, loss and a queue between two file descriptors that carry frames (see frames.py).

Super-packets pass whole and are charged as their segments, each with its headers, FCS, preamble and gap. One arrives
when its last segment would. Standard library only.
"""

from __future__ import annotations

import errno
import math
import os
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from offloadbench.bed.wire_frames import (
    FRAME_OVERHEAD_BYTES,
    VNET_HEADER_BYTES,
    cut,
    frame_cost,
    full_segment_bytes,
)
from offloadbench.roles.messages import DirectionTotals

QUANTUM_NS = 100_000
# with no frame for this long the process waits in poll, and an idle link costs nothing
IDLE_NS = 20_000_000
# The cable may be caught up by this much after the process was held up (a hypervisor takes a CPU away for 10 ms at
# a time): well below the 33 ms that 4 MB wait at 1 Gbit/s. What exceeds it is lost link time.
CATCH_UP_NS = 20_000_000
READ_BYTES = 65536 + 18 + VNET_HEADER_BYTES


class Loss:
    """Which segments are lost: each with the same probability, independent of all others.

    Drawn as the distance from one loss to the next (geometric), so that a super-packet costs one comparison.
    """

    def __init__(self, ratio: float, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - losses that can be repeated, not a secret
        self._log_survival = math.log1p(-ratio)
        self._next: float = self._distance() if ratio else math.inf

    def _distance(self) -> int:
        return int(math.log(1 - self._random.random()) / self._log_survival)

    def among(self, segments: int) -> list[int]:
        """Indexes of those lost among the next `segments`."""
        found = []
        while self._next < segments:
            found.append(int(self._next))
            self._next += 1 + self._distance()
        self._next -= segments
        return found


@dataclass(slots=True)
class Direction:
    """One direction of the cable.

    Attributes:
        dropped: frames that the receiver had no room for.
        lost_segments: lost on the cable, by `Loss`; they took their time on it.
        overflow_segments: refused by the full queue in front of the cable; they took none.
    """

    source: int
    target: int
    loss: Loss
    free_at_ns: int = 0
    backlog: bool = False
    frames: int = 0
    segments: int = 0
    l2_bytes: int = 0
    dropped: int = 0
    lost_segments: int = 0
    overflow_segments: int = 0
    behind_ns: int = 0
    in_flight: deque[tuple[int, bytes]] = field(default_factory=deque)

    def totals(self) -> DirectionTotals:
        return DirectionTotals(
            frames=self.frames,
            segments=self.segments,
            l2_bytes=self.l2_bytes,
            dropped=self.dropped,
            lost_segments=self.lost_segments,
            overflow_segments=self.overflow_segments,
        )


class EmulatedCable:
    """Both directions, driven by `step`.

    Without a queue limit a frame stays in its TAP until the cable is free for it. With one, frames are taken at once
    and wait in a queue of that many bytes before the cable; what does not fit is dropped at the tail, segment by
    segment, as by a switch whose sender's own link is infinitely fast.

    Args:
        rate_bits_per_s: rate of each direction.
        delay_ns: one way.
        queue_bytes: what may wait in each direction, as it would be on the cable (headers, FCS, preamble and gap
            included); exact to what the cable carries in one look. 0: no limit.
        loss_ratio, loss_seed: of segments, in each direction by itself.
        jitter_ns: a frame takes up to so much longer one way, each value as likely, but overtakes none.
    """

    def __init__(
        self,
        first: int,
        second: int,
        rate_bits_per_s: int,
        delay_ns: int,
        *,
        queue_bytes: int = 0,
        loss_ratio: float = 0.0,
        loss_seed: int = 1,
        jitter_ns: int = 0,
    ) -> None:
        self.directions = (
            Direction(first, second, Loss(loss_ratio, 2 * loss_seed)),
            Direction(second, first, Loss(loss_ratio, 2 * loss_seed + 1)),
        )
        self._ns_per_byte = 8e9 / rate_bits_per_s
        self._delay_ns = delay_ns
        self._jitter_ns = jitter_ns
        self._random = random.Random(loss_seed)  # noqa: S311 - delays that can be repeated, not a secret
        self._queue_ns = int(queue_bytes * self._ns_per_byte)
        self._looked_ns = 0
        # frames late by less than 2^n us, n = 0..20
        self.late_histogram = [0] * 21
        self.late_max_ns = 0
        self.last_frame_ns = 0

    @classmethod
    def of(cls, first: int, second: int, link: Mapping[str, float]) -> EmulatedCable:
        """The cable of an emulated link, by the fields of `offloadbench.model.EmulatedLink`."""
        return cls(
            first,
            second,
            int(link["line_rate_bits_per_s"]),
            int(link["rtt_s"] * 1e9 / 2),
            queue_bytes=int(link["queue_bytes"]),
            loss_ratio=link["loss_ratio"],
            loss_seed=int(link["loss_seed"]),
            jitter_ns=int(link["jitter_s"] * 1e9),
        )

    def wake(self, now_ns: int) -> None:
        """The process slept until a frame came: that frame cannot have come before."""
        self._looked_ns = now_ns

    def step(self, now_ns: int) -> None:
        """Move everything that is due: deliver what has travelled, take in what the cable has room for."""
        take = self._queue if self._queue_ns else self._take
        for direction in self.directions:
            take(direction, now_ns)
            self._deliver(direction, now_ns)
        self._looked_ns = now_ns

    def _take(self, direction: Direction, now_ns: int) -> None:
        """Take frames from the TAP while the cable is free."""
        free_at = direction.free_at_ns
        # A frame may use the link time since it came: one of a backlog came long ago, any other since the last look.
        # When since then is not known: it is taken to have come at once, a quantum early at most.
        reach_ns = CATCH_UP_NS if direction.backlog else min(QUANTUM_NS, now_ns - self._looked_ns)
        if now_ns - free_at > reach_ns:
            if direction.backlog:
                direction.behind_ns += now_ns - free_at - reach_ns
            free_at = now_ns - reach_ns
        direction.backlog = True
        source, per_byte = direction.source, self._ns_per_byte
        while free_at <= now_ns:
            try:
                frame = os.read(source, READ_BYTES)
            except BlockingIOError:
                free_at = now_ns
                direction.backlog = False
                break
            segments, l2_bytes = frame_cost(frame)
            begin, free_at = free_at, free_at + int((l2_bytes + segments * FRAME_OVERHEAD_BYTES) * per_byte)
            self._carry(direction, frame, (segments, l2_bytes), (begin, free_at))
            self.last_frame_ns = now_ns
        direction.free_at_ns = free_at

    def _queue(self, direction: Direction, now_ns: int) -> None:
        """Take every frame from the TAP; drop what finds the queue full."""
        # what the cable could have carried since the last look is not in the queue any more; what came meanwhile
        # came at an unknown moment of it, but is not handed on as if it had come before the last quantum
        elapsed_ns = now_ns - self._looked_ns
        free_at = max(direction.free_at_ns, now_ns - min(elapsed_ns, CATCH_UP_NS))
        skipped_ns = now_ns - CATCH_UP_NS - max(direction.free_at_ns, self._looked_ns)
        earliest = now_ns - min(elapsed_ns, QUANTUM_NS)
        full_at, per_byte = now_ns + self._queue_ns, self._ns_per_byte
        came = False
        while True:
            try:
                frame = os.read(direction.source, READ_BYTES)
            except BlockingIOError:
                break
            came = True
            segments, l2_bytes = frame_cost(frame)
            cost = int((l2_bytes + segments * FRAME_OVERHEAD_BYTES) * per_byte)
            if free_at + cost > full_at:
                each = int((full_segment_bytes(frame) + FRAME_OVERHEAD_BYTES) * per_byte) if segments > 1 else cost
                fitting = max(0, (full_at - free_at) // each) if segments > 1 else 0
                direction.overflow_segments += segments - fitting
                if not fitting:
                    continue
                frame = cut(frame, 0, fitting)
                segments, l2_bytes = frame_cost(frame)
                cost = int((l2_bytes + segments * FRAME_OVERHEAD_BYTES) * per_byte)
            begin, free_at = free_at, free_at + cost
            span = (max(begin, earliest), max(free_at, earliest))
            self._carry(direction, frame, (segments, l2_bytes), span)
        if came:
            self.last_frame_ns = now_ns
            direction.behind_ns += max(0, skipped_ns)
        direction.free_at_ns = free_at

    def _carry(self, direction: Direction, frame: bytes, weight: tuple[int, int], span_ns: tuple[int, int]) -> None:
        """Put a frame on the cable for its span, without the segments that are lost there."""
        (segments, l2_bytes), (begin, end) = weight, span_ns
        direction.frames += 1
        direction.segments += segments
        direction.l2_bytes += l2_bytes
        lost = direction.loss.among(segments)
        if not lost:
            self._send(direction, end, frame)
            return
        direction.lost_segments += len(lost)
        first = 0
        for after in [*lost, segments]:
            if after > first:
                arrives = begin + (end - begin) * after // segments
                self._send(direction, arrives, cut(frame, first, after))
            first = after + 1

    def _send(self, direction: Direction, left_ns: int, frame: bytes) -> None:
        """Let a frame arrive that has left the cable's beginning; none overtakes another."""
        due_ns = left_ns + self._delay_ns
        if self._jitter_ns:
            due_ns += int(self._random.random() * self._jitter_ns)
            if direction.in_flight:
                due_ns = max(due_ns, direction.in_flight[-1][0])
        direction.in_flight.append((due_ns, frame))

    def _deliver(self, direction: Direction, now_ns: int) -> None:
        queue, target, write = direction.in_flight, direction.target, os.write
        # Late by up to a quantum against the schedule, which may be a quantum early itself (see _take): a round trip
        # of 20 ms reads 19.9 to 20.1 ms.
        while queue and queue[0][0] <= now_ns:
            due_ns, frame = queue.popleft()
            late_ns = now_ns - due_ns
            self.late_histogram[min(20, (late_ns // 1000).bit_length())] += 1
            self.late_max_ns = max(self.late_max_ns, late_ns)
            try:
                write(target, frame)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.ENOBUFS, errno.EIO):
                    raise
                direction.dropped += 1

    def active(self, now_ns: int) -> bool:
        """Whether frames are on the cable, wait for it, or came a moment ago."""
        busy = any(direction.in_flight or direction.backlog for direction in self.directions)
        return busy or now_ns - self.last_frame_ns < IDLE_NS
