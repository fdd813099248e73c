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
from typing import Any

from offloadbench.base import comms
from offloadbench.base.errors import OffloadbenchError
from offloadbench.roles.orders import answer, read_configuration
from offloadbench.traffic.iscsi import counts, open_iscsi, scsi
from offloadbench.traffic.iscsi.block_load import BlockLoad
from offloadbench.traffic.iscsi.initiator_role import InitiatorRole, in_force
from offloadbench.traffic.iscsi.iscsi_connection import SO_SNDBUFFORCE
from offloadbench.traffic.iscsi.pdu import IscsiError

_HOW = {"Yes": "Yes", "No": "No", "CRC32C": "CRC32C,None", "None": "None"}


def record(config: dict[str, Any]) -> dict[str, str]:
    """A node record's settings from a role's configuration, named as in iscsid.conf; but for the account's."""
    offers = config["offers"]
    segment = offers["MaxRecvDataSegmentLength"]
    return {
        # one LUN is asked for afterwards: the kernel is not to look at the others of a target, nor to offer them
        "node.session.scan": "manual",
        "node.session.nr_sessions": str(config["sessions"]),
        "node.session.iscsi.InitialR2T": offers["InitialR2T"],
        "node.session.iscsi.ImmediateData": offers["ImmediateData"],
        "node.session.iscsi.MaxBurstLength": offers["MaxBurstLength"],
        "node.session.iscsi.FirstBurstLength": offers["FirstBurstLength"],
        "node.conn[0].iscsi.MaxRecvDataSegmentLength": segment,
        "node.conn[0].iscsi.HeaderDigest": _HOW[offers["HeaderDigest"]],
        "node.conn[0].iscsi.DataDigest": _HOW[offers["DataDigest"]],
    }


def account(config: dict[str, Any]) -> dict[str, str]:
    """The settings of a node record that hold who logs in."""
    if not config["user"]:
        return {}
    return {
        "node.session.auth.authmethod": "CHAP",
        "node.session.auth.username": config["user"],
        "node.session.auth.password": config["password"],
    }


class KernelInitiator(InitiatorRole):
    """Sessions of the kernel, and the load on their disks."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self._portal = open_iscsi.LoginPortal(
            config["target_name"], config["address"], config["port"], open_iscsi.interface(config["session_name"])
        )
        self._open_iscsi: open_iscsi.OpenIscsi | None = None
        self._sockets: list[socket.socket] = []
        self._disk_loads: list[BlockLoad] = []
        self._largest_command_bytes = 0

    @property
    def _loads(self) -> list[BlockLoad]:
        return self._disk_loads

    def open(self) -> None:
        config = self._config
        self._open_iscsi = open_iscsi.OpenIscsi()
        self._open_iscsi.log_in(self._portal, config["initiator_name"], record(config), account(config))
        self._sockets = self._open_iscsi.connections(self._portal)
        for connection in self._sockets:
            if config["send_buffer_bytes"]:
                connection.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, config["send_buffer_bytes"])
            if config["congestion_control"]:
                name = config["congestion_control"].encode()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name)
        for disk in open_iscsi.disks(self._portal, config["lun"]):
            self._check_identity(disk)
            self._largest_command_bytes = open_iscsi.send_whole(disk, config["transfer_bytes"])
            self._disk_loads.append(
                BlockLoad(
                    disk,
                    transfer_bytes=config["transfer_bytes"],
                    queue_depth=config["queue_depth"],
                    start_bytes=config["start_bytes"],
                    bytes_used=config["lun_bytes"],
                    fua=config["fua"],
                    stamped=config["verify"],
                    on_change=self._wake,
                )
            )
        for load in self._loads:
            load.start()

    def _check_identity(self, disk: Path) -> None:
        """Whether the disk is the LUN that was looked at before anything was to be written to it."""
        expected = self._config["expected"]
        if not expected:
            return
        size_bytes = open_iscsi.size_bytes(disk)
        serial = scsi.decode_serial(open_iscsi.product_data(disk, "vpd_pg80"))
        named = serial or scsi.decode_identification(open_iscsi.product_data(disk, "vpd_pg83"))
        if (named, size_bytes) != (expected["serial"], expected["size_bytes"]):
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

    def _carried(self) -> dict[str, int]:
        return {"sent_bytes": sum(load.sent_bytes for load in self._loads), "received_bytes": 0, "set_up_bytes": 0}

    def _tcp_infos(self) -> Iterator[bytes]:
        for connection in self._sockets:
            yield connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, counts.TCP_INFO_BYTES)

    def _settings(self) -> dict[str, Any]:
        first = self._sockets[0]
        size = first.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4)
        congestion_control = first.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
        return in_force(size, congestion_control) | {
            "largest_command_bytes": self._largest_command_bytes,
            "negotiated": open_iscsi.negotiated(self._portal),
        }

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
    initiator = KernelInitiator(read_configuration())
    try:
        initiator.open()
        initiator.run()
    except (OffloadbenchError, IscsiError) as error:
        answer({"event": "error", "message": error.message, "hint": error.hint})
    except OSError as error:
        answer({"event": "error", "message": str(error), "hint": "see dmesg"})
    finally:
        with contextlib.suppress(OffloadbenchError):
            initiator.close()


if __name__ == "__main__":
    main()
