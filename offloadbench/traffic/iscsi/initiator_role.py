"""What both initiators under test do at the engine's word: the orders of a load, and its figures."""

from __future__ import annotations

import os
import selectors
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from offloadbench.roles.messages import (
    CountNow,
    DrainInitiator,
    FinishInitiator,
    InitiatorCounted,
    InitiatorDrained,
    InitiatorFinished,
    InitiatorReady,
    OpenInitiator,
)
from offloadbench.roles.orders import Desk, RefusedOrder
from offloadbench.traffic.iscsi import counts

OPERATIONS = ("write", "read")


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

    def __init__(self, desk: Desk, order: OpenInitiator) -> None:
        if order.operation not in OPERATIONS:
            raise RefusedOrder("operation", order.operation, "there is none such", f"write {' or '.join(OPERATIONS)}")
        self._desk = desk
        self._asked = order
        self._wake_read, self._wake_write = os.pipe()
        self._told_ready = self._draining = False
        self._marks: dict[int, dict[str, int]] = {}
        desk.on(CountNow, self._count)
        desk.on(DrainInitiator, self._drain)
        desk.on(FinishInitiator, self._finish)

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
    def _carried_bytes(self) -> tuple[int, int, int]:
        """(sent, received, received before the load began)."""

    @abstractmethod
    def _tcp_infos(self) -> Iterable[bytes]:
        """struct tcp_info of every connection."""

    @abstractmethod
    def _settings(self) -> InitiatorReady:
        """What is in force, for the record."""

    def run(self) -> None:
        """Follow orders until the engine is gone."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ, self._on_wake)
            self._desk.serve(selector)

    def _wake(self) -> None:
        os.write(self._wake_write, b".")

    def _on_wake(self) -> None:
        os.read(self._wake_read, 4096)
        self._look()

    def _look(self) -> None:
        self._check()
        if not self._told_ready and all(load.flowing for load in self._loads):
            self._told_ready = True
            self._desk.answer(self._settings())
        if self._draining and self._drained():
            self._draining = False
            self._desk.answer(InitiatorDrained(self._totals(), self._tcp_counters()))

    def _count(self, order: CountNow) -> InitiatorCounted:
        del order
        totals = self._totals()
        self._marks[totals.t_ns] = self._tcp_counters()
        return totals

    def _drain(self, order: DrainInitiator) -> None:
        del order
        for load in self._loads:
            load.stop()
        self._draining = True
        self._look()

    def _finish(self, order: FinishInitiator) -> InitiatorFinished:
        for name, t_ns in (("opened_ns", order.opened_ns), ("closed_ns", order.closed_ns)):
            if t_ns not in self._marks:
                raise RefusedOrder(name, t_ns, "nothing was counted then", "report this as a bug")
        compared = sum(load.verify() for load in self._loads) if self._asked.verify else 0
        latencies_ns = np.concatenate(
            [load.completions.latencies_ns(order.opened_ns, order.closed_ns) for load in self._loads]
        )
        commands, latency_us = counts.of_commands(latencies_ns)
        first, last = self._marks[order.opened_ns], self._marks[order.closed_ns]
        self._log_out()
        return InitiatorFinished(compared, commands, latency_us, {name: last[name] - first[name] for name in first})

    def _totals(self) -> InitiatorCounted:
        sent_bytes, received_bytes, set_up_bytes = self._carried_bytes()
        return InitiatorCounted(
            t_ns=time.monotonic_ns(),
            payload_bytes=sum(load.payload_bytes for load in self._loads),
            complete=sum(load.complete for load in self._loads),
            sent_bytes=sent_bytes,
            received_bytes=received_bytes,
            set_up_bytes=set_up_bytes,
        )

    def _tcp_counters(self) -> dict[str, int]:
        """Counters of all connections, added up."""
        return counts.tcp_counters(self._tcp_infos())


def in_force(size: bytes, congestion_control: bytes) -> tuple[int, str]:
    """What the values of SO_SNDBUF (int) and TCP_CONGESTION (char[16]) of a connection say."""
    return int.from_bytes(size, sys.byteorder, signed=True), congestion_control.rstrip(b"\0").decode()
