"""A role played by many workers at a time: orders go to all, and their answers come back as one.

The order's `clients` are divided among the workers, and counts in answers are added.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from offloadbench.base.errors import TrafficError
from offloadbench.roles.ends import Message, Role

# how long one look at a worker may take; between two looks it may turn out to be lost
_LOOK_S = 2.0
_ANSWER_S = 10.0
_CLIENTS = "clients"
# everything else that is a number is a count
_CLOCK = "t_ns"


@dataclass(slots=True)
class RoleShare:
    """One worker's share of a role.

    Attributes:
        worker: its address at the scheduler.
        actor: a Dask actor of `offloadbench.bed.fleet.shard.Shard`.
        last, told_s: its last message with counts, and when it came (our monotonic clock).
    """

    worker: str
    actor: Any
    clients: int = 0
    last: Message = field(default_factory=dict)
    told_s: float = 0.0
    lost: str = ""


def divide(total: int, parts: int) -> list[int]:
    """`total` in whole parts that differ by one at most, the larger ones first."""
    return [total // parts + (number < total % parts) for number in range(parts)]


def add_up(messages: list[Message]) -> Message:
    """Many answers as one: counts added, clocks averaged, so that differences of it are the mean interval."""
    merged = dict(messages[0])
    for key, value in merged.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            total = sum(message.get(key, 0) for message in messages)
            merged[key] = total / len(messages) if key == _CLOCK else total
    return merged


class FleetRole(Role):
    """Shares of one role.

    Args:
        is_there: whether a worker is still known to the scheduler.
        shrink: go on without a worker that is lost; else that ends the role.
    """

    def __init__(self, title: str, shares: list[RoleShare], is_there: Callable[[str], bool], *, shrink: bool) -> None:
        super().__init__(title)
        self._shares = shares
        self._is_there = is_there
        self._shrink = shrink
        self._words = ""
        self._closed = False

    @property
    def lost(self) -> list[str]:
        """What was lost so far, as sentences."""
        return [share.lost for share in self._shares if share.lost]

    def _living(self) -> list[RoleShare]:
        return [share for share in self._shares if not share.lost]

    def _lose(self, share: RoleShare, why: str) -> None:
        share.lost = f"worker {share.worker} was lost with its {share.clients} clients ({why})"
        if not self._shrink or not self._living():
            raise TrafficError(f"{self.title}: {share.lost}", "--on-lost-worker shrink goes on with the others")

    def check(self) -> None:
        """Notice workers that are gone.

        Raises:
            TrafficError: one is, and that ends the trial.
        """
        for share in self._living():
            if not self._is_there(share.worker):
                self._lose(share, "the scheduler does not know it any more")

    def _write(self, line: bytes) -> None:
        order = json.loads(line)
        living = self._living()
        parts = divide(order[_CLIENTS], len(living)) if _CLIENTS in order else []
        # all at once: the calls are on their way together before the first is waited for
        calls = []
        for number, share in enumerate(living):
            if parts:
                share.clients = parts[number]
                order[_CLIENTS] = parts[number]
            calls.append((share, _call(share, "write", json.dumps(order) + "\n")))
        for share, call in calls:
            self._result(share, call)

    def _result(self, share: RoleShare, call: Any) -> Any:
        """What an actor answers; None from one that is lost."""
        try:
            if isinstance(call, Exception):
                raise call
            return call.result(timeout=_ANSWER_S)
        # Dask and its transports raise what they like when a worker goes
        except Exception as error:
            self._lose(share, str(error) or type(error).__name__)
            return None

    def _next_line(self, deadline_s: float) -> bytes | None:
        waiting = self._living()
        said: list[Message] = []
        while waiting:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return None
            self.check()
            calls = [(share, _call(share, "next_line", min(left_s, _LOOK_S))) for share in waiting if not share.lost]
            waiting = []
            for share, call in calls:
                kind, text = self._result(share, call) or ("lost", "")
                if kind == "nothing":
                    waiting.append(share)
                elif kind == "ended":
                    self._words = f"worker {share.worker}: {text}"
                    return b""
                elif kind == "line":
                    message = json.loads(text)
                    if message.get("event") == "error":
                        return json.dumps({**message, "message": f"{share.worker}: {message['message']}"}).encode()
                    said.append(message)
                    share.last, share.told_s = message, time.monotonic()
        return json.dumps(self._whole(said)).encode()

    def _whole(self, said: list[Message]) -> Message:
        """The answers as one. A worker that was lost stands where it last was, so that differences leave it out."""
        if not said:
            return {}
        now_s = time.monotonic()
        for share in self._shares:
            if share.lost and _CLOCK in share.last and _CLOCK in said[0]:
                said.append({**share.last, _CLOCK: share.last[_CLOCK] + (now_s - share.told_s) * 1e9})
        whole = add_up(said)
        return whole | {"lost": self.lost} if self.lost else whole

    def running(self) -> bool:
        return not self._closed and bool(self._living())

    def _last_words(self) -> str:
        return self._words or "some workers have said nothing"

    def close(self, grace_s: float = 5.0) -> None:
        if self._closed:
            return
        self._closed = True
        calls = [_call(share, "close") for share in self._living()]
        for call in calls:
            # a worker that is lost has taken its process with it
            with contextlib.suppress(Exception):
                call.result(timeout=grace_s + _ANSWER_S)


def _call(share: RoleShare, method: str, *arguments: Any) -> Any:
    """A call of an actor on its way, or what the calling itself met."""
    try:
        return getattr(share.actor, method)(*arguments)
    except Exception as error:
        return error
