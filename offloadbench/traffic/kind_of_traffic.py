"""What a trial asks of a kind of traffic. One file (or folder) a kind, exporting one object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from offloadbench.changes.change import Change
from offloadbench.model import Load, WorkloadDefinition
from offloadbench.roles.ends import End


@dataclass(frozen=True, slots=True)
class Mark:
    """Payload that has arrived so far, at a moment of the monotonic clock of whoever counts it.

    Attributes:
        cpu_s: CPU time of the load side's processes so far; 0 where they are not ours.
    """

    t_s: float
    payload_bytes: int
    cpu_s: float


class Session(Protocol):
    """Traffic that runs.

    Attributes:
        watched: where the connections go that a monitor of the device under test should follow, as the remote
            (IPv4 address, port); empty where they come and go too fast to be followed, as FTP's data connections do.
    """

    watched: list[tuple[str, int]]

    def mark(self) -> Mark:
        """The count now."""

    def finish(self, opened: Mark, closed: Mark) -> Load:
        """Stop sending, let everything on its way come to its end, and account for every byte.

        Raises:
            TrafficError: bytes were lost, or a transfer failed.
        """

    def close(self) -> None:
        """End every process of the session. Safe to call twice."""


class Traffic(Protocol):
    """A kind of traffic with its parameters checked."""

    def prepare(self, tell: Callable[[str], None]) -> None:
        """Once a run, before the first trial: files, memory, disk."""

    def check_peer(self, peer: End) -> None:
        """Once a run, when the bed stands: whether the load side can do its part.

        Raises:
            HostError: it lacks a program, or memory.
        """

    def may_leave(self, run_id: str) -> list[Change]:
        """What a killed session of the run leaves in the kernel, as changes for its journal."""

    def start(self, dut: End, peer: End, in_flight_bytes: int) -> Session:
        """Start what serves, wait until it answers, start what drives the load, wait until payload flows everywhere.

        Args:
            in_flight_bytes: bound for the sum of the receivers' windows; 0 leaves them to the kernel.
        """

    def settings(self) -> dict[str, Any]:
        """What is recorded beside the result."""


# asks a person a question, and returns the answer; None where nobody could be asked
Ask = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Outside:
    """Where the traffic of a workload goes that has a far end of its own, which this program has not started.

    Attributes:
        host: a name or an address, without brackets.
    """

    host: str
    port: int


@runtime_checkable
class ToOutside(Protocol):
    """A `Traffic` that may have a far end of its own."""

    @property
    def outside(self) -> Outside | None:
        """That end; None where the load side serves."""

    def consent(self, dut: End, peer: End, ask: Ask, tell: Callable[[str], None]) -> list[str]:
        """Once a run, when the bed stands: look at what would be overwritten, and have it confirmed.

        Returns:
            What a reader must know about a far end that is not ours, as sentences.

        Raises:
            UsageError: it is not confirmed, or cannot be known.
            TrafficError: that end cannot be reached.
        """


class TrafficKind(Protocol):
    """The object that a kind's module exports."""

    def __call__(self, definition: WorkloadDefinition) -> Traffic:
        """Check the parameters.

        Raises:
            UsageError: a parameter is wrong.
        """
