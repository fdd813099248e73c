"""The agent at a load host: starts roles there, passes their lines on, and ends them when the engine is gone.

It is sent over as text and run from memory (`python3 -I -c`), so nothing has to be installed and nothing is left on the
host's disk. Standard library of Python 3.7 only, as all that it imports.

One byte stream joins it to the engine (see offloadbench.roles.messages). Its first line is `Hello`. Orders carry a
number, which the answer bears again; a role's answers come as `RoleSaid`, its end as `RoleGone`. Over TCP every line is
sealed (see seal.py), so that nobody on the link can order anything here.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from offloadbench.bed.remote.child import Child
from offloadbench.bed.remote.host_facts import FACTS, about
from offloadbench.bed.remote.seal import Seal, session_key
from offloadbench.roles.codec import (
    ENVELOPE_BYTES_MAX,
    LineSplitter,
    MessageError,
    digest,
    encode,
    numbered,
)
from offloadbench.roles.messages import (
    Answer,
    Hello,
    LaunchRole,
    Order,
    PassLine,
    RoleGone,
    RoleLaunched,
    RoleSaid,
    ShutRole,
    SignalRole,
)
from offloadbench.roles.orders import failure
from offloadbench.version import __version__

# an engine that is silent for so long is gone, even where nothing told the connection so
SILENCE_S = 60.0
_READ_BYTES = 1 << 16


class Agent:
    """Serves one engine over a pair of descriptors until that side is gone or silent."""

    def __init__(self, reading: int, writing: int, key: bytes) -> None:
        self._reading, self._writing = reading, writing
        self._opening, self._closing = Seal(key, "to agent"), Seal(key, "to engine")
        self._splitter = LineSplitter(ENVELOPE_BYTES_MAX)
        self._children: dict[int, Child] = {}
        self._lines: dict[int, LineSplitter] = {}
        self._ending: set[int] = set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(reading, selectors.EVENT_READ, self._on_order)
        self._heard_at = time.monotonic()
        self._over = False
        self._answers: dict[type[Order], Callable[[Any], Answer]] = {**FACTS, LaunchRole: self._launch}
        # the role answers these, or its end does
        self._passing: dict[type[Order], Callable[[Any, Child], None]] = {
            PassLine: self._pass, ShutRole: self._shut, SignalRole: self._signal,
        }  # fmt: skip

    def say(self, message: Answer, number: int | None = None) -> None:
        line = encode(message, number, ENVELOPE_BYTES_MAX)
        data = self._closing.close(line) + b"\n"
        while data:
            data = data[os.write(self._writing, data) :]

    def run(self) -> None:
        try:
            while not self._over:
                for key, _ in self._selector.select(0.1 if self._ending else 5.0):
                    key.data()
                for number in list(self._ending):
                    self._bury(number)
                if time.monotonic() - self._heard_at > SILENCE_S:
                    break
        finally:
            for child in self._children.values():
                child.end()

    def _on_order(self) -> None:
        data = os.read(self._reading, _READ_BYTES)
        self._heard_at = time.monotonic()
        self._over = not data
        for line in self._splitter.feed(data):
            self._follow(self._opening.open(line))

    def _follow(self, line: bytes) -> None:
        number = None
        try:
            number, order = numbered(line, Order, limit=ENVELOPE_BYTES_MAX)
            passing = self._passing.get(type(order))
            if passing:
                child = self._children.get(order.role)  # type: ignore[attr-defined]
                if child is not None:
                    passing(order, child)
                return
            if type(order) not in self._answers:
                raise MessageError(f"an agent does not {order.doing}")
            self.say(self._answers[type(order)](order), number)
        # whatever a question meets is the engine's to judge; the agent goes on
        except Exception as error:
            number = number if number is not None else getattr(error, "number", None)
            self.say(failure(error), number)

    def _launch(self, order: LaunchRole) -> RoleLaunched:
        number = order.role
        child = Child(order.importer, order.module, order.sources, list(order.cpus), order.marker)
        self._children[number] = child
        self._lines[number] = LineSplitter()
        self._selector.register(child.output, selectors.EVENT_READ, lambda: self._on_line(number))
        self._selector.register(child.errors, selectors.EVENT_READ, lambda: self._on_words(number))
        return RoleLaunched(child.process.pid)

    @staticmethod
    def _pass(order: PassLine, child: Child) -> None:
        # a role that is gone says so by its end
        with contextlib.suppress(OSError):
            child.input.write(order.line.encode() + b"\n")
            child.input.flush()

    @staticmethod
    def _shut(order: ShutRole, child: Child) -> None:
        del order
        child.shut()

    @staticmethod
    def _signal(order: SignalRole, child: Child) -> None:
        child.process.send_signal(order.signal)

    def _on_line(self, number: int) -> None:
        child = self._children[number]
        data = os.read(child.output.fileno(), _READ_BYTES)
        if not data:
            self._selector.unregister(child.output)
            self._ending.add(number)
        for line in self._lines[number].feed(data):
            self.say(RoleSaid(number, line.decode(errors="replace")))

    def _on_words(self, number: int) -> None:
        child = self._children[number]
        data = os.read(child.errors.fileno(), _READ_BYTES)
        child.hear(data)
        if not data:
            self._selector.unregister(child.errors)

    def _bury(self, number: int) -> None:
        """Say that a role whose output has ended is gone, once it is."""
        child = self._children[number]
        status = child.process.poll()
        if status is None:
            return
        self._ending.discard(number)
        # what it wrote last may still lie in the pipe
        if child.errors in self._selector.get_map():
            self._on_words(number)
            with contextlib.suppress(KeyError):
                self._selector.unregister(child.errors)
        del self._children[number], self._lines[number]
        child.end()
        self.say(RoleGone(number, child.last_words(), status))


def serve(reading: int, writing: int) -> None:
    """Serve the engine at the other end of ssh."""
    _serve(reading, writing, b"")


def serve_with_token(connection: socket.socket, stream: BinaryIO, token: str) -> None:
    """Serve the engine at the other end of a TCP connection; each side proves by the token that it is the right one.

    Args:
        stream: the same connection, buffered; it holds no more than the engine's nonce, a line.
    """
    nonce, own = stream.readline().decode().strip(), os.urandom(16).hex()
    connection.sendall(own.encode() + b"\n")
    _serve(connection.fileno(), connection.fileno(), session_key(token, nonce, own))


def _serve(reading: int, writing: int, key: bytes) -> None:
    # who is not root finds tgtd and ethtool there too
    os.environ["PATH"] = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/local/sbin:/usr/sbin:/sbin"
    agent = Agent(reading, writing, key)
    with contextlib.suppress(BrokenPipeError, ConnectionError, ValueError):
        agent.say(Hello(__version__, digest(), about()))
        agent.run()
