"""The few SCSI commands that the load needs, and sense data as words (SPC-4, SBC-3)."""

from __future__ import annotations

import struct

GOOD, CHECK_CONDITION = 0x00, 0x02
ILLEGAL_REQUEST, UNIT_ATTENTION = 0x05, 0x06
# what an INQUIRY of 36 bytes returns is the same for all devices
INQUIRY_BYTES, CAPACITY_BYTES = 36, 32
# of the longest page of vital product data that is read here, and of a list of LUNs
VPD_BYTES, LUN_LIST_BYTES = 252, 2056
SERIAL_PAGE, IDENTIFICATION_PAGE, LIMITS_PAGE = 0x80, 0x83, 0xB0
# single level addressing ends there (SAM-5, 4.7.7)
LUNS = 1 << 14
_FLAT_ADDRESSING = 0x4000
_FUA = 0x08

_STATUSES = {
    0x02: "CHECK CONDITION",
    0x04: "CONDITION MET",
    0x08: "BUSY",
    0x18: "RESERVATION CONFLICT",
    0x28: "TASK SET FULL",
    0x30: "ACA ACTIVE",
    0x40: "TASK ABORTED",
}
_SENSE_KEYS = (
    "no sense",
    "recovered error",
    "not ready",
    "medium error",
    "hardware error",
    "illegal request",
    "unit attention",
    "data protect",
    "blank check",
    "vendor specific",
    "copy aborted",
    "aborted command",
    "reserved",
    "volume overflow",
    "miscompare",
    "completed",
)
# additional sense code and qualifier (SPC-4, annex E), those that a disk says
_ADDITIONAL = {
    0x0000: "no additional sense information",
    0x0401: "becoming ready",
    0x0C00: "write error",
    0x1100: "unrecovered read error",
    0x2000: "invalid command operation code",
    0x2100: "logical block address out of range",
    0x2400: "invalid field in CDB",
    0x2500: "logical unit not supported",
    0x2700: "write protected",
    0x2707: "space allocation failed: write protect",
    0x2900: "power on, reset, or bus device reset occurred",
    0x2A09: "capacity data has changed",
    0x3A00: "medium not present",
    0x3E01: "logical unit failure",
    0x3F0E: "reported LUNs data has changed",
    0x4400: "internal target failure",
}


def write_16(first_block: int, blocks: int, *, fua: bool) -> bytes:
    """WRITE(16); with `fua` the data is on the medium before the status (SBC-3, 5.36)."""
    return struct.pack(">BBQIBB", 0x8A, _FUA if fua else 0, first_block, blocks, 0, 0)


def read_16(first_block: int, blocks: int, *, fua: bool) -> bytes:
    """READ(16); with `fua` from the medium, not from a cache (SBC-3, 5.16)."""
    return struct.pack(">BBQIBB", 0x88, _FUA if fua else 0, first_block, blocks, 0, 0)


def read_capacity_16() -> bytes:
    """SERVICE ACTION IN(16), READ CAPACITY(16) (SBC-3, 5.15)."""
    return struct.pack(">BBQIBB", 0x9E, 0x10, 0, CAPACITY_BYTES, 0, 0)


def inquiry() -> bytes:
    """Standard INQUIRY (SPC-4, 6.6)."""
    return struct.pack(">BBBHB", 0x12, 0, 0, INQUIRY_BYTES, 0)


def inquiry_page(page: int) -> bytes:
    """INQUIRY for a page of vital product data (SPC-4, 7.8)."""
    return struct.pack(">BBBHB", 0x12, 1, page, VPD_BYTES, 0)


def report_luns() -> bytes:
    """REPORT LUNS (SPC-4, 6.33)."""
    return struct.pack(">BxBxxxIxx", 0xA0, 0, LUN_LIST_BYTES)


def test_unit_ready() -> bytes:
    """TEST UNIT READY (SPC-4, 6.47): moves no data, and takes up a waiting unit attention."""
    return bytes(6)


def decode_capacity(data: bytes | bytearray) -> tuple[int, int]:
    """(blocks, block_bytes) from the answer to READ CAPACITY(16), which names the last block."""
    last_block, block_bytes = struct.unpack_from(">QI", data)
    return last_block + 1, block_bytes


