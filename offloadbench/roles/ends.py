"""The two ends of the traffic, and the processes that play a role at one of them.

A trial talks to an `End` and to the `Role`s it launches there; whether an end is a namespace of this machine or
another host is the end's own affair. A role is a Python module run as a process: JSON objects, one a line, in
on standard input and out on standard output. It ends when its input closes, so none outlives a killed run.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from offloadbench.base.errors import TrafficError
from offloadbench.kernel.counters.device_statistics import Reading
from offloadbench.kernel.system import processes

# an emulated machine took more than 30 s to start Python and numpy beside a full load
_ANSWER_S = 60.0
_PACKAGE = __name__.partition(".")[0]
_INIT = Path(__file__).parents[1] / "__init__.py"
_PLAY = (
    "import sys,runpy,importlib.util as u;s=u.spec_from_file_location({0!r},{1!r});"
    "sys.modules[{0!r}]=u.module_from_spec(s);s.loader.exec_module(sys.modules[{0!r}]);"
    "runpy.run_module({2!r},run_name='__main__',alter_sys=True)"
)
Message = dict[str, Any]


class Role(ABC):
    """A running role, wherever it runs.

    Args:
        title: what it plays, for messages.
    """

    def __init__(self, title: str) -> None:
        self.title = title

    def send(self, message: Message) -> None:
        """Give the role an order."""
        try:
            self._write(json.dumps(message).encode() + b"\n")
        except OSError:
            # what it said before it ended tells more than the broken pipe
            self.receive("an answer", timeout_s=5.0)
            raise

    def receive(self, event: str, timeout_s: float) -> Message:
        """The role's next message, which must be of this kind.

        Raises:
            TrafficError: it reports an error, ends, or stays silent for `timeout_s`.
        """
        line = self._next_line(time.monotonic() + timeout_s)
        if line is None:
            raise TrafficError(f"{self.title} gave no {event!r} within {timeout_s:.0f} s", self._last_words())
        if not line:
            raise TrafficError(f"{self.title} ended unasked: {self._last_words()}", "see the log")
        try:
            message: Message = json.loads(line)
        except json.JSONDecodeError as error:
            raise TrafficError(f"{self.title} said {line[:100]!r}", "report this as a bug") from error
        if message.get("event") == "error":
            raise TrafficError(f"{self.title}: {message.get('message')}", str(message.get("hint", "")))
        if message.get("event") != event:
            raise TrafficError(
                f"{self.title} said {message.get('event')!r} instead of {event!r}", "report this as a bug"
            )
        return message

    def request(self, message: Message, event: str, timeout_s: float = _ANSWER_S) -> Message:
        self.send(message)
        return self.receive(event, timeout_s)

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

    def __init__(self, title: str, start: Callable[[int, int, int], subprocess.Popen[bytes]]) -> None:
        super().__init__(title)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._process = start(subprocess.PIPE, subprocess.PIPE, self._stderr.fileno())
        self._pending = b""

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
        while b"\n" not in self._pending:
            left = deadline_s - time.monotonic()
            if left <= 0 or not select.select([number], [], [], left)[0]:
                return None
            data = os.read(number, 1 << 16)
            if not data:
                self._process.wait()
                return b""
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def running(self) -> bool:
        return self._process.poll() is None

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
