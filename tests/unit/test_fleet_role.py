"""A role in many shares: orders divided, answers added up, and a worker that is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.base.errors import TrafficError
from offloadbench.bed.fleet.client_role import FleetRole, RoleShare, add_up, divide


class Answer:
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

    def __init__(self, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._answer = answer
        self._said: list[str] = []
        self.orders: list[dict[str, Any]] = []
        self.failing: Exception | None = None
        self.closed = False

    def write(self, line: str) -> Answer:
        self.orders.append(json.loads(line))
        self._said.append(json.dumps(self._answer(self.orders[-1])))
        return Answer(self.failing or True)

    def next_line(self, wait_s: float) -> Answer:
        del wait_s
        return Answer(self.failing or (("line", self._said.pop(0)) if self._said else ("nothing", "")))

    def close(self) -> Answer:
        self.closed = True
        return Answer(None)


def _counts(payload_bytes: int, t_ns: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Counts that grow by their first value with every order."""
    rounds = iter(range(1, 100))

    def answer(order: dict[str, Any]) -> dict[str, Any]:
        del order
        number = next(rounds)
        return {"event": "mark", "payload_bytes": number * payload_bytes, "t_ns": t_ns + number * 10**9}

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
    assert add_up([{"event": "mark", "n": 1, "t_ns": 10}, {"event": "mark", "n": 2, "t_ns": 30}]) == {
        "event": "mark",
        "n": 3,
        "t_ns": 20,
    }


def test_an_order_goes_to_all_with_its_clients_divided() -> None:
    actors = [Actor(_counts(1, 0)) for _ in range(3)]
    reply = _role(*actors).request({"clients": 8, "port": 7}, "mark", 10)
    assert [actor.orders for actor in actors] == [[{"clients": n, "port": 7}] for n in (3, 3, 2)]
    assert reply["payload_bytes"] == 3


def test_an_error_names_its_worker() -> None:
    bad = Actor(lambda _: {"event": "error", "message": "login refused"})
    with pytest.raises(TrafficError, match="w1: login refused"):
        _role(Actor(_counts(1, 0)), bad).request({}, "mark", 10)


def test_a_silent_worker_is_waited_for_and_then_told() -> None:
    actor = Actor(_counts(1, 0))
    with pytest.raises(TrafficError, match="the clients gave no 'mark'"):
        _role(actor).receive("mark", 0.05)


@pytest.mark.parametrize("by", ["the scheduler", "its own silence", "the call itself"])
def test_a_lost_worker_ends_the_role(by: str) -> None:
    gone: set[str] = set()
    actors = [Actor(_counts(1, 0)), Actor(_counts(1, 0))]
    role = _role(*actors, gone=gone)
    role.request({"clients": 8}, "mark", 10)
    if by == "the scheduler":
        gone.add("w1")
    elif by == "its own silence":
        actors[1].failing = TimeoutError()
    else:
        actors[1].write = None  # type: ignore[method-assign,assignment]
    with pytest.raises(TrafficError, match="worker w1 was lost with its 4 clients"):
        role.request({}, "mark", 10)
    role.close()
    assert actors[0].closed
    assert not actors[1].closed


def test_or_the_role_shrinks_and_differences_are_those_of_the_others() -> None:
    gone: set[str] = set()
    actors = [Actor(_counts(100, 0)), Actor(_counts(7, 10**12))]
    role = _role(*actors, shrink=True, gone=gone)
    opened = role.request({"clients": 8}, "mark", 10)
    gone.add("w1")
    role.check()
    closed = role.request({}, "mark", 10)
    assert closed["payload_bytes"] - opened["payload_bytes"] == 100
    assert closed["lost"] == ["worker w1 was lost with its 4 clients (the scheduler does not know it any more)"]
    # the lost one's clock goes on by ours, so it takes part in the mean and moves it by next to nothing
    assert 0.5e9 <= closed["t_ns"] - opened["t_ns"] < 0.6e9


def test_the_last_worker_cannot_be_spared() -> None:
    role = _role(Actor(_counts(1, 0)), shrink=True, gone={"w0"})
    with pytest.raises(TrafficError, match="was lost"):
        role.check()
