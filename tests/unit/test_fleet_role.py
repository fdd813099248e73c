"""A role in many shares: orders divided, answers added up, and a worker that is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.base.errors import TrafficError
from offloadbench.bed.fleet.client_role import FleetRole, RoleShare, add_up, divide
from offloadbench.roles.codec import decode, encode
from offloadbench.roles.messages import Answer, CountNow, Failed, FtpClientsCounted, OpenFtpClients, Order

START = OpenFtpClients("192.0.2.1", 7, "u", 8, ("a",), 1, 0, 1, "copy", password="p")


class Call:
    """A call that is on its way."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def result(self, timeout: float) -> Any:
        del timeout
        if isinstance(self._value, Exception):
            raise self._value
        return self._value


class Actor:
    """A worker's share of a role, in memory."""

    def __init__(self, answer: Callable[[Order], Answer]) -> None:
        self._answer = answer
        self._said: list[str] = []
        self.orders: list[Order] = []
        self.failing: Exception | None = None
        self.closed = False

    def write(self, line: str) -> Call:
        self.orders.append(decode(line.rstrip("\n").encode(), Order))
        self._said.append(encode(self._answer(self.orders[-1])).decode())
        return Call(self.failing or True)

    def next_line(self, wait_s: float) -> Call:
        del wait_s
        return Call(self.failing or (("line", self._said.pop(0)) if self._said else ("nothing", "")))

    def close(self) -> Call:
        self.closed = True
        return Call(None)


def _counts(payload_bytes: int, t_ns: int) -> Callable[[Order], Answer]:
    """Counts that grow by their first value with every order."""
    rounds = iter(range(1, 100))

    def answer(order: Order) -> Answer:
        del order
        number = next(rounds)
        return FtpClientsCounted(t_ns + number * 10**9, number * payload_bytes, complete=0, cut=0, cpu_s=0.5)

    return answer


def _role(*actors: Actor, shrink: bool = False, gone: set[str] | None = None) -> FleetRole:
    shares = [RoleShare(f"w{number}", actor) for number, actor in enumerate(actors)]
    lost = gone if gone is not None else set()
    return FleetRole("the clients", shares, lambda worker: worker not in lost, shrink=shrink)


@given(st.integers(1, 1000), st.integers(1, 50))
def test_a_load_is_divided_whole_and_evenly(total: int, parts: int) -> None:
    shares = divide(total, parts)
    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1


def test_counts_are_added_and_clocks_averaged() -> None:
    assert add_up([FtpClientsCounted(10, 1, 2, 3, 0.5), FtpClientsCounted(30, 2, 0, 0, 0.25)]) == FtpClientsCounted(
        20, 3, 2, 3, 0.75
    )


def test_an_order_goes_to_all_with_its_clients_divided() -> None:
    actors = [Actor(_counts(1, 0)) for _ in range(3)]
    reply = _role(*actors).request(START, FtpClientsCounted, 10)
    assert [actor.orders for actor in actors] == [[replace(START, clients=n)] for n in (3, 3, 2)]
    assert reply.payload_bytes == 3


def test_an_error_names_its_worker() -> None:
    bad = Actor(lambda _: Failed("login refused"))
    with pytest.raises(TrafficError, match="w1: login refused"):
        _role(Actor(_counts(1, 0)), bad).request(CountNow(), FtpClientsCounted, 10)


def test_a_silent_worker_is_waited_for_and_then_told() -> None:
    actor = Actor(_counts(1, 0))
    with pytest.raises(TrafficError, match=r"the clients \(the fleet\) gave no 'ftp clients counted'"):
        _role(actor).receive(FtpClientsCounted, 0.05)


@pytest.mark.parametrize("by", ["the scheduler", "its own silence", "the call itself"])
def test_a_lost_worker_ends_the_role(by: str) -> None:
    gone: set[str] = set()
    actors = [Actor(_counts(1, 0)), Actor(_counts(1, 0))]
    role = _role(*actors, gone=gone)
    role.request(START, FtpClientsCounted, 10)
    if by == "the scheduler":
        gone.add("w1")
    elif by == "its own silence":
        actors[1].failing = TimeoutError()
    else:
        actors[1].write = None  # type: ignore[method-assign,assignment]
    with pytest.raises(TrafficError, match="worker w1 was lost with its 4 clients"):
        role.request(CountNow(), FtpClientsCounted, 10)
    role.close()
    assert actors[0].closed
    assert not actors[1].closed


def test_or_the_role_shrinks_and_differences_are_those_of_the_others() -> None:
    gone: set[str] = set()
    actors = [Actor(_counts(100, 0)), Actor(_counts(7, 10**12))]
    role = _role(*actors, shrink=True, gone=gone)
    opened = role.request(START, FtpClientsCounted, 10)
    gone.add("w1")
    role.check()
    closed = role.request(CountNow(), FtpClientsCounted, 10)
    assert closed.payload_bytes - opened.payload_bytes == 100
    assert closed.lost == ("worker w1 was lost with its 4 clients (the scheduler does not know it any more)",)
    # the lost one's clock goes on by ours, so it takes part in the mean and moves it by next to nothing
    assert 0.5e9 <= closed.t_ns - opened.t_ns < 0.6e9


def test_the_last_worker_cannot_be_spared() -> None:
    role = _role(Actor(_counts(1, 0)), shrink=True, gone={"w0"})
    with pytest.raises(TrafficError, match="was lost"):
        role.check()
