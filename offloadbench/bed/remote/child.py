"""A role at a load host: a process that imports its modules from memory. Standard library of Python 3.7."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import IO

_WORDS_BYTES = 4096
_START = (
    "import json\nwith open({}) as stream: given=json.load(stream)\n"
    "exec(given['importer'])\nplay(given['module'],given['sources'])"
)


class Child:
    """A role: a process of this interpreter that imports its modules from the sources it is given."""

    def __init__(self, importer: str, module: str, sources: dict[str, str], cpus: list[int], marker: str) -> None:
        home = os.sched_getaffinity(0)
        given, giving = os.pipe()
        try:
            # a child inherits the CPUs of who starts it
            os.sched_setaffinity(0, cpus or home)
            self.process = subprocess.Popen(
                [sys.executable or "python3", "-I", "-c", _START.format(given)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[given],
                start_new_session=True,
                env=dict(os.environ, **({"OFFLOADBENCH_RUN": marker} if marker else {})),
            )
        finally:
            os.sched_setaffinity(0, home)
            os.close(given)
        with os.fdopen(giving, "w") as stream:
            json.dump({"importer": importer, "module": module, "sources": sources}, stream)
        assert self.process.stdin and self.process.stdout and self.process.stderr
        self.input: IO[bytes] = self.process.stdin
        self.output: IO[bytes] = self.process.stdout
        self.errors: IO[bytes] = self.process.stderr
        self.words = b""

    def hear(self, data: bytes) -> None:
        """Keep the end of what it says on standard error."""
        self.words = (self.words + data)[-_WORDS_BYTES:]

    def last_words(self) -> str:
        lines = self.words.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self.process.poll()}"

    def shut(self) -> None:
        """Close its input, by which it knows that it shall end."""
        with contextlib.suppress(OSError):
            self.input.close()

    def end(self, grace_s: float = 2.0) -> None:
        """End it: close its input, then terminate, then kill."""
        self.shut()
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(grace_s)
                break
        for stream in (self.output, self.errors):
            stream.close()
