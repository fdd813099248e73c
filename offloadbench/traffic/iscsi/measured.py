"""A load that runs on an iSCSI target: its marks, and the account of every byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from offloadbench.base.errors import TrafficError
from offloadbench.model import Load
from offloadbench.roles.ends import Role, accompany
from offloadbench.roles.messages import (
    Answer,
    AskTargetWords,
    CountNow,
    CountTargetCpu,
    DrainInitiator,
    FinishInitiator,
    InitiatorCounted,
    InitiatorDrained,
    InitiatorFinished,
    Order,
    ReportTarget,
    TargetCpu,
    TargetMoved,
    TargetWords,
)
from offloadbench.traffic.kind_of_traffic import Mark

MARK_S = 30.0
_DRAIN_TIMEOUT_S = 120.0
_VERIFY_TIMEOUT_S = 600.0
A = TypeVar("A", bound=Answer)


@dataclass(frozen=True, slots=True)
class _IscsiMark(Mark):
    """A mark that the initiator can find again."""

    t_ns: int


class IscsiSession:
    """An initiator that moves blocks. The protocol is `offloadbench.traffic.kind_of_traffic.Session`.

    Args:
        target: that this program has started; None where it exists by itself.
        settings: of the workload (`IscsiTraffic.settings`).
    """

    def __init__(self, target: Role | None, settings: dict[str, Any]) -> None:
        self.initiator: Role | None = None
        self.settings = settings
        self.watched: list[tuple[str, int]] = []
        self._target = target

    def start_initiator(self, role: Role) -> None:
        """Take the initiator; whoever waits for one of the two hears of the other's end."""
        self.initiator = role
        if self._target:
            accompany(role, self._target)

    def ask_initiator(self, order: Order, kind: type[A], timeout_s: float) -> A:
        """A request to the initiator; if it fails, the target's own words belong to the error."""
        assert self.initiator is not None
        try:
            return self.initiator.request(order, kind, timeout_s)
        except TrafficError as error:
            words = self._words_of_target()
            raise TrafficError(f"{error.message} ({words})" if words else error.message, error.hint) from error

    def _words_of_target(self) -> str:
        if self._target is None:
            return ""
        try:
            said = self._target.request(AskTargetWords(), TargetWords, 5.0).words
        except (TrafficError, OSError) as error:
            return str(error)
        return f"the target: {said}" if said else ""

    def mark(self) -> _IscsiMark:
        """Payload of the commands that have ended with status GOOD; the load side's CPU is our own target's."""
        counted = self.ask_initiator(CountNow(), InitiatorCounted, MARK_S)
        return _IscsiMark(
            t_s=counted.t_ns * 1e-9,
            payload_bytes=counted.payload_bytes,
            cpu_s=self._target.request(CountTargetCpu(), TargetCpu).cpu_s if self._target else 0.0,
            t_ns=counted.t_ns,
        )

    def finish(self, opened: Mark, closed: Mark) -> Load:
        assert isinstance(opened, _IscsiMark)
        assert isinstance(closed, _IscsiMark)
        drained = self.ask_initiator(DrainInitiator(), InitiatorDrained, _DRAIN_TIMEOUT_S)
        counted = drained.counted
        moved = self._target.request(ReportTarget(), TargetMoved) if self._target else None
        order = FinishInitiator(opened.t_ns, closed.t_ns)
        finished = self.ask_initiator(order, InitiatorFinished, _VERIFY_TIMEOUT_S)
        reads = self.settings["operation"] == "read"
        ours = counted.received_bytes if reads else counted.sent_bytes
        # a target that is not ours is not asked: it has confirmed every command
        theirs = counted.payload_bytes
        if moved is not None:
            # logging in has read a little from the LUN, too
            theirs = moved.read_bytes - counted.set_up_bytes if reads else moved.written_bytes
        sent, received = (theirs, ours) if reads else (ours, theirs)
        self._account(counted.payload_bytes, sent, received)
        return Load(
            clients=self.settings["sessions"],
            payload_bytes=self._payload_in_window(closed.payload_bytes - opened.payload_bytes, drained, finished.tcp),
            interval_s=closed.t_s - opened.t_s,
            bytes_sent=sent,
            bytes_received=received,
            transfers_complete=counted.complete,
            transfers_cut=0,
            cpu_s=closed.cpu_s - opened.cpu_s if self._target else None,
            latency_us=finished.latency_us,
            settings=self.settings
            | {
                "commands_in_window": finished.commands,
                "verified_bytes": finished.verified_bytes,
                "tcp_in_window": finished.tcp,
            },
        )

    def _payload_in_window(self, by_commands: int, drained: InitiatorDrained, window: dict[str, int]) -> int:
        """Payload that crossed the link between the marks: what TCP counted there, less the PDUs' share of headers.

        Commands alone are too coarse: one that ends just inside the window would count whole, and 4 MiB in 8 s is
        4 Mbit/s too much.
        """
        name = "tcp_acked_bytes" if self.settings["operation"] == "write" else "tcp_received_bytes"
        moved = drained.tcp.get(name, 0)
        return round(window[name] * drained.counted.payload_bytes / moved) if moved else by_commands

    def _account(self, acknowledged: int, sent: int, received: int) -> None:
        """Counts of the same bytes: by status GOOD, by the sockets' user, and by the target where it is ours."""
        if not acknowledged == sent == received:
            raise TrafficError(
                f"commands with status GOOD moved {acknowledged} bytes, {sent} were sent, {received} received",
                "data was lost or doubled on the way: do not trust this link or target",
            )

    def close(self) -> None:
        try:
            if self.initiator:
                self.initiator.close()
        finally:
            if self._target:
                self._target.close()
