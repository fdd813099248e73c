"""A cable with a rate and a delay between two TAP devices, as a process of its own.

The device under test's "NIC hardware" is here, outside its CPU: super-packets pass whole (IFF_VNET_HDR), and
are charged as the segments that a NIC would cut them into, each with its headers, FCS, preamble and gap. A
super-packet arrives when its last segment would. Frames stay in the TAP's ring until the cable is free for them.

The process never waits in poll while traffic flows: a waiting reader would make every transmission of the
device under test send a wake-up interrupt, which no NIC asks of its host. It looks every QUANTUM_NS instead.

Run as a role (see offloadbench.ends); standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import select
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass, field

QUANTUM_NS = 100_000
# with no frame for this long the process waits in poll, and an idle link costs nothing
IDLE_NS = 20_000_000
# The cable may be caught up by this much after the process was held up (a hypervisor takes a CPU away for 10 ms at
# a time): well below the 33 ms that 4 MB wait at 1 Gbit/s. What exceeds it is lost link time.
CATCH_UP_NS = 20_000_000
# FCS 4, preamble and start delimiter 8, inter-frame gap 12 (IEEE 802.3)
FRAME_OVERHEAD_BYTES = 24
# shortest frame without FCS
MIN_FRAME_BYTES = 60
VNET_HEADER_BYTES = 10
READ_BYTES = 65536 + 18 + VNET_HEADER_BYTES
TIMER_PRIORITY = 10

_TUNSETIFF = 0x400454CA
_TUNSETOFFLOAD = 0x400454D0
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
# TUN_F_CSUM, TSO4, TSO6, TSO_ECN (include/uapi/linux/if_tun.h)
_OFFLOADS = 0x01 | 0x02 | 0x04 | 0x08
_CLONE_NEWNET = 0x40000000
_PR_SET_TIMERSLACK = 29


def frame_cost(frame: bytes) -> tuple[int, int]:
    """(segments, bytes at layer 2 without FCS) of a frame with its virtio-net header.

    The header length field counts the linear part of the skb, payload included, so the TCP header's own length
    is read (virtio_net_hdr_from_skb in include/linux/virtio_net.h).
    """
    length = len(frame) - VNET_HEADER_BYTES
    if not frame[1]:
        return 1, max(length, MIN_FRAME_BYTES)
    segment_bytes = frame[4] | frame[5] << 8
    transport = frame[6] | frame[7] << 8
    headers = transport + ((frame[VNET_HEADER_BYTES + transport + 12] >> 4) << 2)
    segments = -(-(length - headers) // segment_bytes)
    return segments, length + (segments - 1) * headers


@dataclass(slots=True)
class Direction:
    """One direction of the cable."""

    source: int
    target: int
    free_at_ns: int = 0
    backlog: bool = False
    frames: int = 0
    segments: int = 0
    l2_bytes: int = 0
    dropped: int = 0
    behind_ns: int = 0
    in_flight: deque[tuple[int, bytes]] = field(default_factory=deque)

    def totals(self) -> dict[str, int]:
        return {
            "frames": self.frames,
            "segments": self.segments,
            "l2_bytes": self.l2_bytes,
            "dropped": self.dropped,
        }


class Cable:
    """Both directions, driven by `step`.

    Args:
        rate_bits_per_s: rate of each direction.
        delay_ns: one way.
    """

    def __init__(self, first: int, second: int, rate_bits_per_s: int, delay_ns: int) -> None:
        self.directions = (Direction(first, second), Direction(second, first))
        self._ns_per_byte = 8e9 / rate_bits_per_s
        self._delay_ns = delay_ns
        # frames late by less than 2^n us, n = 0..20
        self.late_histogram = [0] * 21
        self.late_max_ns = 0
        self.last_frame_ns = 0

    def step(self, now_ns: int) -> None:
        """Move everything that is due: deliver what has travelled, take in what the cable has room for."""
        for direction in self.directions:
            self._take(direction, now_ns)
            self._deliver(direction, now_ns)

    def _take(self, direction: Direction, now_ns: int) -> None:
        free_at = direction.free_at_ns
        # a frame may use the link time since it came: one of a backlog came long ago, any other since the last look
        reach_ns = CATCH_UP_NS if direction.backlog else QUANTUM_NS
        if now_ns - free_at > reach_ns:
            if direction.backlog:
                direction.behind_ns += now_ns - free_at - reach_ns
            free_at = now_ns - reach_ns
        direction.backlog = True
        source, per_byte, delay = direction.source, self._ns_per_byte, self._delay_ns
        append = direction.in_flight.append
        while free_at <= now_ns:
            try:
                frame = os.read(source, READ_BYTES)
            except BlockingIOError:
                free_at = now_ns
                direction.backlog = False
                break
            segments, l2_bytes = frame_cost(frame)
            free_at += int((l2_bytes + segments * FRAME_OVERHEAD_BYTES) * per_byte)
            append((free_at + delay, frame))
            direction.frames += 1
            direction.segments += segments
            direction.l2_bytes += l2_bytes
            self.last_frame_ns = now_ns
        direction.free_at_ns = free_at

    def _deliver(self, direction: Direction, now_ns: int) -> None:
        queue, target, write = direction.in_flight, direction.target, os.write
        # never early, late by up to a quantum: the clock's own grain
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


def open_tap(libc: ctypes.CDLL, namespace: str, ifname: str) -> int:
    """A TAP device made inside the namespace; it lives as long as the returned file descriptor."""
    folder = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    if libc.setns(folder, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"setns {namespace}")
    os.close(folder)
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", ifname.encode(), _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR))
    fcntl.ioctl(tap, _TUNSETOFFLOAD, _OFFLOADS)
    return tap


def _percentile_s(histogram: list[int], share: float) -> float:
    total, seen = sum(histogram), 0
    for power, count in enumerate(histogram):
        seen += count
        if seen >= share * total:
            return (1 << power) * 1e-6
    return 0.0


def _answer(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _report(cable: Cable, asleep_ns: int, now_ns: int) -> None:
    first, second = cable.directions
    _answer(
        {
            "event": "mark",
            "t_ns": now_ns,
            "asleep_ns": asleep_ns,
            "behind_ns": first.behind_ns + second.behind_ns,
            "late_max_s": cable.late_max_ns * 1e-9,
            "late_p99_s": _percentile_s(cable.late_histogram, 0.99),
            "to_peer": first.totals(),
            "to_dut": second.totals(),
        }
    )
    cable.late_max_ns = 0
    cable.late_histogram = [0] * 21


def main() -> None:
    order = json.loads(sys.stdin.readline())
    libc = ctypes.CDLL(None, use_errno=True)
    # a timer slack of 1 ns: the default 50 us would be half a quantum
    libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    taps = [open_tap(libc, namespace, ifname) for namespace, ifname in order["taps"]]
    problem = ""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(TIMER_PRIORITY))
    except OSError as error:
        problem = f"the wire runs without real-time priority: {error.strerror}"
    _answer({"event": "ready", "problem": problem})
    cable = Cable(taps[0], taps[1], order["rate_bits_per_s"], order["delay_ns"])
    stdin = sys.stdin.fileno()
    asleep_ns, last_look_ns = 0, 0
    monotonic_ns = time.monotonic_ns
    while True:
        now_ns = monotonic_ns()
        cable.step(now_ns)
        before_ns = monotonic_ns()
        if cable.active(before_ns):
            time.sleep(QUANTUM_NS * 1e-9)
        else:
            select.select([*taps, stdin], [], [])
        after_ns = monotonic_ns()
        asleep_ns += after_ns - before_ns
        if after_ns - last_look_ns > 1_000_000:
            last_look_ns = after_ns
            if select.select([stdin], [], [], 0)[0]:
                if not os.read(stdin, 4096):
                    return
                _report(cable, asleep_ns, monotonic_ns())


if __name__ == "__main__":
    main()
