"""The full feature phase of a session with one connection (RFC 7143, 4 and 11), error recovery level 0.

Two threads: one sends, and sleeps in the kernel while the send buffer is full; one receives. Commands wait in a queue
until the target's command window has room for them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from offloadbench.traffic.iscsi import pdu, scsi
from offloadbench.traffic.iscsi.connection import Connection, Pdu, Silence
from offloadbench.traffic.iscsi.login import Negotiated
from offloadbench.traffic.iscsi.pdu import RESERVED_TAG, Header, IscsiError, Opcode, opcode_name

_UINT32 = 0xFFFFFFFF
_MAX_UNIT_ATTENTIONS = 10
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


def after(a: int, b: int) -> bool:
    """Whether sequence number a lies after b (RFC 1982, 32 bits)."""
    return 0 < (a - b) & _UINT32 < 1 << 31


@dataclass(slots=True, eq=False)
class Command:
    """A SCSI command on its way.

    Attributes:
        write, read: payload to send, or where to put what comes; at most one of them.
        on_done: called by the receiving thread once the status is there.
        submitted_ns: for whoever times it.
        status, residual, sense: the outcome; `sense` is the data segment of the response.
    """

    cdb: bytes
    lun: int
    write: memoryview | None = None
    read: memoryview | None = None
    on_done: Callable[[Command], None] | None = None
    submitted_ns: int = 0
    task_tag: int = RESERVED_TAG
    received_bytes: int = 0
    next_data_sn: int = 0
    next_r2t_sn: int = 0
    status: int = -1
    residual: int = 0
    sense: bytes = b""
    done: threading.Event = field(default_factory=threading.Event)

    def failure(self) -> str:
        """What went wrong, in words; empty when the status is GOOD and everything was moved."""
        if self.status != scsi.GOOD:
            return scsi.describe_failure(self.status, self.sense)
        if self.residual:
            return f"GOOD, but {abs(self.residual)} bytes were {'not moved' if self.residual > 0 else 'too many'}"
        if self.read is not None and self.received_bytes != len(self.read):
            return f"GOOD, but {self.received_bytes} of {len(self.read)} bytes came"
        return ""


class Session:
    """A logged-in session.

    Args:
        on_failure: called once, by whichever thread meets the failure; `failure` says what it was.

    Attributes:
        sent_bytes, received_bytes: payload of all commands as handed to and taken from the socket.
    """

    def __init__(
        self, connection: Connection, negotiated: Negotiated, on_failure: Callable[[], None] = lambda: None
    ) -> None:
        self.connection = connection
        self.negotiated = negotiated
        self.failure: IscsiError | None = None
        self.sent_bytes = 0
        self.received_bytes = 0
        self._on_failure = on_failure
        self._work = threading.Condition()
        self._replies: deque[Header] = deque()
        self._solicited: deque[tuple[Command, Header]] = deque()
        self._waiting: deque[Command] = deque()
        self._outstanding: dict[int, Command] = {}
        self._cmd_sn = negotiated.cmd_sn
        self._max_cmd_sn = negotiated.max_cmd_sn
        self._exp_cmd_sn = negotiated.cmd_sn
        self._exp_stat_sn = negotiated.exp_stat_sn
        self._next_tag = 1
        self._ping_tag: int | None = None
        self._ended = False
        self._logged_out = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(loop,), name=name, daemon=True)
            for name, loop in (("iscsi-send", self._send_loop), ("iscsi-receive", self._receive_loop))
        ]
        for thread in self._threads:
            thread.start()

    # ------------------------------------------------------------ for the owner

    def submit(self, command: Command) -> None:
        """Queue a command; it is sent as soon as the target's window allows."""
        with self._work:
            if self.failure:
                command.done.set()
                return
            self._waiting.append(command)
            self._work.notify()

    def call(self, command: Command) -> Command:
        """Submit and wait for the status.

        Raises:
            IscsiError: the session failed.
        """
        self.submit(command)
        # the receiving thread watches the time
        command.done.wait()
        if self.failure and command.status < 0:
            raise self.failure
        return command

    def require_ready(self, lun: int) -> None:
        """TEST UNIT READY until it is: a new session is met by unit attentions (SAM-5, 5.14).

        Raises:
            IscsiError: the unit says something else, or has no end of them.
        """
        for _ in range(_MAX_UNIT_ATTENTIONS):
            command = self.call(Command(scsi.test_unit_ready(), lun))
            if command.status == scsi.GOOD:
                return
            if scsi.sense_of(command.sense)[0] != scsi.UNIT_ATTENTION:
                break
        raise IscsiError(f"TEST UNIT READY: {command.failure()}")

    def logout(self) -> None:
        """Close the session in order; nothing may be outstanding.

        Raises:
            IscsiError: the session failed instead.
        """
        with self._work:
            tag = self._take_tag()
            self._replies.append(pdu.logout_request(tag, self._cmd_sn, self._exp_stat_sn))
            self._work.notify()
        self._logged_out.wait()
        if self.failure:
            raise self.failure
        self.close()

    def fail(self, error: IscsiError) -> None:
        """End the session because of an error; the first one counts. Whoever waits is woken."""
        with self._work:
            if self.failure or self._ended:
                return
            self.failure = error
            left = [*self._outstanding.values(), *self._waiting]
            self._work.notify_all()
        self.connection.interrupt()
        for command in left:
            command.done.set()
        self._logged_out.set()
        self._on_failure()

    def close(self) -> None:
        """End both threads and the connection. Safe to call twice."""
        with self._work:
            self._ended = True
            self._work.notify_all()
        self.connection.interrupt()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        self.connection.close()

    def _run(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except IscsiError as error:
            self.fail(error)

    # ------------------------------------------------------------ sending

    def _take_tag(self) -> int:
        while True:
            tag = self._next_tag
            self._next_tag = (tag + 1) % RESERVED_TAG
            if tag not in self._outstanding:
                return tag

    def _send_loop(self) -> None:
        while True:
            with self._work:
                while not (work := self._next_work()):
                    if self._ended or self.failure:
                        return
                    self._work.wait()
            work()

    def _next_work(self) -> Callable[[], None] | None:
        """What to send next: answers first, then the rest of begun commands, then a new one within the window."""
        if self._ended or self.failure:
            return None
        if self._replies:
            reply = self._replies.popleft()
            return lambda: self.connection.send(reply)
        if self._solicited:
            command, r2t = self._solicited.popleft()
            return lambda: self._send_data(command, r2t.transfer_tag, r2t.offset, r2t.offset + r2t.length)
        if self._waiting and not after(self._cmd_sn, self._max_cmd_sn):
            command = self._waiting.popleft()
            command.task_tag = self._take_tag()
            self._outstanding[command.task_tag] = command
            cmd_sn = self._cmd_sn
            self._cmd_sn = (cmd_sn + 1) & _UINT32
            return lambda: self._send_command(command, cmd_sn)
        return None

    def _send_command(self, command: Command, cmd_sn: int) -> None:
        limits = self.negotiated
        payload = command.write if command.write is not None else memoryview(b"")
        first_burst = min(len(payload), limits.first_burst_bytes)
        immediate = min(first_burst, limits.max_send_segment_bytes) if limits.immediate_data else 0
        unsolicited = immediate if limits.initial_r2t else first_burst
        flags = pdu.SIMPLE_TASK
        expected = len(payload)
        if command.write is not None:
            flags |= pdu.WRITE
        if command.read is not None:
            flags |= pdu.READ
            expected = len(command.read)
        if unsolicited == immediate:
            flags |= pdu.FINAL
        header = pdu.scsi_command(
            command.cdb,
            flags=flags,
            lun=command.lun << 48,
            task_tag=command.task_tag,
            expected_bytes=expected,
            cmd_sn=cmd_sn,
            exp_stat_sn=self._exp_stat_sn,
            data_bytes=immediate,
        )
        self.connection.send(header, payload[:immediate])
        self.sent_bytes += immediate
        if unsolicited > immediate:
            self._send_data(command, RESERVED_TAG, immediate, unsolicited)

    def _send_data(self, command: Command, transfer_tag: int, start: int, end: int) -> None:
        """One burst of Data-Out PDUs, the last marked final."""
        assert command.write is not None
        for data_sn, offset in enumerate(range(start, end, self.negotiated.max_send_segment_bytes)):
            size = min(end - offset, self.negotiated.max_send_segment_bytes)
            header = pdu.data_out(
                lun=command.lun << 48,
                task_tag=command.task_tag,
                transfer_tag=transfer_tag,
                exp_stat_sn=self._exp_stat_sn,
                data_sn=data_sn,
                offset=offset,
                size=size,
                final=offset + size == end,
            )
            self.connection.send(header, command.write[offset : offset + size])
            self.sent_bytes += size

    # ------------------------------------------------------------ receiving

    def _receive_loop(self) -> None:
        handlers: dict[int, Callable[[Pdu], None]] = {
            Opcode.SCSI_RESPONSE: self._on_response,
            Opcode.DATA_IN: self._on_data_in,
            Opcode.R2T: self._on_r2t,
            Opcode.NOP_IN: self._on_nop_in,
            Opcode.LOGOUT_RESPONSE: self._on_logout_response,
            Opcode.ASYNC_MESSAGE: self._on_async_message,
            Opcode.REJECT: self._on_reject,
        }
        while not (self._ended or self.failure or self._logged_out.is_set()):
            try:
                received = self.connection.receive(self._place)
            except Silence:
                self._on_silence()
                continue
            handler = handlers.get(received.header.opcode)
            if handler is None:
                raise IscsiError(f"the target sent a {opcode_name(received.header.opcode)}, which is not expected")
            self._take_numbers(received.header)
            handler(received)

    def _on_silence(self) -> None:
        """Nothing for a whole time limit: an error while something is due, otherwise a ping."""
        with self._work:
            if self._outstanding or self._ping_tag is not None or self._replies:
                what = f"{len(self._outstanding)} commands" if self._outstanding else "a ping"
                raise IscsiError(
                    f"the target gave no answer to {what} within {self.connection.timeout_s:.0f} s",
                    "is the link up, and the target's disk alive?",
                )
            self._ping_tag = self._take_tag()
            self._replies.append(pdu.nop_out(self._ping_tag, RESERVED_TAG, 0, self._cmd_sn, self._exp_stat_sn))
            self._work.notify()

    def _take_numbers(self, header: Header) -> None:
        """StatSN must be the next one wherever a PDU has one of its own; the command window only grows (4.2.2)."""
        own = (
            bool(header.flags & pdu.STATUS)
            if header.opcode == Opcode.DATA_IN
            else header.task_tag != RESERVED_TAG
            if header.opcode == Opcode.NOP_IN
            else header.opcode != Opcode.R2T
        )
        if own:
            if header.stat_sn != self._exp_stat_sn:
                raise IscsiError(
                    f"a {opcode_name(header.opcode)} has StatSN {header.stat_sn}; {self._exp_stat_sn} is next"
                )
            self._exp_stat_sn = (header.stat_sn + 1) & _UINT32
        with self._work:
            # a window that ends before it begins is ignored (4.2.2.1)
            if after((header.exp_cmd_sn - 1) & _UINT32, header.max_cmd_sn):
                return
            if after(header.exp_cmd_sn, self._exp_cmd_sn):
                self._exp_cmd_sn = header.exp_cmd_sn
            if after(header.max_cmd_sn, self._max_cmd_sn):
                self._max_cmd_sn = header.max_cmd_sn
                self._work.notify()

    def _find(self, header: Header) -> Command:
        command = self._outstanding.get(header.task_tag)
        if command is None:
            raise IscsiError(f"a {opcode_name(header.opcode)} is for task {header.task_tag:#x}, which does not run")
        return command

    def _place(self, header: Header) -> memoryview | None:
        """Data-In goes straight to where it belongs."""
        if header.opcode != Opcode.DATA_IN:
            return None
        command = self._find(header)
        end = header.offset + header.data_bytes
        if command.read is None or end > len(command.read):
            raise IscsiError(f"Data-In up to byte {end} for a command of {len(command.read or b'')} bytes")
        if header.sequence != command.next_data_sn:
            raise IscsiError(f"Data-In has DataSN {header.sequence}; {command.next_data_sn} is next")
        return command.read[header.offset : end]

    def _on_data_in(self, received: Pdu) -> None:
        header = received.header
        command = self._find(header)
        command.next_data_sn += 1
        command.received_bytes += header.data_bytes
        self.received_bytes += header.data_bytes
        if header.flags & pdu.STATUS:
            self._complete(command, header.status, header.residual)

    def _on_response(self, received: Pdu) -> None:
        header = received.header
        command = self._find(header)
        # 0: completed at the target; anything else is a failure of the target itself (11.4.3)
        if header.response:
            raise IscsiError(f"the target failed inside a command (response {header.response:#04x})")
        command.sense = bytes(received.data)
        self._complete(command, header.status, header.residual)

    def _complete(self, command: Command, status: int, residual: int) -> None:
        command.status, command.residual = status, residual
        with self._work:
            del self._outstanding[command.task_tag]
        command.done.set()
        if command.on_done:
            command.on_done(command)

    def _on_r2t(self, received: Pdu) -> None:
        header = received.header
        command = self._find(header)
        if command.write is None or header.offset + header.length > len(command.write):
            raise IscsiError(
                f"an R2T asks for bytes up to {header.offset + header.length}; "
                f"its command writes {len(command.write or b'')}"
            )
        if not 0 < header.length <= self.negotiated.max_burst_bytes:
            raise IscsiError(
                f"an R2T asks for {header.length} bytes; MaxBurstLength is {self.negotiated.max_burst_bytes}"
            )
        if header.sequence != command.next_r2t_sn:
            raise IscsiError(f"an R2T has R2TSN {header.sequence}; {command.next_r2t_sn} is next")
        command.next_r2t_sn += 1
        with self._work:
            self._solicited.append((command, header))
            self._work.notify()

    def _on_nop_in(self, received: Pdu) -> None:
        header = received.header
        with self._work:
            if header.task_tag != RESERVED_TAG:
                if header.task_tag != self._ping_tag:
                    raise IscsiError(f"the target answers ping {header.task_tag:#x}, which was not sent")
                self._ping_tag = None
            elif header.transfer_tag != RESERVED_TAG:
                reply = pdu.nop_out(RESERVED_TAG, header.transfer_tag, header.lun, self._cmd_sn, self._exp_stat_sn)
                self._replies.append(reply)
                self._work.notify()

    def _on_logout_response(self, received: Pdu) -> None:
        if received.header.response:
            raise IscsiError(f"the target refused the logout (response {received.header.response:#04x})")
        self._logged_out.set()

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
