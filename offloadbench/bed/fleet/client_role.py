"""A role played by many workers at a time: orders go to all, and their answers come back as one.

The order's `clients` are divided among the workers, and counts in answers are added.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from offloadbench.base.errors import TrafficError
from offloadbench.roles.codec import (
    MessageError,
    decode,
    encode,
)
from offloadbench.roles.ends import Role
from offloadbench.roles.messages import (
    Answer,
    Failed,
    FtpClientsCounted,
    OpenFtpClients,
    Order,
)

# how long one look at a worker may take; between two looks it may turn out to be lost
_LOOK_S = 2.0
_ANSWER_S = 10.0
# everything else that is a number is a count
_CLOCK = "t_ns"
A = TypeVar("A", bound=Answer)


@dataclass(slots=True)
class RoleShare:
    """One worker's share of a role.

    Attributes:
        worker: its address at the scheduler.
        actor: a Dask actor of `offloadbench.bed.fleet.shard.Shard`.
        last, told_s: its last counts, and when they came (our monotonic clock).
    """

    worker: str
    actor: Any
    clients: int = 0
    last: FtpClientsCounted | None = None
    told_s: float = 0.0
    lost: str = ""


def divide(total: int, parts: int) -> list[int]:
    """`total` in whole parts that differ by one at most, the larger ones first."""
    return [total // parts + (number < total % parts) for number in range(parts)]


def add_up(answers: Sequence[A]) -> A:
    """Many answers as one: counts added, clocks averaged, so that differences of it are the mean interval."""
    whole: dict[str, int | float] = {}
    for one in fields(answers[0]):  # type: ignore[arg-type]
        values = [getattr(answer, one.name) for answer in answers]
        if isinstance(values[0], int | float) and not isinstance(values[0], bool):
            whole[one.name] = sum(values) // len(values) if one.name == _CLOCK else sum(values)
    return replace(answers[0], **whole)  # type: ignore[type-var]


class FleetRole(Role):
    """Shares of one role.

    Args:
        is_there: whether a worker is still known to the scheduler.
        shrink: go on without a worker that is lost; else that ends the role.
    """

    def __init__(
        self,
        title: str,
        shares: list[RoleShare],
        is_there: Callable[[str], bool],
        *,
        shrink: bool,
        where: str = "the fleet",
    ) -> None:
        super().__init__(title, where)
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
            raise TrafficError(f"{self}: {share.lost}", "--on-lost-worker shrink goes on with the others")

    def check(self) -> None:
        """Notice workers that are gone.

        Raises:
            TrafficError: one is, and that ends the trial.
        """
        for share in self._living():
            if not self._is_there(share.worker):
                self._lose(share, "the scheduler does not know it any more")

    def _write(self, line: bytes) -> None:
        order = decode(line.rstrip(b"\n"), Order)
        living = self._living()
        parts = divide(order.clients, len(living)) if isinstance(order, OpenFtpClients) else []
        # all at once: the calls are on their way together before the first is waited for
        calls = []
        for number, share in enumerate(living):
            if isinstance(order, OpenFtpClients):
                share.clients = parts[number]
                order = replace(order, clients=parts[number])
            calls.append((share, _call(share, "write", encode(order).decode() + "\n")))
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
        said: list[Answer] = []
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
                    answer = self._decoded_share(share, text)
                    if isinstance(answer, Failed):
                        return encode(replace(answer, message=f"{share.worker}: {answer.message}"))
                    said.append(answer)
                    share.told_s = time.monotonic()
                    share.last = answer if isinstance(answer, FtpClientsCounted) else share.last
        if not said:
            self._words = "no worker is left"
            return b""
        return encode(self._whole(said))

    def _decoded_share(self, share: RoleShare, text: str) -> Answer:
        try:
            return decode(text.encode(), Answer)
        except MessageError as error:
            raise TrafficError(f"{self}: {share.worker}: {error}", error.hint) from error

    def _whole(self, said: list[Answer]) -> Answer:
        """The answers as one. A worker that was lost stands where it last was, so that differences leave it out."""
        if isinstance(said[0], FtpClientsCounted):
            now_s = time.monotonic()
            for share in self._shares:
                if share.lost and share.last:
                    gone_ns = int((now_s - share.told_s) * 1e9)
                    said.append(replace(share.last, t_ns=share.last.t_ns + gone_ns))
        whole = add_up(said)
        return replace(whole, lost=tuple(self.lost)) if isinstance(whole, FtpClientsCounted) else whole

    def _trouble(self, wait_s: float = 0.0) -> str:
        try:
            self.check()
        except TrafficError as error:
            return error.message
        return super()._trouble(wait_s)

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
