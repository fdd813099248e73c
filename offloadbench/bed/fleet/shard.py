"""A role's share at one worker of a fleet, as a Dask actor: a process there, its lines in and out.

Sent to the workers by value, so that nothing of this program has to be installed there. Standard library only.
"""

from __future__ import annotations

import os
import selectors
import time
from collections import deque

from offloadbench.bed.remote.child import Child
from offloadbench.roles.codec import (
    LineSplitter,
)

_READ_BYTES = 1 << 16


class Shard:
    """See `offloadbench.bed.remote.child.Child` for the arguments."""

    def __init__(self, importer: str, module: str, sources: dict[str, str], marker: str) -> None:
        self._child = Child(importer, module, sources, [], marker)
        self._splitter = LineSplitter()
        self._lines: deque[bytes] = deque()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._child.output, selectors.EVENT_READ)
        self._selector.register(self._child.errors, selectors.EVENT_READ)

    def write(self, line: str) -> bool:
        """Hand the role a line; whether it took it."""
        try:
            self._child.input.write(line.encode())
            self._child.input.flush()
        except OSError:
            return False
        return True

    def next_line(self, wait_s: float) -> tuple[str, str]:
        """(`line`, what it said), (`ended`, why), or (`nothing`, "") after `wait_s`."""
        deadline_s = time.monotonic() + wait_s
        while not self._lines:
            for key, _ in self._selector.select(max(0.0, deadline_s - time.monotonic())):
                data = os.read(key.fd, _READ_BYTES)
                if not data:
                    self._selector.unregister(key.fileobj)
                if key.fileobj is self._child.errors:
                    self._child.hear(data)
                else:
                    self._lines.extend(self._splitter.feed(data))
            if not self._lines and not self._selector.get_map():
                self._child.process.wait()
                return "ended", self._child.last_words()
            if not self._lines and time.monotonic() >= deadline_s:
                return "nothing", ""
        return "line", self._lines.popleft().decode(errors="replace")

    def close(self) -> None:
        self._child.end()
