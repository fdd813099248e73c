"""The sending thread of a session: it sleeps in the kernel while the send buffer is full."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from offloadbench.traffic.iscsi import pdu, scsi
from offloadbench.traffic.iscsi.command import Command, Tasks
from offloadbench.traffic.iscsi.iscsi_connection import IscsiConnection
from offloadbench.traffic.iscsi.login import Negotiated
from offloadbench.traffic.iscsi.pdu import RESERVED_TAG, PduHeader


class Sender:
    """Sends commands and their data.

    Attributes:
        sent_bytes: payload handed to the socket.
    """

    def __init__(self, connection: IscsiConnection, negotiated: Negotiated, tasks: Tasks) -> None:
        self._connection = connection
        self._negotiated = negotiated
        self._tasks = tasks
        self._replies: deque[PduHeader] = deque()
        self._solicited: deque[tuple[Command, PduHeader]] = deque()
        self._waiting: deque[Command] = deque()
        self.sent_bytes = 0

    def submit(self, command: Command) -> None:
        """Queue a command until the target's window has room for it."""
        with self._tasks.changed:
            if self._tasks.over:
                command.done.set()
                return
            self._waiting.append(command)
            self._tasks.changed.notify()

    def reply(self, header: PduHeader) -> None:
        """Queue a PDU without data that goes before everything else."""
        with self._tasks.changed:
            self._replies.append(header)
            self._tasks.changed.notify()

    def solicit(self, command: Command, r2t: PduHeader) -> None:
        """Queue the data that an R2T asks for."""
        with self._tasks.changed:
            self._solicited.append((command, r2t))
            self._tasks.changed.notify()

    def waiting(self) -> list[Command]:
        """Commands that have not been begun."""
        return list(self._waiting)

    def loop(self) -> None:
        """Send until the session is over.

        Raises:
            IscsiError: the connection broke, or took nothing for the time limit.
        """
        while True:
            with self._tasks.changed:
                while not (work := self._next()):
                    if self._tasks.over:
                        return
                    self._tasks.changed.wait()
            work()

    def _next(self) -> Callable[[], None] | None:
        """Answers first, then the rest of begun commands, then a new command within the window."""
        if self._tasks.over:
            return None
        if self._replies:
            header = self._replies.popleft()
            return lambda: self._connection.send(header)
        if self._solicited:
            begun, r2t = self._solicited.popleft()
            return lambda: self._send_data(begun, r2t.transfer_tag, r2t.offset, r2t.offset + r2t.length)
        if self._waiting and self._tasks.window_is_open():
            command = self._waiting.popleft()
            cmd_sn = self._tasks.begin(command)
            return lambda: self._send_command(command, cmd_sn)
        return None

    def _send_command(self, command: Command, cmd_sn: int) -> None:
        """The command with its immediate data, and then what may follow unsolicited, up to FirstBurstLength."""
        limits = self._negotiated
        payload = command.write if command.write is not None else memoryview(b"")
        first_burst = min(len(payload), limits.first_burst_bytes)
        immediate = min(first_burst, limits.max_send_segment_bytes) if limits.immediate_data else 0
        unsolicited = immediate if limits.initial_r2t else first_burst
        flags = pdu.SIMPLE_TASK
        flags |= pdu.WRITE if command.write is not None else 0
        flags |= pdu.READ if command.read is not None else 0
        # final: no unsolicited data follows (11.3.1)
        flags |= pdu.FINAL if unsolicited == immediate else 0
        header = pdu.scsi_command(
            command.cdb,
            flags=flags,
            lun=scsi.lun_field(command.lun),
            task_tag=command.task_tag,
            expected_bytes=len(payload) if command.read is None else len(command.read),
            cmd_sn=cmd_sn,
            exp_stat_sn=self._tasks.exp_stat_sn,
            data_bytes=immediate,
        )
        # counted before: on another CPU the receiver may have the status before this thread runs again
        self.sent_bytes += immediate
        self._connection.send(header, payload[:immediate], pdu.extended_cdb(command.cdb))
        if unsolicited > immediate:
            self._send_data(command, RESERVED_TAG, immediate, unsolicited)

    def _send_data(self, command: Command, transfer_tag: int, start: int, end: int) -> None:
        """One burst of Data-Out PDUs, the last marked final."""
        assert command.write is not None
        for data_sn, offset in enumerate(range(start, end, self._negotiated.max_send_segment_bytes)):
            size = min(end - offset, self._negotiated.max_send_segment_bytes)
            header = pdu.data_out(
                lun=scsi.lun_field(command.lun),
                task_tag=command.task_tag,
                transfer_tag=transfer_tag,
                exp_stat_sn=self._tasks.exp_stat_sn,
                data_sn=data_sn,
                offset=offset,
                size=size,
                final=offset + size == end,
            )
            self.sent_bytes += size
            self._connection.send(header, command.write[offset : offset + size])
