"""A logical unit seen through a session: what it is, how large, and its bytes."""

from __future__ import annotations

from collections.abc import Callable

from offloadbench.roles.messages import UnitLogin
from offloadbench.traffic.iscsi import iscsi_connection, scsi
from offloadbench.traffic.iscsi.command import Command
from offloadbench.traffic.iscsi.iscsi_session import LoggedInSession
from offloadbench.traffic.iscsi.login import Identity, login
from offloadbench.traffic.iscsi.pdu import IscsiError

_READ_BYTES = 256 << 10


def open_session(asked: UnitLogin, isid: int, on_failure: Callable[[], None] = lambda: None) -> LoggedInSession:
    """Connect and log in.

    Raises:
        IscsiError: no connection, or the login is refused.
    """
    connected = iscsi_connection.connect(
        asked.address,
        asked.port,
        timeout_s=asked.timeout_s,
        congestion_control=asked.congestion_control,
        send_buffer_bytes=asked.send_buffer_bytes,
        receive_window_bytes=asked.receive_window_bytes,
    )
    link = iscsi_connection.IscsiConnection(connected, asked.timeout_s)
    try:
        identity = Identity(asked.initiator_name, asked.target_name, isid, asked.user, asked.password)
        return LoggedInSession(link, login(link, identity, asked.offers), on_failure)
    except BaseException:
        link.close()
        raise


class Unit:
    """One LUN of a session. Every method but `serial` and `longest_transfer_blocks` raises IscsiError on failure."""

    def __init__(self, session: LoggedInSession, lun: int) -> None:
        self._session = session
        self.lun = lun

    def _read(self, cdb: bytes, size: int, lun: int | None = None) -> tuple[Command, bytearray]:
        data = bytearray(size)
        command = Command(cdb, self.lun if lun is None else lun, read=memoryview(data))
        return self._session.call(command), data

    def require_ready(self) -> None:
        """Wait until it takes commands; where there is no such LUN, say which there are."""
        try:
            self._session.require_ready(self.lun)
        except IscsiError as error:
            luns = self._luns()
            there = f"; LUNs there: {', '.join(map(str, luns))}" if luns and self.lun not in luns else ""
            raise IscsiError(f"LUN {self.lun}: {error.message}{there}", error.hint) from error

    def _luns(self) -> list[int]:
        command, data = self._read(scsi.report_luns(), scsi.LUN_LIST_BYTES, lun=0)
        return scsi.decode_luns(data) if command.status == scsi.GOOD else []

    def product(self) -> str:
        """Vendor, product and revision of a disk; anything else is an IscsiError."""
        command, data = self._read(scsi.inquiry(), scsi.INQUIRY_BYTES)
        if command.status != scsi.GOOD:
            raise IscsiError(f"LUN {self.lun}: INQUIRY: {command.failure()}")
        kind = scsi.decode_device_type(data)
        if kind:
            raise IscsiError(f"LUN {self.lun} is no disk (peripheral device type {kind:#04x})", "name another LUN")
        if kind is None:
            raise IscsiError(f"the target has no LUN {self.lun}", f"LUNs there: {', '.join(map(str, self._luns()))}")
        return scsi.decode_inquiry(data)

    def _page(self, page: int) -> bytearray:
        command, data = self._read(scsi.inquiry_page(page), scsi.VPD_BYTES)
        return data if command.status == scsi.GOOD else bytearray()

    def serial(self) -> str:
        """Its serial number, else its worldwide name; empty where it has neither."""
        return scsi.decode_serial(self._page(scsi.SERIAL_PAGE)) or scsi.decode_identification(
            self._page(scsi.IDENTIFICATION_PAGE)
        )

    def longest_transfer_blocks(self) -> int:
        """Of one command; 0 where the target does not limit it."""
        return scsi.decode_longest_transfer(self._page(scsi.LIMITS_PAGE))

    def capacity(self) -> tuple[int, int]:
        """(blocks, block_bytes)."""
        command, data = self._read(scsi.read_capacity_16(), scsi.CAPACITY_BYTES)
        if command.failure():
            raise IscsiError(f"READ CAPACITY(16): {command.failure()}")
        return scsi.decode_capacity(data)

    def content(self, first_block: int, blocks: int, block_bytes: int, longest_blocks: int) -> bytes:
        """Bytes of the disk, in commands that are no longer than the target takes."""
        step = max(1, min(_READ_BYTES // block_bytes, longest_blocks or blocks))
        parts = []
        for at in range(first_block, first_block + blocks, step):
            count = min(step, first_block + blocks - at)
            command, data = self._read(scsi.read_16(at, count, fua=False), count * block_bytes)
            if command.failure():
                raise IscsiError(f"READ(16) of {count} blocks at {at}: {command.failure()}")
            parts.append(bytes(data))
        return b"".join(parts)
