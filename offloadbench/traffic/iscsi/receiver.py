"""The receiving thread of a session: what the target sends, and what follows from it (RFC 7143, 11)."""

from __future__ import annotations

import threading
from collections.abc import Callable

from offloadbench.traffic.iscsi import pdu
from offloadbench.traffic.iscsi.command import Command, Tasks
from offloadbench.traffic.iscsi.iscsi_connection import IscsiConnection, Pdu, SilentPeer
from offloadbench.traffic.iscsi.login import Negotiated
from offloadbench.traffic.iscsi.pdu import RESERVED_TAG, IscsiError, Opcode, PduHeader, opcode_name
from offloadbench.traffic.iscsi.pdu_sender import Sender

# RFC 7143, 11.17.1
_REJECTIONS = {
    0x02: "data digest error",
    0x03: "SNACK reject",
    0x04: "protocol error",
    0x05: "command not supported",
    0x06: "too many immediate commands",
    0x07: "task in progress",
    0x08: "invalid data ACK",
    0x09: "invalid PDU field",
    0x0A: "out of resources",
    0x0B: "negotiation reset",
    0x0C: "waiting for logout",
}
# RFC 7143, 11.9.1; event 0 is an asynchronous SCSI event and leaves the session as it is
_EVENTS = {
    1: "the target asks for a logout",
    2: "the target is about to drop the connection",
    3: "the target is about to drop all connections",
    4: "the target asks to negotiate anew",
    5: "the target ended all tasks of the logical unit",
}


class Receiver:
    """Takes in PDUs, completes commands, and gives the sender what the target asks for.

    Attributes:
        received_bytes: payload of all Data-In.
        logged_out: set once the target has answered the logout.
    """

    def __init__(self, connection: IscsiConnection, negotiated: Negotiated, tasks: Tasks, sender: Sender) -> None:
        self._connection = connection
        self._negotiated = negotiated
        self._tasks = tasks
        self._sender = sender
        self._ping_tag: int | None = None
        self.received_bytes = 0
        self.logged_out = threading.Event()
        self._handlers: dict[int, Callable[[Pdu], None]] = {
            Opcode.SCSI_RESPONSE: self._on_response,
            Opcode.DATA_IN: self._on_data_in,
            Opcode.R2T: self._on_r2t,
            Opcode.NOP_IN: self._on_nop_in,
            Opcode.LOGOUT_RESPONSE: self._on_logout_response,
            Opcode.ASYNC_MESSAGE: self._on_async_message,
            Opcode.REJECT: self._on_reject,
        }

    def loop(self) -> None:
        """Receive until logged out, or until the session is over.

        Raises:
            IscsiError: the connection ended or stalled, or the target broke the protocol.
        """
        while not (self._tasks.over or self.logged_out.is_set()):
            try:
                received = self._connection.receive(self._place)
            except SilentPeer:
                self._on_silence()
                continue
            handler = self._handlers.get(received.header.opcode)
            if handler is None:
                raise IscsiError(f"the target sent a {opcode_name(received.header.opcode)}, which is not expected")
            self._tasks.take_numbers(received.header)
            handler(received)

    def _on_silence(self) -> None:
        """Nothing for a whole time limit: an error while something is due, otherwise a ping."""
        tasks = self._tasks
        if tasks.outstanding or self._ping_tag is not None:
            what = f"{len(tasks.outstanding)} commands" if tasks.outstanding else "a ping"
            raise IscsiError(
                f"the target gave no answer to {what} within {self._connection.timeout_s:g} s",
                "is the link up, and the target's disk alive?",
            )
        if self._sender.waiting():
            raise IscsiError(f"the target's command window stayed closed for {self._connection.timeout_s:g} s")
        with tasks.changed:
            self._ping_tag = tasks.take_tag()
        self._sender.reply(pdu.nop_out(self._ping_tag, RESERVED_TAG, 0, tasks.cmd_sn, tasks.exp_stat_sn))

    def _place(self, header: PduHeader) -> memoryview | None:
        """Data-In goes straight to where it belongs."""
        if header.opcode != Opcode.DATA_IN:
            return None
        command = self._tasks.find(header)
        end = header.offset + header.data_bytes
        if command.read is None or end > len(command.read):
            raise IscsiError(f"Data-In up to byte {end} for a command that reads {len(command.read or b'')}")
        if header.sequence != command.next_data_sn:
            raise IscsiError(f"Data-In has DataSN {header.sequence}; {command.next_data_sn} is next")
        return command.read[header.offset : end]

    def _on_data_in(self, received: Pdu) -> None:
        header = received.header
        command = self._tasks.find(header)
        command.next_data_sn += 1
        command.received_bytes += header.data_bytes
        self.received_bytes += header.data_bytes
        if header.flags & pdu.STATUS:
            self._complete(command, header)

    def _on_response(self, received: Pdu) -> None:
        header = received.header
        command = self._tasks.find(header)
        # 0: completed at the target; anything else is a failure of the target itself (11.4.3)
        if header.response:
            raise IscsiError(f"the target failed inside a command (response {header.response:#04x})")
        command.sense = bytes(received.data)
        self._complete(command, header)

    def _complete(self, command: Command, header: PduHeader) -> None:
        command.status, command.residual = header.status, header.residual
        with self._tasks.changed:
            del self._tasks.outstanding[command.task_tag]
        command.done.set()
        if command.on_done:
            command.on_done(command)

    def _on_r2t(self, received: Pdu) -> None:
        header = received.header
        command = self._tasks.find(header)
        end = header.offset + header.length
        if command.write is None or end > len(command.write):
            raise IscsiError(f"an R2T asks for bytes up to {end}; its command writes {len(command.write or b'')}")
        if not 0 < header.length <= self._negotiated.max_burst_bytes:
            raise IscsiError(
                f"an R2T asks for {header.length} bytes; MaxBurstLength is {self._negotiated.max_burst_bytes}"
            )
        if header.sequence != command.next_r2t_sn:
            raise IscsiError(f"an R2T has R2TSN {header.sequence}; {command.next_r2t_sn} is next")
        command.next_r2t_sn += 1
        self._sender.solicit(command, header)

    def _on_nop_in(self, received: Pdu) -> None:
        header, tasks = received.header, self._tasks
        if header.task_tag != RESERVED_TAG:
            if header.task_tag != self._ping_tag:
                raise IscsiError(f"the target answers ping {header.task_tag:#x}, which was not sent")
            self._ping_tag = None
        elif header.transfer_tag != RESERVED_TAG:
            self._sender.reply(
                pdu.nop_out(RESERVED_TAG, header.transfer_tag, header.lun, tasks.cmd_sn, tasks.exp_stat_sn)
            )

    def _on_logout_response(self, received: Pdu) -> None:
        if received.header.response:
            raise IscsiError(f"the target refused the logout (response {received.header.response:#04x})")
        self.logged_out.set()

    def _on_async_message(self, received: Pdu) -> None:
        event = received.header.sequence >> 24
        if event:
            raise IscsiError(_EVENTS.get(event, f"the target sent asynchronous event {event}"))

    def _on_reject(self, received: Pdu) -> None:
        reason = received.header.response
        words = _REJECTIONS.get(reason, f"reason {reason:#04x}")
        # the data segment is the header that was rejected (11.17)
        rejected = opcode_name(received.data[0] & 0x3F) if len(received.data) else "PDU"
        raise IscsiError(f"the target rejected our {rejected}: {words}")
