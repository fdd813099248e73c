"""The emulated cable, driven by hand: sockets instead of TAP devices, made-up clock values."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from offloadbench.bed.cable import CATCH_UP_NS, IDLE_NS, QUANTUM_NS, EmulatedCable
from tests.unit.frames import plain_frame, super_packet

START_NS = 1_000_000_000_000
RATE_BITS_PER_S = 10_000_000
FRAME_BYTES = 1514
# IEEE 802.3: 4 of FCS, 8 of preamble, 12 of gap on the cable besides the frame
COST_NS = (FRAME_BYTES + 4 + 8 + 12) * 8 * 10**9 // RATE_BITS_PER_S


class Bench:
    """A cable between two made-up machines; `far` of each side is what the machine holds."""

    def __init__(self, stack: contextlib.ExitStack, delay_ns: int = 0, **options: Any) -> None:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
        for end in (end for pair in pairs for end in pair):
            stack.enter_context(end)
            end.setblocking(False)
        (near_first, self.first), (near_second, self.second) = pairs
        self.cable = EmulatedCable(near_first.fileno(), near_second.fileno(), RATE_BITS_PER_S, delay_ns, **options)
        self.cable.wake(START_NS)
        self.cable.step(START_NS)

    def send(self, count: int, length: int = FRAME_BYTES) -> None:
        for number in range(count):
            self.first.send(plain_frame(length, number))

    def arrived(self) -> list[int]:
        """Numbers of the frames that reached the second machine since the last look."""
        numbers = []
        with contextlib.suppress(BlockingIOError):
            while True:
                numbers.append(int(struct.unpack_from("<I", self.second.recv(1 << 17), 10)[0]))
        return numbers

    def run(self, from_ns: int, to_ns: int) -> list[tuple[int, int]]:
        """Step every quantum; (moment, number) of every arrival."""
        log = []
        for now_ns in range(from_ns, to_ns + 1, QUANTUM_NS):
            self.cable.step(now_ns)
            log += [(now_ns, number) for number in self.arrived()]
        return log


@pytest.fixture
def bench() -> Iterator[Bench]:
    with contextlib.ExitStack() as stack:
        yield Bench(stack, delay_ns=0)


def test_frames_arrive_in_order_and_at_the_rate_of_the_cable(bench: Bench) -> None:
    bench.send(20)
    begin_ns = START_NS + QUANTUM_NS
    log = bench.run(begin_ns, begin_ns + 21 * COST_NS)
    assert [number for _, number in log] == list(range(20))
    for moment, number in log:
        assert moment - begin_ns == pytest.approx((number + 1) * COST_NS, abs=2 * QUANTUM_NS)


def test_jitter_delays_each_frame_by_up_to_so_much_and_keeps_their_order() -> None:
    delay_ns, jitter_ns = 20_000_000, 8_000_000
    with contextlib.ExitStack() as stack:
        bench = Bench(stack, delay_ns=delay_ns, jitter_ns=jitter_ns)
        later_ns = []
        for turn in range(60):
            begin_ns = START_NS + QUANTUM_NS + turn * 40_000_000
            bench.send(1)
            ((moment, _),) = bench.run(begin_ns, begin_ns + delay_ns + jitter_ns + 2 * COST_NS)
            later_ns.append(moment - begin_ns - delay_ns - COST_NS)
        assert -2 * QUANTUM_NS <= min(later_ns) < jitter_ns / 4
        assert jitter_ns * 3 / 4 < max(later_ns) <= jitter_ns + 2 * QUANTUM_NS
        assert sum(later_ns) / len(later_ns) == pytest.approx(jitter_ns / 2, rel=0.3)
        bench.send(40)
        begin_ns = START_NS + 3_000_000_000
        log = bench.run(begin_ns, begin_ns + 42 * COST_NS + delay_ns + jitter_ns)
        assert [number for _, number in log] == list(range(40))


def test_a_super_packet_arrives_when_its_last_segment_would(bench: Bench) -> None:
    packet = super_packet(10 * 1448, 1448)
    bench.first.send(packet)
    moments = []
    for now_ns in range(START_NS + QUANTUM_NS, START_NS + 14 * COST_NS, QUANTUM_NS):
        bench.cable.step(now_ns)
        if bench.arrived():
            moments.append(now_ns)
    assert [moment - START_NS for moment in moments] == [pytest.approx(10 * COST_NS, abs=3 * QUANTUM_NS)]


def test_the_delay_is_added_to_the_time_on_the_cable() -> None:
    delay_ns = 30_000_000
    with contextlib.ExitStack() as stack:
        bench = Bench(stack, delay_ns)
        bench.send(3)
        log = bench.run(START_NS + QUANTUM_NS, START_NS + delay_ns + 5 * COST_NS)
    wanted = [delay_ns + (number + 1) * COST_NS for number in range(3)]
    assert [moment - START_NS for moment, _ in log] == [pytest.approx(value, abs=3 * QUANTUM_NS) for value in wanted]


def test_both_directions_have_the_whole_rate_and_count_for_themselves(bench: Bench) -> None:
    bench.send(5)
    for number in range(3):
        bench.second.send(plain_frame(66, number))
    log = bench.run(START_NS + QUANTUM_NS, START_NS + 7 * COST_NS)
    assert len(log) == 5
    forth, back = (direction.totals() for direction in bench.cable.directions)
    nothing = {"dropped": 0, "lost_segments": 0, "overflow_segments": 0}
    assert vars(forth) == {"frames": 5, "segments": 5, "l2_bytes": 5 * FRAME_BYTES} | nothing
    assert vars(back) == {"frames": 3, "segments": 3, "l2_bytes": 3 * 66} | nothing


def test_frames_wait_in_the_tap_until_the_cable_is_free(bench: Bench) -> None:
    bench.send(20)
    bench.cable.step(START_NS + QUANTUM_NS)
    assert len(bench.cable.directions[0].in_flight) <= 2


def test_a_short_hold_up_is_caught_up(bench: Bench) -> None:
    bench.send(20)
    held_ns = CATCH_UP_NS - 2 * QUANTUM_NS
    bench.run(START_NS + QUANTUM_NS, START_NS + 2 * QUANTUM_NS)
    log = bench.run(START_NS + held_ns, START_NS + 22 * COST_NS)
    assert log[-1][0] - START_NS == pytest.approx(20 * COST_NS, abs=3 * QUANTUM_NS)
    assert bench.cable.directions[0].behind_ns == 0


def test_what_exceeds_the_catch_up_limit_is_counted_as_behind(bench: Bench) -> None:
    bench.send(60)
    bench.run(START_NS + QUANTUM_NS, START_NS + 2 * QUANTUM_NS)
    direction = bench.cable.directions[0]
    free_at_ns, taken = direction.free_at_ns, direction.frames
    resumed_ns = START_NS + 40_000_000
    bench.cable.step(resumed_ns)
    assert direction.behind_ns == resumed_ns - free_at_ns - CATCH_UP_NS
    assert direction.frames - taken <= CATCH_UP_NS // COST_NS + 2
    assert bench.cable.late_max_ns > 0


def test_an_idle_cable_gives_no_credit_for_the_time_in_which_nothing_came(bench: Bench) -> None:
    bench.run(START_NS, START_NS + 2 * QUANTUM_NS)
    woken_ns = START_NS + 50 * IDLE_NS
    bench.send(20)
    bench.cable.step(woken_ns)
    # one frame and what fits into one look at the cable, not twenty
    assert len(bench.arrived()) + len(bench.cable.directions[0].in_flight) <= 2


def test_a_frame_that_woke_the_process_did_not_come_before(bench: Bench) -> None:
    woken_ns = START_NS + 50 * IDLE_NS
    bench.send(1)
    bench.cable.wake(woken_ns)
    log = bench.run(woken_ns, woken_ns + 2 * COST_NS)
    assert [moment - woken_ns >= COST_NS for moment, _ in log] == [True]


def test_the_first_frame_after_an_idle_time_is_not_late(bench: Bench) -> None:
    bench.run(START_NS, START_NS + 2 * QUANTUM_NS)
    woken_ns = START_NS + 50 * IDLE_NS
    bench.send(1)
    bench.run(woken_ns, woken_ns + 2 * COST_NS)
    assert bench.cable.late_max_ns <= QUANTUM_NS


def test_a_receiver_without_room_drops_and_is_counted(bench: Bench) -> None:
    offered = 2000
    for number in range(offered):
        bench.cable.directions[0].in_flight.append((START_NS, plain_frame(FRAME_BYTES, number)))
    bench.cable.step(START_NS)
    arrived = bench.arrived()
    # nobody read meanwhile, so the queue towards the second machine was full at some point
    assert arrived == list(range(len(arrived)))
    assert 0 < bench.cable.directions[0].dropped == offered - len(arrived)


def test_the_cable_is_active_while_frames_travel_and_a_moment_longer(bench: Bench) -> None:
    assert not bench.cable.active(START_NS + IDLE_NS)
    bench.send(1)
    sent_ns = START_NS + QUANTUM_NS
    bench.cable.step(sent_ns)
    assert bench.cable.active(sent_ns + 10 * IDLE_NS)
    bench.run(sent_ns, sent_ns + 3 * COST_NS)
    assert bench.cable.active(sent_ns + IDLE_NS // 2)
    assert not bench.cable.active(sent_ns + IDLE_NS + 4 * COST_NS)
