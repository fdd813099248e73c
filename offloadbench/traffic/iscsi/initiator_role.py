"""What both initiators under test do at the engine's word: the orders of a load, and its figures.

Orders: the configuration, answered by `ready` once every session has had a whole queue of commands completed; then
`mark`; `drain` (begin no new command, answered when the last one is through); `finish` (read back if asked, log out).
"""

from __future__ import annotations

import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from offloadbench.roles.orders import answer, serve
from offloadbench.traffic.iscsi import counts


class CommandLoad(Protocol):
    """Commands that are always on their way, of a session or to a disk."""

    completions: counts.Completions

    @property
    def complete(self) -> int: ...
    @property
    def payload_bytes(self) -> int: ...
    @property
    def flowing(self) -> bool: ...
    @property
    def drained(self) -> bool: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def verify(self) -> int: ...


class InitiatorRole(ABC):
    """All sessions of this process; threads of theirs call `_wake`, the main thread alone speaks."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._wake_read, self._wake_write = os.pipe()
        self._told_ready = self._draining = False
        self._marks: dict[int, dict[str, int]] = {}

    @abstractmethod
    def open(self) -> None:
        """Log in on every session and start the load."""

    @abstractmethod
    def close(self) -> None:
        """End what is left. Safe to call twice."""

    @property
    @abstractmethod
    def _loads(self) -> Sequence[CommandLoad]: ...

    @abstractmethod
    def _check(self) -> None:
        """Raise IscsiError when a session or a load has failed."""

    @abstractmethod
    def _drained(self) -> bool:
        """Whether the last command is through."""

    @abstractmethod
    def _log_out(self) -> None: ...

    @abstractmethod
    def _carried(self) -> dict[str, int]:
        """sent_bytes, received_bytes, set_up_bytes."""

    @abstractmethod
    def _tcp_infos(self) -> Iterable[bytes]:
        """struct tcp_info of every connection."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """What is in force, for the record."""

    def run(self) -> None:
        """Follow orders until finished or until the engine is gone."""
        serve(self._wake_read, self._look, self._follow)

    def _wake(self) -> None:
        os.write(self._wake_write, b".")

    def _look(self) -> None:
        self._check()
        if not self._told_ready and all(load.flowing for load in self._loads):
            self._told_ready = True
            answer({"event": "ready", "settings": self._settings()})
        if self._draining and self._drained():
            self._draining = False
            answer({"event": "drained", "tcp": self._tcp_counters(), **self._totals()})

    def _follow(self, order: dict[str, Any]) -> None:
        if order["do"] == "mark":
            totals = self._totals()
            self._marks[totals["t_ns"]] = self._tcp_counters()
            answer({"event": "mark", **totals})
        elif order["do"] == "drain":
            for load in self._loads:
                load.stop()
            self._draining = True
            self._look()
        elif order["do"] == "finish":
            compared = sum(load.verify() for load in self._loads) if self._config["verify"] else 0
            window = self._window(order["opened_ns"], order["closed_ns"])
            self._log_out()
            answer({"event": "finished", "verified_bytes": compared, **window})

    def _totals(self) -> dict[str, Any]:
        return {
            "t_ns": time.monotonic_ns(),
            "payload_bytes": sum(load.payload_bytes for load in self._loads),
            "complete": sum(load.complete for load in self._loads),
            **self._carried(),
        }

    def _window(self, opened_ns: int, closed_ns: int) -> dict[str, Any]:
        """What the commands and the sockets did between two marks."""
        latencies_ns = np.concatenate([load.completions.latencies_ns(opened_ns, closed_ns) for load in self._loads])
        return counts.window(latencies_ns, self._marks[opened_ns], self._marks[closed_ns])

    def _tcp_counters(self) -> dict[str, int]:
        """Counters of all connections, added up."""
        return counts.tcp_counters(self._tcp_infos())


def in_force(size: bytes, congestion_control: bytes) -> dict[str, Any]:
    """The values of SO_SNDBUF (int) and TCP_CONGESTION (char[16]) of a connection, named."""
    return {
        "send_buffer_in_force_bytes": int.from_bytes(size, sys.byteorder, signed=True),
        "congestion_control_in_force": congestion_control.rstrip(b"\0").decode(),
    }
