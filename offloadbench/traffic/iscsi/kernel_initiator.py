"""The kernel's initiator under test, as a role (see role.py): open-iscsi logs in, threads write to the disks.

When it ends, in whatever order, it logs out.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from offloadbench.base import comms
from offloadbench.base.errors import OffloadbenchError
from offloadbench.roles.messages import InitiatorReady, OpenInitiator, UnitLogin
from offloadbench.roles.orders import Desk, refusing
from offloadbench.traffic.iscsi import counts, open_iscsi, scsi
from offloadbench.traffic.iscsi.block_load import BlockLoad
from offloadbench.traffic.iscsi.initiator_role import InitiatorRole, in_force
from offloadbench.traffic.iscsi.iscsi_connection import SO_SNDBUFFORCE
from offloadbench.traffic.iscsi.pdu import IscsiError

_HOW = {"Yes": "Yes", "No": "No", "CRC32C": "CRC32C,None", "None": "None"}


def record(offers: dict[str, str], sessions: int) -> dict[str, str]:
    """A node record's settings, named as in iscsid.conf; but for the account's."""
    segment = offers["MaxRecvDataSegmentLength"]
    return {
        # one LUN is asked for afterwards: the kernel is not to look at the others of a target, nor to offer them
        "node.session.scan": "manual",
        "node.session.nr_sessions": str(sessions),
        "node.session.iscsi.InitialR2T": offers["InitialR2T"],
        "node.session.iscsi.ImmediateData": offers["ImmediateData"],
        "node.session.iscsi.MaxBurstLength": offers["MaxBurstLength"],
        "node.session.iscsi.FirstBurstLength": offers["FirstBurstLength"],
        "node.conn[0].iscsi.MaxRecvDataSegmentLength": segment,
        "node.conn[0].iscsi.HeaderDigest": _HOW[offers["HeaderDigest"]],
        "node.conn[0].iscsi.DataDigest": _HOW[offers["DataDigest"]],
    }


def account(asked: UnitLogin) -> dict[str, str]:
    """The settings of a node record that hold who logs in."""
    if not asked.user:
        return {}
    return {
        "node.session.auth.authmethod": "CHAP",
        "node.session.auth.username": asked.user,
        "node.session.auth.password": asked.password,
    }


class KernelInitiator(InitiatorRole):
    """Sessions of the kernel, and the load on their disks."""

    def __init__(self, desk: Desk, order: OpenInitiator) -> None:
        super().__init__(desk, order)
        self._portal = open_iscsi.LoginPortal(
            order.login.target_name, order.login.address, order.login.port, open_iscsi.interface(order.session_name)
        )
        self._open_iscsi: open_iscsi.OpenIscsi | None = None
        self._sockets: list[socket.socket] = []
        self._disk_loads: list[BlockLoad] = []
        self._largest_command_bytes = 0

    @property
    def _loads(self) -> list[BlockLoad]:
        return self._disk_loads

    def open(self) -> None:
        asked, login = self._asked, self._asked.login
        self._open_iscsi = open_iscsi.OpenIscsi()
        settings = record(login.offers, asked.sessions)
        self._open_iscsi.log_in(self._portal, login.initiator_name, settings, account(login))
        self._sockets = self._open_iscsi.connections(self._portal)
        for connection in self._sockets:
            if login.send_buffer_bytes:
                with refusing("send_buffer_bytes", login.send_buffer_bytes):
                    connection.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, login.send_buffer_bytes)
            if login.congestion_control:
                with refusing("congestion_control", login.congestion_control):
                    name = login.congestion_control.encode()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name)
        for disk in open_iscsi.disks(self._portal, login.lun):
            self._check_identity(disk)
            self._largest_command_bytes = open_iscsi.send_whole(disk, asked.transfer_bytes)
            self._disk_loads.append(
                BlockLoad(
                    disk,
                    transfer_bytes=asked.transfer_bytes,
                    queue_depth=asked.queue_depth,
                    start_bytes=asked.start_bytes,
                    bytes_used=asked.lun_bytes,
                    fua=asked.fua,
                    stamped=asked.verify,
                    on_change=self._wake,
                )
            )
        for load in self._loads:
            load.start()

    def _check_identity(self, disk: Path) -> None:
        """Whether the disk is the LUN that was looked at before anything was to be written to it."""
        expected = self._asked.expected
        if not expected:
            return
        size_bytes = open_iscsi.size_bytes(disk)
        serial = scsi.decode_serial(open_iscsi.product_data(disk, "vpd_pg80"))
        named = serial or scsi.decode_identification(open_iscsi.product_data(disk, "vpd_pg83"))
        if (named, size_bytes) != (expected.serial, expected.size_bytes):
            raise IscsiError(f"{disk} is not the LUN that was looked at before", "nothing was written to it")

    def _check(self) -> None:
        for load in self._loads:
            if load.failure:
                raise IscsiError(load.failure, "see dmesg, and the target's log")

    def _drained(self) -> bool:
        # a thread that has told of its end may not have ended yet, and will not tell again
        while not all(load.drained for load in self._loads):
            time.sleep(0.001)
        return True

    def _carried_bytes(self) -> tuple[int, int, int]:
        return sum(load.sent_bytes for load in self._loads), 0, 0

    def _tcp_infos(self) -> Iterator[bytes]:
        for connection in self._sockets:
            yield connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, counts.TCP_INFO_BYTES)

    def _settings(self) -> InitiatorReady:
        first = self._sockets[0]
        size = first.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4)
        congestion_control = first.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
        return InitiatorReady(
            *in_force(size, congestion_control),
            negotiated=dict(open_iscsi.negotiated(self._portal)),
            largest_command_bytes=self._largest_command_bytes,
        )

    def _log_out(self) -> None:
        # first out, then close: a write to a target that is gone ends only with its session
        for load in self._loads:
            load.stop()
        for connection in self._sockets:
            connection.close()
        self._sockets = []
        open_iscsi.log_out(self._portal.interface)
        for load in self._loads:
            load.close()
        self._disk_loads = []

    def close(self) -> None:
        try:
            self._log_out()
        finally:
            if self._open_iscsi:
                self._open_iscsi.close()


def main() -> None:
    comms.take(comms.INITIATOR)
    # as if our input had been closed: the kernel's sessions are ended in order
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    desk = Desk(OffloadbenchError, IscsiError)
    with desk.reporting(hint="see dmesg"):
        initiator = KernelInitiator(desk, desk.first(OpenInitiator))
        try:
            with desk.reporting(hint="see dmesg"):
                initiator.open()
                initiator.run()
        finally:
            with contextlib.suppress(OffloadbenchError):
                initiator.close()


if __name__ == "__main__":
    main()
