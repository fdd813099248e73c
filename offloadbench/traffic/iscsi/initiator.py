"""The tool's own iSCSI initiator under test, as a role (see role.py): one process, two threads a session."""

from __future__ import annotations

import json
import secrets
import socket
import sys
from collections.abc import Iterator
from typing import Any

from offloadbench import comms
from offloadbench.traffic.iscsi import connection, counts, scsi
from offloadbench.traffic.iscsi.command import Command
from offloadbench.traffic.iscsi.load import Load, Shape
from offloadbench.traffic.iscsi.login import Identity, login
from offloadbench.traffic.iscsi.pdu import IscsiError
from offloadbench.traffic.iscsi.role import InitiatorRole, in_force
from offloadbench.traffic.iscsi.session import Session
from offloadbench.traffic.orders import answer

LUN = 1


class Initiator(InitiatorRole):
    """Sessions of our own."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self._sessions: list[Session] = []
        self._session_loads: list[Load] = []
        self._product = ""
        self._set_up_bytes = 0

    @property
    def _loads(self) -> list[Load]:
        return self._session_loads

    def open(self) -> None:
        # 48 bits in the random format (RFC 7143, 11.12.5); the last 16 tell the sessions apart
        isid = 0x80 << 40 | secrets.randbits(24) << 16
        for number in range(self._config["sessions"]):
            try:
                self._open_session(number, isid | number)
            except IscsiError as error:
                raise IscsiError(f"session {number + 1}: {error.message}", error.hint) from error
        self._set_up_bytes = sum(session.received_bytes for session in self._sessions)
        for load in self._loads:
            load.start()

    def _open_session(self, number: int, isid: int) -> None:
        config = self._config
        timeout_s = float(config["timeout_s"])
        connected = connection.connect(
            config["address"],
            config["port"],
            timeout_s=timeout_s,
            congestion_control=config["congestion_control"],
            send_buffer_bytes=config["send_buffer_bytes"],
            receive_window_bytes=config["receive_window_bytes"],
        )
        link = connection.Connection(connected, timeout_s)
        try:
            identity = Identity(
                config["initiator_name"], config["target_name"], isid, config["user"], config["password"]
            )
            negotiated = login(link, identity, config["offers"])
        except BaseException:
            link.close()
            raise
        session = Session(link, negotiated, self._wake)
        self._sessions.append(session)
        session.require_ready(LUN)
        inquiry = bytearray(scsi.INQUIRY_BYTES)
        session.call(Command(scsi.inquiry(), LUN, read=memoryview(inquiry)))
        self._product = scsi.decode_inquiry(inquiry)
        capacity = bytearray(scsi.CAPACITY_BYTES)
        command = session.call(Command(scsi.read_capacity_16(), LUN, read=memoryview(capacity)))
        if command.failure():
            raise IscsiError(f"READ CAPACITY(16): {command.failure()}")
        blocks, block_bytes = scsi.decode_capacity(capacity)
        self._session_loads.append(self._load_of(session, number, blocks, block_bytes))

    def _load_of(self, session: Session, number: int, blocks: int, block_bytes: int) -> Load:
        """Each session has a part of the LUN of its own."""
        config = self._config
        shape = Shape(
            LUN,
            config["operation"] == "write",
            config["transfer_bytes"],
            config["queue_depth"],
            config["fua"],
            config["verify"],
        )
        if shape.transfer_bytes % block_bytes:
            raise IscsiError(f"the LUN has blocks of {block_bytes} bytes; {shape.transfer_bytes} is no multiple")
        lun_bytes = min(blocks * block_bytes, config["lun_bytes"])
        transfers = lun_bytes // config["sessions"] // shape.transfer_bytes
        # two commands on the same blocks at once would leave it open which is the last
        if transfers < shape.queue_depth:
            raise IscsiError(
                f"the LUN has {lun_bytes} bytes: too few for {config['sessions']} sessions with "
                f"{shape.queue_depth} commands of {shape.transfer_bytes} bytes",
                "use a larger lun_size",
            )
        first_block = number * transfers * (shape.transfer_bytes // block_bytes)
        return Load(
            session,
            shape,
            first_block=first_block,
            block_bytes=block_bytes,
            transfers=transfers,
            on_change=self._wake,
        )

    def _check(self) -> None:
        for number, session in enumerate(self._sessions):
            if session.failure:
                raise IscsiError(f"session {number + 1}: {session.failure.message}", session.failure.hint)

    def _drained(self) -> bool:
        return all(load.drained for load in self._loads)

    def _log_out(self) -> None:
        for session in self._sessions:
            session.logout()

    def _carried(self) -> dict[str, int]:
        return {
            "sent_bytes": sum(session.sent_bytes for session in self._sessions),
            "received_bytes": sum(session.received_bytes for session in self._sessions) - self._set_up_bytes,
            "set_up_bytes": self._set_up_bytes,
        }

    def _tcp_infos(self) -> Iterator[bytes]:
        for session in self._sessions:
            yield session.connection.option(socket.IPPROTO_TCP, socket.TCP_INFO, counts.TCP_INFO_BYTES)

    def _settings(self) -> dict[str, Any]:
        session = self._sessions[0]
        size = session.connection.option(socket.SOL_SOCKET, socket.SO_SNDBUF, 4)
        congestion_control = session.connection.option(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
        limits = session.negotiated
        return in_force(size, congestion_control) | {
            "target_product": self._product,
            "negotiated": {
                name: getattr(limits, name)
                for name in limits.__dataclass_fields__
                if name not in ("cmd_sn", "max_cmd_sn", "exp_stat_sn")
            },
        }

    def close(self) -> None:
        for session in self._sessions:
            session.close()


def main() -> None:
    # a name of its own: a stray python on the measured CPU shows in the profile as what it is
    comms.take(comms.INITIATOR)
    # the next order comes after our answer only: nothing of it can stay in this buffer
    line = sys.stdin.readline()
    if not line:
        return
    initiator = Initiator(json.loads(line))
    try:
        initiator.open()
        initiator.run()
    except IscsiError as error:
        answer({"event": "error", "message": error.message, "hint": error.hint})
    finally:
        initiator.close()


if __name__ == "__main__":
    main()
