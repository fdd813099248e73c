"""Protocol data units: the basic header segment, additional header segments, padding and digests (RFC 7143, 11).

A header is twelve 32-bit words. Every PDU of a direction keeps the same thing in the same word wherever it has that
thing at all, so one class with properties reads and writes all of them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from crc32c import crc32c

BHS_BYTES = 48
DIGEST_BYTES = 4
RESERVED_TAG = 0xFFFFFFFF
# the length field of a data segment has 24 bits
MAX_SEGMENT_BYTES = (1 << 24) - 1
IMMEDIATE = 0x40

# flags of byte 1 (11.3.1, 11.7.1, 11.12.3)
FINAL, READ, WRITE, SIMPLE_TASK = 0x80, 0x40, 0x20, 0x01
OVERFLOW, UNDERFLOW, STATUS = 0x04, 0x02, 0x01
TRANSIT, CONTINUE = 0x80, 0x40

_BHS = struct.Struct(">BBHIQ8I")


class IscsiError(Exception):
    """The session cannot go on: one line of what, one of what to do."""

    def __init__(self, message: str, hint: str = "see `dmesg` and the target's log") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Opcode(IntEnum):
    """RFC 7143, 11.2.1.2."""

    NOP_OUT = 0x00
    SCSI_COMMAND = 0x01
    LOGIN_REQUEST = 0x03
    DATA_OUT = 0x05
    LOGOUT_REQUEST = 0x06
    NOP_IN = 0x20
    SCSI_RESPONSE = 0x21
    LOGIN_RESPONSE = 0x23
    DATA_IN = 0x25
    LOGOUT_RESPONSE = 0x26
    R2T = 0x31
    ASYNC_MESSAGE = 0x32
    REJECT = 0x3F


def opcode_name(opcode: int) -> str:
    """`SCSI_RESPONSE` as `SCSI response`, for messages."""
    try:
        words = Opcode(opcode).name.split("_")
    except ValueError:
        return f"opcode {opcode:#04x}"
    return " ".join(word if word in ("SCSI", "R2T", "NOP") else word.lower() for word in words)


@dataclass(frozen=True, slots=True)
class PduHeader:
    """A basic header segment.

    Attributes:
        flags: byte 1.
        code: bytes 2 and 3: versions of a login, response and status, reason of a reject.
        ahs_bytes, data_bytes: lengths of what follows, without padding and digests.
        lun: bytes 8 to 15, LUN or ISID and TSIH.
        words: bytes 20 to 47.
    """

    opcode: int
    immediate: bool = False
    flags: int = 0
    code: int = 0
    ahs_bytes: int = 0
    data_bytes: int = 0
    lun: int = 0
    task_tag: int = RESERVED_TAG
    words: tuple[int, int, int, int, int, int, int] = (0, 0, 0, 0, 0, 0, 0)

    def encode(self) -> bytes:
        return _BHS.pack(
            self.opcode | (IMMEDIATE if self.immediate else 0),
            self.flags,
            self.code,
            self.ahs_bytes // 4 << 24 | self.data_bytes,
            self.lun,
            self.task_tag,
            *self.words,
        )

    @classmethod
    def decode(cls, data: bytes | bytearray | memoryview) -> PduHeader:
        first, flags, code, lengths, lun, task_tag, *words = _BHS.unpack(data)
        return cls(
            opcode=first & 0x3F,
            immediate=bool(first & IMMEDIATE),
            flags=flags,
            code=code,
            ahs_bytes=(lengths >> 24) * 4,
            data_bytes=lengths & MAX_SEGMENT_BYTES,
            lun=lun,
            task_tag=task_tag,
            words=(words[0], words[1], words[2], words[3], words[4], words[5], words[6]),
        )

    @property
    def response(self) -> int:
        """Byte 2: response of a command or a logout, reason of a reject."""
        return self.code >> 8

    @property
    def status(self) -> int:
        """Byte 3: SCSI status."""
        return self.code & 0xFF

    @property
    def transfer_tag(self) -> int:
        """Target transfer tag; of a SCSI command the expected length."""
        return self.words[0]

    @property
    def stat_sn(self) -> int:
        """StatSN from the target, CmdSN from the initiator."""
        return self.words[1]

    @property
    def exp_cmd_sn(self) -> int:
        """ExpCmdSN from the target, ExpStatSN from the initiator."""
        return self.words[2]

    @property
    def max_cmd_sn(self) -> int:
        return self.words[3]

    @property
    def sequence(self) -> int:
        """DataSN or R2TSN; status class and detail of a login, event of an asynchronous message: its first bytes."""
        return self.words[4]

    @property
    def offset(self) -> int:
        """Buffer offset."""
        return self.words[5]

    @property
    def length(self) -> int:
        """Desired length of an R2T, residual count of a response."""
        return self.words[6]

    @property
    def residual(self) -> int:
        """Bytes that were not moved; negative for those that would not fit (11.4.5.2)."""
        return self.length if self.flags & UNDERFLOW else -self.length if self.flags & OVERFLOW else 0


_AHS_EXTENDED_CDB = 1


def scsi_command(
    cdb: bytes,
    *,
    flags: int,
    lun: int,
    task_tag: int,
    expected_bytes: int,
    cmd_sn: int,
    exp_stat_sn: int,
    data_bytes: int = 0,
) -> PduHeader:
    """A SCSI command with immediate data of `data_bytes` (11.3); what is beyond 16 bytes of CDB is its AHS."""
    words = struct.unpack(">4I", cdb[:16].ljust(16, b"\0"))
    return PduHeader(
        Opcode.SCSI_COMMAND,
        flags=flags,
        ahs_bytes=len(extended_cdb(cdb)),
        data_bytes=data_bytes,
        lun=lun,
        task_tag=task_tag,
        words=(expected_bytes, cmd_sn, exp_stat_sn, *words),
    )


def data_out(
    *,
    lun: int,
    task_tag: int,
    transfer_tag: int,
    exp_stat_sn: int,
    data_sn: int,
    offset: int,
    size: int,
    final: bool,
) -> PduHeader:
    """Data for a command; unsolicited data bears the reserved transfer tag (11.7)."""
    return PduHeader(
        Opcode.DATA_OUT,
        flags=FINAL if final else 0,
        data_bytes=size,
        lun=lun,
        task_tag=task_tag,
        words=(transfer_tag, 0, exp_stat_sn, 0, data_sn, offset, 0),
    )


def nop_out(task_tag: int, transfer_tag: int, lun: int, cmd_sn: int, exp_stat_sn: int) -> PduHeader:
    """A ping (with a task tag) or the answer to the target's (with its transfer tag); immediate (11.18)."""
    return PduHeader(
        Opcode.NOP_OUT,
        immediate=True,
        flags=FINAL,
        lun=lun,
        task_tag=task_tag,
        words=(transfer_tag, cmd_sn, exp_stat_sn, 0, 0, 0, 0),
    )


