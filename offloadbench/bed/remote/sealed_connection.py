"""The engine's side of the stream to an agent (see agent.py): questions, roles, and whether the other side lives."""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import signal
import threading
import time
from typing import Any, Protocol

from offloadbench.base.errors import TrafficError
from offloadbench.bed.remote import sources
from offloadbench.bed.remote.seal import Seal
from offloadbench.roles.ends import Message, Role

ANSWER_S = 15.0
# the agent answers at once; who is silent for so long is cut off
SILENCE_S = 12.0
_HEARTBEAT_S = 3.0
_HELLO_S = 20.0
# a login shell may print a greeting before the agent speaks
_GREETING_LINES = 200
_SHOWN = 200


class HostStream(Protocol):
    """A byte stream to a process of the load host."""

    def read(self) -> bytes:
        """What has arrived; waits for something; empty at the end."""

    def write(self, data: bytes) -> None:
        """
        Raises:
            OSError: the other side is gone.
        """

    def words(self) -> str:
        """Why it ended, as far as the transport knows; may be empty."""

    def ended(self) -> str:
        """That it ended, where nobody says why."""

    def close(self) -> None:
        """End it. Safe to call twice, and from another thread."""


class AgentConnection:
    """An agent that answers.

    Args:
        where: names the load host in messages.
        key: of the seals; empty where the stream itself is safe (ssh).

    Raises:
        TrafficError: no agent speaks at the other end.
    """

    def __init__(self, stream: HostStream, where: str, key: bytes = b"") -> None:
        self.where = where
        self.about: dict[str, Any] = {}
        self._stream = stream
        self._opening, self._closing = Seal(key, "to engine"), Seal(key, "to agent")
        self._numbers = itertools.count(1)
        self._answers: dict[int, queue.SimpleQueue[Message]] = {}
        self._roles: dict[int, AgentRole] = {}
        self._lock = threading.Lock()
        self._heard_s = time.monotonic()
        self._greeted = threading.Event()
        self._over = threading.Event()
        self.problem = ""
        threading.Thread(target=self._listen, name="load side", daemon=True).start()
        if not self._greeted.wait(_HELLO_S) or self.problem:
            self._lose(f"no agent answered within {_HELLO_S:.0f} s")
            self.close()
            raise TrafficError(f"{where}: {self.problem}", "the load host needs python3, version 3.7 or newer")
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    @property
    def lost(self) -> bool:
        return bool(self.problem)

    def check(self) -> None:
        """Raise TrafficError when the agent is gone."""
        if self.problem:
            raise TrafficError(f"the load side is gone: {self.where}: {self.problem}", "see the load host, and its log")

    def ask(self, what: str, *given: Any, timeout_s: float = ANSWER_S) -> Any:
        """An answer of the agent.

        Raises:
            TrafficError: it cannot answer, or is gone.
        """
        return self._ask({"do": what, "given": given}, timeout_s)

    def _ask(self, order: Message, timeout_s: float = ANSWER_S) -> Any:
        number = next(self._numbers)
        answers: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._answers[number] = answers
        try:
            self.check()
            self.say({"n": number, **order})
            answer = answers.get(timeout=timeout_s)
        except (queue.Empty, OSError) as error:
            self.check()
            raise TrafficError(f"{self.where} did not answer {order['do']!r} within {timeout_s:.0f} s") from error
        finally:
            del self._answers[number]
        if "lost" in answer:
            self.check()
        if "problem" in answer:
            raise TrafficError(f"{self.where}: {order['do']}: {answer['problem']}", "report this as a bug")
        return answer["value"]

    def launch(self, module: str, title: str, marker: str) -> AgentRole:
        """Start a role at the load host, on any of its CPUs."""
        role = AgentRole(title, next(self._numbers), self)
        self._roles[role.number] = role
        given = {
            "importer": sources.importer(),
            "module": module,
            "sources": sources.closure(module),
            "cpus": [],
            "marker": marker,
        }
        self._ask({"do": "launch", "role": role.number, "given": given})
        return role

    def say(self, message: Message) -> None:
        """
        Raises:
            OSError: the agent is gone.
        """
        with self._lock:
            self._stream.write(self._closing.close(json.dumps(message).encode()) + b"\n")

    def _listen(self) -> None:
        pending = b""
        strange: list[bytes] = []
        why = ""
        try:
            while data := self._stream.read():
                self._heard_s = time.monotonic()
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    if self._greeted.is_set():
                        self._hear(json.loads(self._opening.open(line)))
                    elif not self._greet(line):
                        strange.append(line)
                if len(strange) > _GREETING_LINES:
                    break
        except OSError as error:
            why = error.strerror or str(error)
        except ValueError:
            why = "it said what no agent says"
        # a login shell that lets nobody in says so on standard output
        shell = "" if self._greeted.is_set() or not strange else strange[-1].decode(errors="replace").strip()
        self._lose(self._stream.words() or why or shell[:_SHOWN] or self._stream.ended())

    def _greet(self, line: bytes) -> bool:
        """Whether this is the agent's first line."""
        try:
            self.about = json.loads(self._opening.open(line))["hello"]
        except (ValueError, TypeError, KeyError):
            return False
        self._greeted.set()
        return True

    def _hear(self, message: Message) -> None:
        if "role" in message:
            role = self._roles.get(message["role"])
            if role is not None:
                role.hear(message)
        elif message["n"] in self._answers:
            self._answers[message["n"]].put(message)

    def _beat(self) -> None:
        while not self._over.wait(_HEARTBEAT_S):
            silent_s = time.monotonic() - self._heard_s
            if silent_s > SILENCE_S:
                self._lose(f"silent for {silent_s:.0f} s")
                self._stream.close()
                return
            with contextlib.suppress(OSError):
                # nobody waits for the answer: that one comes is enough
                self.say({"n": 0, "do": "clock"})

    def _lose(self, why: str) -> None:
        """The agent is gone: everybody who waits is told."""
        if not self.problem:
            self.problem = why
        self._over.set()
        self._greeted.set()
        for answers in list(self._answers.values()):
            answers.put({"lost": True})
        for role in list(self._roles.values()):
            role.hear({"ended": f"{self.where}: {self.problem}"})

    def forget(self, role: AgentRole) -> None:
        self._roles.pop(role.number, None)

    def close(self) -> None:
        """End the stream, by which the agent ends its roles and itself. Safe to call twice."""
        self._over.set()
        self._stream.close()


