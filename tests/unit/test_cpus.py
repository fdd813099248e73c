"""Who runs on which CPU."""

from __future__ import annotations

import pytest

from offloadbench.bed.cpus import place


@pytest.mark.parametrize("count", [2, 3, 4, 8])
@pytest.mark.parametrize("with_wire", [True, False])
def test_from_two_cpus_on_the_server_shares_with_nobody(count: int, with_wire: bool) -> None:
    placement = place(frozenset(range(count)), with_wire=with_wire)
    assert len(placement.dut) == 1
    assert not placement.dut & (placement.wire | placement.peer | placement.tool)


@pytest.mark.parametrize(("count", "with_wire"), [(3, False), (4, True), (4, False), (8, True), (8, False)])
def test_with_enough_cpus_all_parts_are_disjoint_and_use_every_cpu(count: int, with_wire: bool) -> None:
    placement = place(frozenset(range(count)), with_wire=with_wire)
    parts = [placement.dut, placement.wire, placement.peer, placement.tool]
    assert sum(map(len, parts)) == len(frozenset().union(*parts)) == count
    assert placement.shared == []
    assert all((placement.dut, placement.peer, placement.tool))
    assert bool(placement.wire) is with_wire


def test_three_cpus_keep_the_wire_alone_and_say_who_shares() -> None:
    placement = place(frozenset({0, 1, 2}))
    assert not placement.wire & (placement.dut | placement.peer | placement.tool)
    assert placement.peer == placement.tool
    assert placement.shared == ["clients and tool share CPU 2"]


@pytest.mark.parametrize(("with_wire", "mentioned"), [(True, True), (False, False)])
def test_two_cpus_say_who_shares_the_second(with_wire: bool, mentioned: bool) -> None:
    placement = place(frozenset({4, 6}), with_wire=with_wire)
    assert [sorted(part) for part in (placement.dut, placement.peer, placement.tool)] == [[4], [6], [6]]
    (sentence,) = placement.shared
    assert "share CPU 6" in sentence
    assert "CPU 4 alone" in sentence
    assert ("wire" in sentence) is mentioned


def test_one_cpu_says_that_the_clients_work_is_charged_to_the_server() -> None:
    placement = place(frozenset({0}))
    assert placement.dut == placement.wire == placement.peer == placement.tool == {0}
    assert "charged to the server" in placement.shared[0]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_without_a_wire_no_cpu_is_recorded_for_one(count: int) -> None:
    placement = place(frozenset(range(count)), with_wire=False)
    assert placement.wire == frozenset()
    assert not any("wire" in sentence for sentence in placement.shared)


def test_the_cpus_that_this_process_may_use_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {3, 5, 7, 9})
    placement = place()
    assert placement.dut | placement.wire | placement.peer | placement.tool == {3, 5, 7, 9}