def logout_request(task_tag: int, cmd_sn: int, exp_stat_sn: int) -> PduHeader:
    """Close the session; immediate (11.14)."""
    return PduHeader(
        Opcode.LOGOUT_REQUEST,
        immediate=True,
        flags=FINAL,
        task_tag=task_tag,
        words=(0, cmd_sn, exp_stat_sn, 0, 0, 0, 0),
    )


def padding_bytes(size: int) -> int:
    """Segments end on a four-byte boundary (11.1)."""
    return -size % 4


def digest(*parts: bytes | bytearray | memoryview) -> bytes:
    """CRC32C over the parts one after the other, as it stands on the wire (13.1).

    The library gives the GIL back for long parts.
    """
    value = 0
    for part in parts:
        value = crc32c(part, value)
    return value.to_bytes(4, "little")


def extended_cdb(cdb: bytes) -> bytes:
    """The additional header segment for a CDB of more than 16 bytes, else nothing (11.2.2.3)."""
    return encode_ahs([(_AHS_EXTENDED_CDB, b"\0" + cdb[16:])]) if len(cdb) > 16 else b""


def encode_ahs(segments: list[tuple[int, bytes]]) -> bytes:
    """Additional header segments from (type, specific part): 1 extended CDB, 2 bidirectional read length (11.2.2)."""
    encoded = b""
    for kind, specific in segments:
        encoded += struct.pack(">HB", len(specific), kind) + specific
        encoded += bytes(padding_bytes(len(encoded)))
    return encoded


def decode_ahs(data: bytes) -> list[tuple[int, bytes]]:
    """The inverse of `encode_ahs`.

    Raises:
        IscsiError: a length does not fit.
    """
    segments = []
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise IscsiError("an additional header segment is cut short")
        size, kind = struct.unpack_from(">HB", data, at)
        end = at + 3 + size
        if end > len(data):
            raise IscsiError("an additional header segment is longer than its PDU")
        segments.append((kind, data[at + 3 : end]))
        at = end + padding_bytes(end)
    return segments