class AgentRole(Role):
    """A role that an agent has started."""

    def __init__(self, title: str, number: int, connection: AgentConnection) -> None:
        super().__init__(title)
        self.number = number
        self._connection = connection
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._words = ""

    def hear(self, message: Message) -> None:
        """Called by the connection's thread."""
        if "line" in message:
            self._lines.put(message["line"].encode())
        elif not self._ended.is_set():
            self._words = message["ended"]
            self._ended.set()
            self._lines.put(b"")

    def _write(self, line: bytes) -> None:
        if self._ended.is_set():
            raise BrokenPipeError(self._words)
        self._connection.say({"do": "input", "role": self.number, "line": line.decode().rstrip("\n")})

    def _next_line(self, deadline_s: float) -> bytes | None:
        try:
            line = self._lines.get(timeout=max(0.0, deadline_s - time.monotonic()))
        except queue.Empty:
            return None
        if not line:
            # whoever asks again hears the same
            self._lines.put(b"")
        return line

    def running(self) -> bool:
        return not self._ended.is_set()

    def _last_words(self) -> str:
        return self._words or "it is still there"

    def close(self, grace_s: float = 5.0) -> None:
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if self._ended.is_set() or self._connection.lost:
                break
            order = {"do": "shut"} if number is None else {"do": "signal", "number": int(number)}
            with contextlib.suppress(OSError):
                self._connection.say({**order, "role": self.number})
            self._ended.wait(grace_s)
        self._connection.forget(self)
