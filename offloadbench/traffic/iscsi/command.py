"""Commands on their way, and the numbers that tell them apart and put them in order (RFC 7143, 4.2.2)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from offloadbench.traffic.iscsi import pdu, scsi
from offloadbench.traffic.iscsi.login import Negotiated
from offloadbench.traffic.iscsi.pdu import RESERVED_TAG, IscsiError, Opcode, PduHeader, opcode_name

_UINT32 = 0xFFFFFFFF


def after(a: int, b: int) -> bool:
    """Whether sequence number a lies after b (RFC 1982, 32 bits)."""
    return 0 < (a - b) & _UINT32 < 1 << 31


@dataclass(slots=True, eq=False)
class Command:
    """A SCSI command on its way.

    Attributes:
        write, read: payload to send, or where to put what comes; at most one of them.
        on_done: called by the receiving thread once the status is there; an IscsiError from it ends the session.
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


class Tasks:
    """What the sending and the receiving thread share.

    Attributes:
        changed: guards everything here and in the sender's queues, and tells the sender that there may be work.
        over: the session has ended or failed: no thread goes on.
    """

    def __init__(self, negotiated: Negotiated) -> None:
        self.changed = threading.Condition()
        self.over = False
        self.outstanding: dict[int, Command] = {}
        self.cmd_sn = negotiated.cmd_sn
        self.exp_stat_sn = negotiated.exp_stat_sn
        self._exp_cmd_sn = negotiated.cmd_sn
        self._max_cmd_sn = negotiated.max_cmd_sn
        self._next_tag = 1

    def take_tag(self) -> int:
        """A task tag that no running command has."""
        while True:
            tag = self._next_tag
            self._next_tag = (tag + 1) % RESERVED_TAG
            if tag not in self.outstanding:
                return tag

    def window_is_open(self) -> bool:
        """Whether the target takes one more command."""
        return not after(self.cmd_sn, self._max_cmd_sn)

    def begin(self, command: Command) -> int:
        """Give a command its tag, and return its CmdSN."""
        command.task_tag = self.take_tag()
        self.outstanding[command.task_tag] = command
        cmd_sn = self.cmd_sn
        self.cmd_sn = (cmd_sn + 1) & _UINT32
        return cmd_sn

    def find(self, header: PduHeader) -> Command:
        command = self.outstanding.get(header.task_tag)
        if command is None:
            raise IscsiError(f"a {opcode_name(header.opcode)} is for task {header.task_tag:#x}, which does not run")
        return command

    def take_numbers(self, header: PduHeader) -> None:
        """Take in the numbers of a PDU from the target.

        Raises:
            IscsiError: a StatSN is missing; at error recovery level 0 that ends the session.
        """
        if _has_stat_sn_of_its_own(header):
            if header.stat_sn != self.exp_stat_sn:
                raise IscsiError(
                    f"a {opcode_name(header.opcode)} has StatSN {header.stat_sn}; {self.exp_stat_sn} is next"
                )
            self.exp_stat_sn = (header.stat_sn + 1) & _UINT32
        with self.changed:
            # a window that ends before it begins is ignored, and no window shrinks (4.2.2.1)
            if after((header.exp_cmd_sn - 1) & _UINT32, header.max_cmd_sn):
                return
            if after(header.exp_cmd_sn, self._exp_cmd_sn):
                self._exp_cmd_sn = header.exp_cmd_sn
            if after(header.max_cmd_sn, self._max_cmd_sn):
                self._max_cmd_sn = header.max_cmd_sn
                self.changed.notify()


def _has_stat_sn_of_its_own(header: PduHeader) -> bool:
    """Other PDUs repeat the next StatSN without using it up (4.2.2.2)."""
    if header.opcode == Opcode.DATA_IN:
        return bool(header.flags & pdu.STATUS)
    if header.opcode == Opcode.NOP_IN:
        return header.task_tag != RESERVED_TAG
    return header.opcode != Opcode.R2T
