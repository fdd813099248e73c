"""Loss on the emulated cable and the queue in front of it, on a clock that the test moves."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.bed.cable import CATCH_UP_NS, QUANTUM_NS, Loss
from offloadbench.bed.wire_frames import frame_cost
from tests.unit.frames import plain_frame, super_packet
from tests.unit.test_wire import COST_NS, FRAME_BYTES, START_NS, Bench

ON_CABLE_BYTES = FRAME_BYTES + 24
MakeBench = Callable[..., Bench]


@pytest.fixture
def make() -> Iterator[MakeBench]:
    with contextlib.ExitStack() as stack:

        def bench(**options: Any) -> Bench:
            return Bench(stack, **options)

        yield bench


def _lost(loss: Loss, chunks: list[int]) -> list[int]:
    found, base = [], 0
    for chunk in chunks:
        found += [base + index for index in loss.among(chunk)]
        base += chunk
    return found


@pytest.mark.parametrize("ratio", [0.001, 0.01, 0.1, 0.5])
def test_the_share_of_lost_segments_is_the_one_asked_for(ratio: float) -> None:
    count = 200_000
    lost = len(_lost(Loss(ratio, 3), [count]))
    # five standard deviations of a binomial count
    assert lost == pytest.approx(count * ratio, abs=5 * (count * ratio * (1 - ratio)) ** 0.5)


@given(st.lists(st.integers(1, 44), min_size=1, max_size=60), st.integers(0, 2**31))
def test_which_segments_are_lost_does_not_depend_on_how_they_are_packed(chunks: list[int], seed: int) -> None:
    assert _lost(Loss(0.05, seed), chunks) == _lost(Loss(0.05, seed), [1] * sum(chunks))


def test_losses_follow_no_rhythm() -> None:
    lost = _lost(Loss(0.1, 5), [100_000])
    adjacent = sum(second - first == 1 for first, second in itertools.pairwise(lost))
    # independent: one in ten follows directly upon another
    assert adjacent / len(lost) == pytest.approx(0.1, abs=0.02)


def test_without_loss_nothing_is_lost() -> None:
    assert _lost(Loss(0.0, 1), [10**9]) == []


def test_lost_frames_take_their_time_and_are_counted(make: MakeBench) -> None:
    bench = make(loss_ratio=0.5, loss_seed=1)
    bench.send(40)
    log = bench.run(START_NS + QUANTUM_NS, START_NS + 42 * COST_NS)
    direction = bench.cable.directions[0]
    assert direction.frames == 40
    assert direction.lost_segments == 40 - len(log)
    assert 8 <= direction.lost_segments <= 32
    for moment, number in log:
        assert moment - START_NS == pytest.approx((number + 1) * COST_NS, abs=3 * QUANTUM_NS)


def test_both_directions_lose_by_themselves(make: MakeBench) -> None:
    bench = make(loss_ratio=0.5, loss_seed=1)
    bench.send(40)
    for number in range(40):
        bench.second.send(plain_frame(FRAME_BYTES, number))
    forth = [number for _, number in bench.run(START_NS + QUANTUM_NS, START_NS + 42 * COST_NS)]
    back = []
    with contextlib.suppress(BlockingIOError):
        while True:
            back.append(int.from_bytes(bench.first.recv(4096)[10:14], "little"))
    assert len(back) == 40 - bench.cable.directions[1].lost_segments
    assert forth != back


def test_a_super_packet_loses_segments_not_itself(make: MakeBench) -> None:
    bench = make(loss_ratio=0.2, loss_seed=4)
    bench.first.send(super_packet(40 * 1448, 1448))
    pieces: list[bytes] = []
    moments: list[int] = []
    for now_ns in range(START_NS + QUANTUM_NS, START_NS + 45 * COST_NS, QUANTUM_NS):
        bench.cable.step(now_ns)
        with contextlib.suppress(BlockingIOError):
            while True:
                pieces.append(bench.second.recv(1 << 17))
                moments.append(now_ns)
    lost = bench.cable.directions[0].lost_segments
    assert 1 <= lost <= 20
    assert sum(frame_cost(piece)[0] for piece in pieces) == 40 - lost
    assert len(pieces) > 1
    # a piece arrives when its own last segment would, not with the end of the super-packet
    for moment, piece in zip(moments, pieces, strict=True):
        sequence = int.from_bytes(piece[48:52], "big")
        after = (sequence - 7) // 1448 + frame_cost(piece)[0]
        assert moment - START_NS == pytest.approx(after * COST_NS, abs=3 * QUANTUM_NS)


def test_what_the_queue_cannot_hold_is_dropped_at_its_tail(make: MakeBench) -> None:
    bench = make(queue_bytes=5 * ON_CABLE_BYTES)
    bench.send(20)
    log = bench.run(START_NS + QUANTUM_NS, START_NS + 22 * COST_NS)
    assert [number for _, number in log] == [0, 1, 2, 3, 4]
    direction = bench.cable.directions[0]
    assert direction.overflow_segments == 15
    # what was refused took no time on the cable
    assert direction.l2_bytes == 5 * FRAME_BYTES
    assert log[-1][0] - START_NS == pytest.approx(5 * COST_NS, abs=3 * QUANTUM_NS)


def test_frames_no_faster_than_the_cable_never_find_the_queue_full(make: MakeBench) -> None:
    bench = make(queue_bytes=2 * ON_CABLE_BYTES)
    arrived = []
    for number in range(50):
        bench.first.send(plain_frame(FRAME_BYTES, number))
        began_ns = START_NS + QUANTUM_NS + number * COST_NS
        arrived += bench.run(began_ns, began_ns + COST_NS - QUANTUM_NS)
    assert bench.cable.directions[0].overflow_segments == 0
    assert len(arrived) >= 49


def test_a_super_packet_keeps_what_fits(make: MakeBench) -> None:
    bench = make(queue_bytes=6 * ON_CABLE_BYTES)
    bench.first.send(super_packet(10 * 1448, 1448))
    bench.run(START_NS + QUANTUM_NS, START_NS + QUANTUM_NS)
    direction = bench.cable.directions[0]
    assert (direction.segments, direction.overflow_segments) == (6, 4)


def test_a_hold_up_of_the_process_fills_no_queue(make: MakeBench) -> None:
    bench = make(queue_bytes=4 * ON_CABLE_BYTES)
    bench.send(1)
    bench.run(START_NS + QUANTUM_NS, START_NS + 2 * QUANTUM_NS)
    # 12 frames in 15 ms, no faster than the cable; the process saw none of it
    bench.send(12)
    resumed_ns = START_NS + 15_000_000
    bench.cable.step(resumed_ns)
    assert bench.cable.directions[0].overflow_segments == 0
    assert bench.cable.directions[0].behind_ns == 0


def test_with_a_queue_link_time_lost_to_a_long_hold_up_is_told(make: MakeBench) -> None:
    bench = make(queue_bytes=100 * ON_CABLE_BYTES)
    bench.run(START_NS, START_NS + 2 * QUANTUM_NS)
    looked_ns = START_NS + 2 * QUANTUM_NS
    bench.send(1)
    resumed_ns = looked_ns + CATCH_UP_NS + 7_000_000
    bench.cable.step(resumed_ns)
    assert bench.cable.directions[0].behind_ns == 7_000_000


def test_with_a_queue_frames_keep_their_order_and_their_delay(make: MakeBench) -> None:
    delay_ns = 30_000_000
    bench = make(delay_ns=delay_ns, queue_bytes=100 * ON_CABLE_BYTES)
    bench.send(10)
    log = bench.run(START_NS + QUANTUM_NS, START_NS + delay_ns + 12 * COST_NS)
    assert [number for _, number in log] == list(range(10))
    for moment, number in log:
        assert moment - START_NS == pytest.approx(delay_ns + (number + 1) * COST_NS, abs=3 * QUANTUM_NS)
