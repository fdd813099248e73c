"""The role's side of its talk with the engine: one loop that reads orders, checks them, carries them out and answers.

Orders come on standard input, answers go to standard output (see messages.py). Standard library of Python 3.7.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from offloadbench.roles.codec import (
    LineSplitter,
    MessageError,
    decode,
    encode,
)
from offloadbench.roles.messages import (
    Answer,
    Failed,
    Order,
)

# who has been started is told at once what to do
FIRST_S = 120.0
# a line that has begun is written by one call
HALF_LINE_S = 30.0
_READ_BYTES = 1 << 16
_POLL_S = 1.0
_SHOWN_MAX = 2000

Given = TypeVar("Given", bound=Order)


class RefusedOrder(Exception):
    """This host does not take a parameter of an order.

    Args:
        parameter: the field's name.
        value: what was asked for; never a password.
        why: what this host says to it.
    """

    def __init__(self, parameter: str, value: object, why: str, hint: str = "") -> None:
        super().__init__(parameter, value, why)
        self.message = f"{parameter} = {value!r}: {why}"
        self.hint = hint or "give a value that this host takes"
        self.parameter = parameter


@contextlib.contextmanager
def refusing(parameter: str, value: object, hint: str = "") -> Iterator[None]:
    """What the system says within is a refusal of this parameter."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise RefusedOrder(parameter, value, f"{error.filename}: {why}" if error.filename else why, hint) from error
    except MemoryError as error:
        raise RefusedOrder(parameter, value, "not enough memory", hint) from error


def failure(error: BaseException, hint: str = "") -> Failed:
    """What was met, in one line; `hint` is what to do where the error does not say."""
    text = str(getattr(error, "message", "") or getattr(error, "strerror", "") or error or type(error).__name__)
    parameter = str(getattr(error, "parameter", ""))
    return Failed(" ".join(text.split())[:_SHOWN_MAX], str(getattr(error, "hint", "")) or hint, parameter)


class Desk:
    """Where a role takes orders and gives answers.

    Args:
        errors: what of the role's own may be met while an order is carried out; with `message` and `hint`, or any text.

    Attributes:
        over: nobody gives orders any more, or the role is through.
        every_s: the longest wait while it serves; the role may change it.
    """

    def __init__(self, *errors: type[BaseException], reading: int = 0, writing: int = 1) -> None:
        self.reading = reading
        self.over = False
        self.every_s = _POLL_S
        self._writing = writing
        self._errors: tuple[type[BaseException], ...] = (MessageError, RefusedOrder, OSError, MemoryError, *errors)
        self._splitter = LineSplitter()
        self._lines: deque[bytes] = deque()
        self._begun_s: float | None = None
        self._handlers: dict[type[Order], Callable[[Any], Answer | None]] = {}

    def on(self, kind: type[Given], follow: Callable[[Given], Answer | None]) -> None:
        """Carry out orders of this class so; what is returned is the answer, None where it comes later."""
        self._handlers[kind] = follow

    def answer(self, message: Answer) -> None:
        """Tell the engine; where it is gone, the next look for an order says so."""
        data = encode(message) + b"\n"
        with contextlib.suppress(BrokenPipeError):
            while data:
                data = data[os.write(self._writing, data) :]

    def fail(self, error: BaseException, hint: str = "") -> None:
        """Tell the engine what was met; `hint` is what to do where the error does not say."""
        self.answer(failure(error, hint))

    @contextlib.contextmanager
    def reporting(self, hint: str = "") -> Iterator[None]:
        """What the role meets within is told to the engine, and ends the role."""
        try:
            yield
        except self._errors as error:
            self.over = True
            self.fail(error, hint)

    # ------------------------------------------------------------ reading

    def first(self, kind: type[Given], timeout_s: float = FIRST_S) -> Given:
        """The order that a role begins with.

        Raises:
            MessageError: another one, or none within this time.
            SystemExit: the engine is gone.
        """
        until_s = time.monotonic() + timeout_s
        while not self._lines:
            left_s = until_s - time.monotonic()
            if left_s <= 0 or not select.select([self.reading], [], [], left_s)[0]:
                raise MessageError(f"no order came within {timeout_s:.0f} s")
            if not self._read():
                raise SystemExit(0)
        return decode(self._lines.popleft(), kind)

    def take(self) -> None:
        """Carry out the orders that have come, waiting for the first; `over` when the engine is gone."""
        if self._lines or self._read():
            self._follow_all()
        else:
            self.over = True

    def poll(self, wait_s: float = 0.0) -> None:
        """Carry out the orders that have come, if any within this time."""
        if self._lines or select.select([self.reading], [], [], wait_s)[0]:
            self.take()
        self._check_half_line()

    def serve(
        self,
        selector: selectors.BaseSelector | None = None,
        look: Callable[[], None] = lambda: None,
        every_s: float = _POLL_S,
    ) -> None:
        """Carry out orders until the engine is gone, or the role is through.

        Args:
            selector: what else the role waits for; each key's data is called.
            look: called after every wait, which is no longer than `every_s`, as this role has it then.
        """
        self.every_s = every_s
        chosen = selector or selectors.DefaultSelector()
        chosen.register(self.reading, selectors.EVENT_READ, self.take)
        try:
            self._follow_all()
            while not self.over:
                for key, _ in chosen.select(self.every_s):
                    key.data()
                look()
                self._check_half_line()
        finally:
            chosen.unregister(self.reading)

    def _read(self) -> bool:
        """Whether the engine is there."""
        data = os.read(self.reading, _READ_BYTES)
        self._lines.extend(self._splitter.feed(data))
        self._begun_s = time.monotonic() if self._splitter.begun else None
        return bool(data)

    def _check_half_line(self) -> None:
        if self._begun_s is not None and time.monotonic() - self._begun_s > HALF_LINE_S:
            self._begun_s, self.over = None, True
            self.fail(MessageError(f"an order began, and did not end within {HALF_LINE_S:.0f} s"))

    def _follow_all(self) -> None:
        while self._lines and not self.over:
            self._follow(self._lines.popleft())

    def _follow(self, line: bytes) -> None:
        try:
            order = decode(line, *self._handlers)
            answer = self._handlers[type(order)](order)
        except self._errors as error:
            self.fail(error)
        else:
            if answer is not None:
                self.answer(answer)