def lun_field(lun: int) -> int:
    """The eight bytes that address a LUN: by its number up to 255, flat beyond (SAM-5, 4.7.7)."""
    return (lun if lun < 256 else _FLAT_ADDRESSING | lun) << 48


def decode_luns(data: bytes | bytearray) -> list[int]:
    """Numbers of the LUNs in the answer to REPORT LUNS, as far as they are of a single level."""
    size = min(int.from_bytes(data[:4], "big"), len(data) - 8)
    words = [int.from_bytes(data[at : at + 2], "big") for at in range(8, 8 + size // 8 * 8, 8)]
    return sorted({word & (_FLAT_ADDRESSING - 1) for word in words if word < 256 or word >> 14 == 1})


def decode_device_type(data: bytes | bytearray) -> int | None:
    """Peripheral device type of an INQUIRY, 0 for a disk; None where no device is connected (SPC-4, 6.6.2)."""
    return data[0] & 0x1F if not data[0] >> 5 else None


def decode_serial(data: bytes | bytearray) -> str:
    """Unit serial number, from its page (SPC-4, 7.8.18)."""
    return _printable(_page(data, SERIAL_PAGE))


def decode_identification(data: bytes | bytearray) -> str:
    """The first NAA or EUI-64 name of the unit itself, in hexadecimal (SPC-4, 7.8.6); empty without."""
    page = _page(data, IDENTIFICATION_PAGE)
    at = 0
    while at + 4 <= len(page):
        of_unit, kind, size = not page[at + 1] & 0x30, page[at + 1] & 0x0F, page[at + 3]
        if of_unit and kind in (2, 3) and at + 4 + size <= len(page):
            return page[at + 4 : at + 4 + size].hex()
        at += 4 + size
    return ""


def decode_longest_transfer(data: bytes | bytearray) -> int:
    """Blocks that one command may move (SBC-3, 6.6.4); 0 where that is not limited or not known."""
    page = _page(data, LIMITS_PAGE)
    return int.from_bytes(page[4:8], "big") if len(page) >= 8 else 0


def _page(data: bytes | bytearray, page: int) -> bytes:
    """A page of vital product data without its header; empty where it is another."""
    return bytes(data[4 : 4 + int.from_bytes(data[2:4], "big")]) if len(data) > 4 and data[1] == page else b""


def _printable(text: bytes) -> str:
    return "".join(one for one in text.decode("ascii", "replace") if one.isprintable()).strip()


def decode_inquiry(data: bytes | bytearray) -> str:
    """Vendor, product and revision as one text."""
    return " ".join(_printable(bytes(data[start:end])) for start, end in _INQUIRY_TEXTS)


_INQUIRY_TEXTS = ((8, 16), (16, 32), (32, 36))


def sense_of(data: bytes | bytearray | memoryview) -> tuple[int, int]:
    """(sense key, additional code << 8 | qualifier) of the data segment of a SCSI response.

    The segment begins with the length of the sense data (RFC 7143, 11.4.7.2); fixed format has response codes 0x70
    and 0x71, descriptor format 0x72 and 0x73 (SPC-4, 4.5). (0, 0) where there is none.
    """
    sense = bytes(data[2 : 2 + int.from_bytes(data[:2], "big")])
    if len(sense) >= 14 and sense[0] & 0x7F in (0x70, 0x71):
        return sense[2] & 0x0F, sense[12] << 8 | sense[13]
    if len(sense) >= 4 and sense[0] & 0x7F in (0x72, 0x73):
        return sense[1] & 0x0F, sense[2] << 8 | sense[3]
    return 0, 0


def describe_failure(status: int, data: bytes | bytearray | memoryview) -> str:
    """`CHECK CONDITION: medium error, write error (0c/00)`."""
    name = _STATUSES.get(status, f"status {status:#04x}")
    if status != CHECK_CONDITION:
        return name
    key, additional = sense_of(data)
    code = f"{additional >> 8:02x}/{additional & 0xFF:02x}"
    words = _ADDITIONAL.get(additional)
    return f"{name}: {_SENSE_KEYS[key]}, " + (f"{words} ({code})" if words else f"additional sense code {code}")
