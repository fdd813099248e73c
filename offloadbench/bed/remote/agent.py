"""The agent at a load host: starts roles there, passes their lines on, and ends them when the engine is gone.

It is sent over as text and run from memory (`python3 -I -c`), so nothing has to be installed and nothing is left on the
host's disk. Standard library of Python 3.7 only, as all that it imports.

One byte stream joins it to the engine: JSON objects, one a line. Orders carry a number `n`, answered by
`{"n": ..., "value": ...}` or `{"n": ..., "problem": ...}`; a role's lines come as `{"role": ..., "line": ...}`, its end
as `{"role": ..., "ended": ...}`. Over TCP every line is sealed (see seal.py), so that nobody on the link can order
anything here.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import time
from typing import Any, BinaryIO

from offloadbench.bed.remote.child import Child
from offloadbench.bed.remote.host_facts import QUESTIONS, about
from offloadbench.bed.remote.seal import Seal, session_key

# an engine that is silent for so long is gone, even where nothing told the connection so
SILENCE_S = 60.0
_READ_BYTES = 1 << 16


class Agent:
    """Serves one engine over a pair of descriptors until that side is gone or silent."""

    def __init__(self, reading: int, writing: int, key: bytes) -> None:
        self._reading, self._writing = reading, writing
        self._opening, self._closing = Seal(key, "to agent"), Seal(key, "to engine")
        self._pending = b""
        self._children: dict[int, Child] = {}
        self._lines: dict[int, bytes] = {}
        self._ending: set[int] = set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(reading, selectors.EVENT_READ, self._on_order)
        self._heard_at = time.monotonic()
        self._over = False

    def say(self, message: dict[str, Any]) -> None:
        data = self._closing.close(json.dumps(message).encode()) + b"\n"
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
        self._pending += data
        while b"\n" in self._pending:
            line, _, self._pending = self._pending.partition(b"\n")
            self._follow(json.loads(self._opening.open(line).decode()))

    def _follow(self, order: dict[str, Any]) -> None:
        what = order["do"]
        if what in ("input", "shut", "signal"):
            self._tell_role(what, order)
            return
        try:
            if what == "launch":
                value = self._launch(order["role"], order["given"])
            else:
                value = QUESTIONS[what](*order.get("given", ()))
        # whatever a question meets is the engine's to judge; the agent goes on
        except Exception as error:
            self.say({"n": order["n"], "problem": f"{type(error).__name__}: {error}"})
        else:
            self.say({"n": order["n"], "value": value})

    def _launch(self, number: int, given: dict[str, Any]) -> int:
        child = Child(**given)
        self._children[number] = child
        self._lines[number] = b""
        self._selector.register(child.output, selectors.EVENT_READ, lambda: self._on_line(number))
        self._selector.register(child.errors, selectors.EVENT_READ, lambda: self._on_words(number))
        return child.process.pid

    def _tell_role(self, what: str, order: dict[str, Any]) -> None:
        child = self._children.get(order["role"])
        if child is None:
            return
        if what == "input":
            # a role that is gone says so by its end
            with contextlib.suppress(OSError):
                child.input.write(order["line"].encode() + b"\n")
                child.input.flush()
        elif what == "shut":
            child.shut()
        else:
            child.process.send_signal(order["number"])

    def _on_line(self, number: int) -> None:
        child = self._children[number]
        data = os.read(child.output.fileno(), _READ_BYTES)
        if not data:
            self._selector.unregister(child.output)
            self._ending.add(number)
        *whole, self._lines[number] = (self._lines[number] + data).split(b"\n")
        for line in whole:
            self.say({"role": number, "line": line.decode(errors="replace")})

    def _on_words(self, number: int) -> None:
        child = self._children[number]
        data = os.read(child.errors.fileno(), _READ_BYTES)
        child.hear(data)
        if not data:
            self._selector.unregister(child.errors)

    def _bury(self, number: int) -> None:
        """Say that a role whose output has ended is gone, once it is."""
        child = self._children[number]
        if child.process.poll() is None:
            return
        self._ending.discard(number)
        # what it wrote last may still lie in the pipe
        if child.errors in self._selector.get_map():
            self._on_words(number)
            with contextlib.suppress(KeyError):
                self._selector.unregister(child.errors)
        del self._children[number], self._lines[number]
        child.end()
        self.say({"role": number, "ended": child.last_words()})


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
        agent.say({"hello": about()})
        agent.run()
