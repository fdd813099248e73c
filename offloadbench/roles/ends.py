"""The two ends of the traffic, and the processes that play a role at one of them.

A trial talks to an `End` and to the `Role`s it launches there; whether an end is a namespace of this machine or
another host is the end's own affair. A role is a Python module run as a process, which takes orders on standard input
and answers on standard output (see messages.py). It ends when its input closes, so none outlives a killed run.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, TypeVar

from offloadbench.base.errors import TrafficError
from offloadbench.kernel.counters.device_statistics import Reading
from offloadbench.kernel.system import processes
from offloadbench.roles.codec import (
    LineSplitter,
    MessageError,
    decode,
    encode,
)
from offloadbench.roles.codec import (
    title as title_of,
)
from offloadbench.roles.messages import (
    Answer,
    Failed,
    Order,
)

# an emulated machine took more than 30 s to start Python and numpy beside a full load
_ANSWER_S = 60.0
# while one role is waited for, how often the others are looked at
_LOOK_S = 1.0
# one that has ended has said what it had to say
_WORDS_S = 5.0
_PACKAGE = __name__.partition(".")[0]
_INIT = Path(__file__).parents[1] / "__init__.py"
_PLAY = (
    "import sys,runpy,importlib.util as u;s=u.spec_from_file_location({0!r},{1!r});"
    "sys.modules[{0!r}]=u.module_from_spec(s);s.loader.exec_module(sys.modules[{0!r}]);"
    "runpy.run_module({2!r},run_name='__main__',alter_sys=True)"
)
A = TypeVar("A", bound=Answer)


class Role(ABC):
    """A running role, wherever it runs.

    Args:
        title: what it plays, for messages.
        where: the host that it runs on, for messages.
    """

    def __init__(self, title: str, where: str) -> None:
        self.title = title
        self.where = where
        self._inbox: deque[bytes] = deque()
        self._beside: list[Role] = []
        self._doing, self._told_s = "", time.monotonic()
        self._heard, self._heard_s = "", 0.0

    def __str__(self) -> str:
        return f"{self.title} ({self.where})"

    def send(self, order: Order) -> None:
        """Give the role an order.

        Raises:
            TrafficError: it has ended.
        """
        self._doing, self._told_s = order.doing, time.monotonic()
        try:
            line = encode(order)
        except MessageError as error:
            raise TrafficError(f"{self}: {error}", error.hint) from error
        try:
            self._write(line + b"\n")
        except OSError as error:
            # what it said before it ended tells more than the broken pipe
            raise TrafficError(
                self._trouble(_WORDS_S) or f"{self}: {error.strerror or error}", "see the log"
            ) from error

    def receive(self, kind: type[A], timeout_s: float) -> A:
        """The role's next answer, which must be of this class.

        Raises:
            TrafficError: it, or one beside it, reports an error or ends; or it stays silent for `timeout_s`.
        """
        line = self._wait(time.monotonic() + timeout_s)
        if line is None:
            raise TrafficError(
                f"{self} gave no {title_of(kind)!r} within {timeout_s:.0f} s: {self.state()}"
                + "".join(f"; {one}: {one.state()}" for one in self._beside),
                "does the link carry packets? see `dmesg` and the load on both hosts",
            )
        if not line:
            raise TrafficError(f"{self} ended unasked: {self._last_words()}{self._was_to()}", "see the log")
        answer = self._decoded(line, kind)
        self._heard, self._heard_s = title_of(type(answer)), time.monotonic()
        return answer

    def _decoded(self, line: bytes, kind: type[A]) -> A:
        try:
            answer = decode(line, kind, Failed)
        except MessageError as error:
            raise TrafficError(f"{self}: {error}", error.hint) from error
        if isinstance(answer, kind):
            return answer
        assert isinstance(answer, Failed)
        raise TrafficError(f"{self}: {answer.message}", answer.hint)

    def request(self, order: Order, kind: type[A], timeout_s: float = _ANSWER_S) -> A:
        """The answer to an order; see `send` and `receive`."""
        self.send(order)
        return self.receive(kind, timeout_s)

    def _wait(self, until_s: float) -> bytes | None:
        """Its next line, as `_next_line`; looks after those beside it meanwhile."""
        while not self._inbox:
            now_s = time.monotonic()
            line = self._next_line(min(until_s, now_s + _LOOK_S) if self._beside else until_s)
            if line is not None or time.monotonic() >= until_s:
                return line
            for one in self._beside:
                trouble = one._trouble()
                if trouble:
                    waited = f"was to {self._doing}" if self._doing else "was waited for"
                    raise TrafficError(f"{trouble}, while {self} {waited}", "see `dmesg` on both hosts")
        return self._inbox.popleft()

    def _trouble(self, wait_s: float = 0.0) -> str:
        """The error that it has reported, or that it has ended in disorder; empty where neither is so.

        Answers that are read on the way are kept for `receive`.
        """
        until_s = time.monotonic() + wait_s
        while line := self._next_line(until_s):
            self._inbox.append(line)
        for said in self._inbox:
            with contextlib.suppress(MessageError):
                return f"{self}: {decode(said, Failed).message}"
        if line is None or (not wait_s and (self._inbox or self._ended_in_order())):
            return ""
        return f"{self} ended unasked: {self._last_words()}{self._was_to()}"

    def _was_to(self) -> str:
        return f"; it was to {self._doing}" if self._doing else ""

    def state(self) -> str:
        """What it was told, what was last heard of it, and what its process does, for messages."""
        now_s = time.monotonic()
        told = f"it was to {self._doing}, {now_s - self._told_s:.0f} s ago" if self._doing else "it was told nothing"
        heard = (
            f"last heard {self._heard!r} {now_s - self._heard_s:.0f} s ago"
            if self._heard
            else "nothing was heard of it"
        )
        return ", ".join(filter(None, (told, heard, self._activity())))

    def _activity(self) -> str:
        """What its process does now, as far as it can be seen from here."""
        return ""

    def _ended_in_order(self) -> bool:
        """Whether it has ended by itself, with exit status 0."""
        return False

    @abstractmethod
    def _write(self, line: bytes) -> None:
        """Hand a line to the role.

        Raises:
            OSError: it is gone.
        """

    @abstractmethod
    def _next_line(self, deadline_s: float) -> bytes | None:
        """Its next line; None when none came by then (monotonic clock), empty when it has ended."""

    @abstractmethod
    def running(self) -> bool:
        """Whether it has not ended."""

    @abstractmethod
    def _last_words(self) -> str:
        """What it said last on standard error, or how it ended."""

    # only where it can be: the others are ended by `close`
    def release(self) -> None:  # noqa: B027
        """Nothing more is asked of the role: let it end beside what comes next, where that can be; `close` waits."""

    @abstractmethod
    def close(self, grace_s: float = 5.0) -> None:
        """End the role: close its input, then terminate, then kill. Safe to call twice."""


class ProcessRole(Role):
    """A role that is a child process of this one.

    Args:
        start: makes the process from its (stdin, stdout, stderr).
    """

    def __init__(
        self, title: str, start: Callable[[int, int, int], subprocess.Popen[bytes]], where: str = "this host"
    ) -> None:
        super().__init__(title, where)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._process = start(subprocess.PIPE, subprocess.PIPE, self._stderr.fileno())
        self._splitter = LineSplitter()
        self._lines: deque[bytes] = deque()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def _next_line(self, deadline_s: float) -> bytes | None:
        assert self._process.stdout is not None
        number = self._process.stdout.fileno()
        while not self._lines:
            left_s = deadline_s - time.monotonic()
            if not select.select([number], [], [], max(0.0, left_s))[0]:
                return None
            data = os.read(number, 1 << 16)
            if not data:
                self._process.wait()
                return b""
            self._lines.extend(self._splitter.feed(data))
        return self._lines.popleft()

    def running(self) -> bool:
        return self._process.poll() is None

    def _ended_in_order(self) -> bool:
        return self._process.poll() == 0

    def _activity(self) -> str:
        if not self.running():
            return f"its process ended with status {self._process.poll()}"
        sleeping = sorted({processes.waits_in(thread) for thread in processes.threads(self.pid)} - {""})
        return f"its process {self.pid} " + (f"sleeps in {', '.join(sleeping)}" if sleeping else "runs")

    def _last_words(self) -> str:
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self._process.poll()}"

    def release(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def close(self, grace_s: float = 5.0) -> None:
        if self._stderr.closed:
            return
        assert self._process.stdout is not None
        processes.end(self._process, grace_s)
        self._process.stdout.close()
        self._stderr.close()


def accompany(*roles: Role) -> None:
    """Whoever waits for one of these roles is to hear at once of an error or the end of another."""
    for role in roles:
        role._beside = [one for one in roles if one is not role]


class End(Protocol):
    """One end of the traffic.

    Attributes:
        name: `device under test` or `load side`, for messages.
        address: IPv4 address on the test link.
        ifname: the NIC on the test link, as this end names it.
        namespace: network namespace of this machine that holds the NIC; None for the first one.
        server_cpus: CPUs for the process that serves or drives the load here.
    """

    @property
    def name(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def ifname(self) -> str: ...
    @property
    def namespace(self) -> str | None: ...
    @property
    def server_cpus(self) -> frozenset[int]: ...

    def launch(self, module: str, title: str, cpus: frozenset[int] | None = None) -> Role:
        """Start a role here, on `cpus` (default: `server_cpus`)."""

    def missing(self, tools: Iterable[str]) -> list[str]:
        """Those of the programs that are not installed at this end."""

    def available_memory_bytes(self) -> int:
        """What processes at this end may still take."""

    def is_folder(self, path: str) -> bool:
        """Whether this end has such a folder."""

    def state(self, sysctls: Iterable[str]) -> dict[str, str | int]:
        """What of its NIC decides what is sent, and these sysctls, as far as it can be seen; to be compared later.

        Raises:
            OffloadbenchError: it cannot be asked.
        """

    def counted(self) -> Reading:
        """What its NIC and its TCP have counted until now.

        Raises:
            OffloadbenchError: it cannot be asked.
        """


def python_role(module: str) -> list[str]:
    """The argument list that plays a role module with this interpreter, from the very package that this process runs.

    `-P` keeps the current folder off the module path (`-m` alone puts it first): roles run as root, and a json.py of
    whoever owns that folder must not. `-I` would also hide a package found by PYTHONPATH or in the user's site folder.
    """
    return [sys.executable, "-P", "-c", _PLAY.format(_PACKAGE, str(_INIT), module)]
