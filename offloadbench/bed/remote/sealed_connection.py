"""The engine's side of the stream to an agent (see agent.py): questions, roles, and whether the other side lives."""

from __future__ import annotations

import contextlib
import itertools
import queue
import signal
import threading
import time
from typing import Protocol, TypeVar

from offloadbench.base.errors import HostError, TrafficError
from offloadbench.bed.remote import sources
from offloadbench.bed.remote.seal import Seal
from offloadbench.roles.codec import (
    ENVELOPE_BYTES_MAX,
    LineSplitter,
    MessageError,
    VersionError,
    encode,
    greeting,
    numbered,
)
from offloadbench.roles.ends import Role
from offloadbench.roles.messages import (
    Answer,
    AskClock,
    Failed,
    HostAbout,
    LaunchRole,
    Order,
    PassLine,
    RoleGone,
    RoleLaunched,
    RoleSaid,
    ShutRole,
    SignalRole,
)
from offloadbench.version import __version__

ANSWER_S = 15.0
# the agent answers at once; who is silent for so long is cut off
SILENCE_S = 12.0
_HEARTBEAT_S = 3.0
_HELLO_S = 20.0
# of a role whose host is lost: what its process does is not known
_LOST_STATUS = -1
# a login shell may print a greeting before the agent speaks
_GREETING_LINES = 200
_SHOWN = 200
A = TypeVar("A", bound=Answer)


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
        HostError: it is of another version of offloadbench.

    Attributes:
        about: the load host.
    """

    def __init__(self, stream: HostStream, where: str, key: bytes = b"") -> None:
        self.where = where
        self.about = HostAbout("", "", "", "", None, root=False)
        self._stream = stream
        self._opening, self._closing = Seal(key, "to engine"), Seal(key, "to agent")
        self._numbers = itertools.count(1)
        # an answer, or None where the agent was lost meanwhile
        self._answers: dict[int, queue.SimpleQueue[Answer | None]] = {}
        self._roles: dict[int, AgentRole] = {}
        self._lock = threading.Lock()
        self._heard_s = time.monotonic()
        self._greeted = threading.Event()
        self._over = threading.Event()
        self.problem = ""
        self._refused = ""
        threading.Thread(target=self._listen, name="load side", daemon=True).start()
        if not self._greeted.wait(_HELLO_S) or self.problem:
            self._lose(f"no agent answered within {_HELLO_S:.0f} s")
            self.close()
            if self._refused:
                raise HostError(f"{where}: {self.problem}", self._refused)
            raise TrafficError(f"{where}: {self.problem}", "the load host needs python3, version 3.7 or newer")
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    @property
    def lost(self) -> bool:
        return bool(self.problem)

    def check(self) -> None:
        """Raise TrafficError when the agent is gone."""
        if self.problem:
            raise TrafficError(f"the load side is gone: {self.where}: {self.problem}", "see the load host, and its log")

    def ask(self, order: Order, kind: type[A], timeout_s: float = ANSWER_S) -> A:
        """The agent's answer, of this class.

        Raises:
            TrafficError: it cannot answer, or is gone.
        """
        number = next(self._numbers)
        answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._answers[number] = answers
        try:
            self.check()
            self.say(order, number)
            answer = answers.get(timeout=timeout_s)
        except (queue.Empty, OSError) as error:
            self.check()
            raise TrafficError(
                f"{self.where} was to {order.doing} and did not answer within {timeout_s:.0f} s; it was last heard "
                f"{self.silent_s:.0f} s ago",
                "see the load on that host, and the link to it",
            ) from error
        finally:
            del self._answers[number]
        if isinstance(answer, kind):
            return answer
        self.check()
        if isinstance(answer, Failed):
            raise TrafficError(f"{self.where} was to {order.doing}: {answer.message}", answer.hint)
        raise TrafficError(f"{self.where} was to {order.doing}, and said {answer}", "report this as a bug")

    def launch(self, module: str, title: str, marker: str) -> AgentRole:
        """Start a role at the load host, on any of its CPUs."""
        role = AgentRole(title, next(self._numbers), self)
        self._roles[role.number] = role
        order = LaunchRole(role.number, sources.importer(), module, sources.closure(module), (), marker)
        self.ask(order, RoleLaunched)
        return role

    @property
    def silent_s(self) -> float:
        """How long ago the agent was heard."""
        return time.monotonic() - self._heard_s

    def say(self, order: Order, number: int | None = None) -> None:
        """
        Raises:
            OSError: the agent is gone.
        """
        line = encode(order, number, ENVELOPE_BYTES_MAX)
        with self._lock:
            self._stream.write(self._closing.close(line) + b"\n")

    def _listen(self) -> None:
        # a seal is a word before the line
        splitter = LineSplitter(ENVELOPE_BYTES_MAX + _SHOWN)
        strange: list[bytes] = []
        why = ""
        try:
            while data := self._stream.read():
                self._heard_s = time.monotonic()
                for line in splitter.feed(data):
                    if self._greeted.is_set():
                        self._hear(self._opening.open(line))
                    elif not self._greet(line):
                        strange.append(line)
                if len(strange) > _GREETING_LINES:
                    break
        except OSError as error:
            why = error.strerror or str(error)
        except VersionError as error:
            why, self._refused = error.message, error.hint
        except MessageError as error:
            why = f"it said what no agent says: {error.message}"
        except ValueError:
            why = "it said what no agent says"
        # a login shell that lets nobody in says so on standard output
        shell = "" if self._greeted.is_set() or not strange else strange[-1].decode(errors="replace").strip()
        # one that is refused may live on, and has said nothing else
        words = "" if self._refused else self._stream.words()
        self._lose(words or why or shell[:_SHOWN] or self._stream.ended())

    def _greet(self, line: bytes) -> bool:
        """Whether this is the agent's first line."""
        try:
            self.about = greeting(self._opening.open(line), __version__).host
        except VersionError:
            raise
        except (ValueError, MessageError):
            return False
        self._greeted.set()
        return True

    def _hear(self, line: bytes) -> None:
        number, answer = numbered(line, Answer, limit=ENVELOPE_BYTES_MAX)
        if isinstance(answer, RoleSaid | RoleGone):
            role = self._roles.get(answer.role)
            if role is not None:
                role.hear(answer)
        elif number is not None and number in self._answers:
            self._answers[number].put(answer)
        elif number is None and isinstance(answer, Failed):
            raise MessageError(f"it did not understand an order: {answer.message}")

    def _beat(self) -> None:
        while not self._over.wait(_HEARTBEAT_S):
            silent_s = time.monotonic() - self._heard_s
            if silent_s > SILENCE_S:
                self._lose(f"silent for {silent_s:.0f} s")
                self._stream.close()
                return
            with contextlib.suppress(OSError):
                # nobody waits for the answer: that one comes is enough
                self.say(AskClock(), 0)

    def _lose(self, why: str) -> None:
        """The agent is gone: everybody who waits is told."""
        if not self.problem:
            self.problem = why
        self._over.set()
        self._greeted.set()
        for answers in list(self._answers.values()):
            answers.put(None)
        for role in list(self._roles.values()):
            role.hear(RoleGone(role.number, f"{self.where}: {self.problem}", _LOST_STATUS))

    def forget(self, role: AgentRole) -> None:
        self._roles.pop(role.number, None)

    def close(self) -> None:
        """End the stream, by which the agent ends its roles and itself. Safe to call twice."""
        self._over.set()
        self._stream.close()


class AgentRole(Role):
    """A role that an agent has started."""

    def __init__(self, title: str, number: int, connection: AgentConnection) -> None:
        super().__init__(title, connection.where)
        self.number = number
        self._connection = connection
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._words, self._status = "", 0

    def hear(self, answer: RoleSaid | RoleGone) -> None:
        """Called by the connection's thread."""
        if isinstance(answer, RoleSaid):
            self._lines.put(answer.line.encode())
        elif not self._ended.is_set():
            self._words, self._status = answer.words, answer.status
            self._ended.set()
            self._lines.put(b"")

    def _write(self, line: bytes) -> None:
        if self._ended.is_set():
            raise BrokenPipeError(self._words)
        self._connection.say(PassLine(self.number, line.decode().rstrip("\n")))

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

    def _ended_in_order(self) -> bool:
        return self._ended.is_set() and self._status == 0

    def _activity(self) -> str:
        if self._ended.is_set():
            return f"its process ended: {self._words}"
        return f"its host was heard {self._connection.silent_s:.0f} s ago"

    def _last_words(self) -> str:
        return self._words or "it is still there"

    def close(self, grace_s: float = 5.0) -> None:
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if self._ended.is_set() or self._connection.lost:
                break
            order = ShutRole(self.number) if number is None else SignalRole(self.number, int(number))
            with contextlib.suppress(OSError):
                self._connection.say(order)
            self._ended.wait(grace_s)
        self._connection.forget(self)
