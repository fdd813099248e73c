"""The tool's own iSCSI initiator under test, as a role (see role.py): one process, two threads a session."""

from __future__ import annotations

import contextlib
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator

from offloadbench.base import comms
from offloadbench.roles.messages import InitiatorReady, OpenInitiator
from offloadbench.roles.orders import Desk
from offloadbench.traffic.iscsi import counts
from offloadbench.traffic.iscsi.initiator_role import InitiatorRole, in_force
from offloadbench.traffic.iscsi.iscsi_session import LoggedInSession
from offloadbench.traffic.iscsi.load import QueuedLoad, Shape
from offloadbench.traffic.iscsi.pdu import IscsiError
from offloadbench.traffic.iscsi.unit import Unit, open_session

# less than the role is given to end by itself (ends.Role.close)
_DRAIN_S, _LOGOUT_S = 2.5, 1.0


class UserInitiator(InitiatorRole):
    """Sessions of our own."""

    def __init__(self, desk: Desk, order: OpenInitiator) -> None:
        super().__init__(desk, order)
        self._sessions: list[LoggedInSession] = []
        self._session_loads: list[QueuedLoad] = []
        self._product = ""
        self._set_up_bytes = 0

    @property
    def _loads(self) -> list[QueuedLoad]:
        return self._session_loads

    def open(self) -> None:
        # 48 bits in the random format (RFC 7143, 11.12.5); the last 16 tell the sessions apart
        isid = 0x80 << 40 | secrets.randbits(24) << 16
        for number in range(self._asked.sessions):
            try:
                self._open_session(number, isid | number)
            except IscsiError as error:
                raise IscsiError(f"session {number + 1}: {error.message}", error.hint) from error
        self._set_up_bytes = sum(session.received_bytes for session in self._sessions)
        for load in self._loads:
            load.start()

    def _open_session(self, number: int, isid: int) -> None:
        session = open_session(self._asked.login, isid, self._wake)
        self._sessions.append(session)
        unit = Unit(session, self._asked.login.lun)
        unit.require_ready()
        self._product = unit.product()
        blocks, block_bytes = unit.capacity()
        expected = self._asked.expected
        if expected and (unit.serial(), blocks * block_bytes) != (expected.serial, expected.size_bytes):
            raise IscsiError(f"LUN {unit.lun} is not the one that was looked at before", "nothing was written to it")
        self._session_loads.append(self._load_of(session, number, blocks, block_bytes))

    def _load_of(self, session: LoggedInSession, number: int, blocks: int, block_bytes: int) -> QueuedLoad:
        """Each session has a part of the LUN of its own."""
        asked = self._asked
        shape = Shape(
            asked.login.lun,
            asked.operation == "write",
            asked.transfer_bytes,
            asked.queue_depth,
            asked.fua,
            asked.verify,
        )
        if shape.transfer_bytes % block_bytes:
            raise IscsiError(f"the LUN has blocks of {block_bytes} bytes; {shape.transfer_bytes} is no multiple")
        lun_bytes = min(blocks * block_bytes - asked.start_bytes, asked.lun_bytes)
        transfers = lun_bytes // asked.sessions // shape.transfer_bytes
        # two commands on the same blocks at once would leave it open which is the last
        if transfers < shape.queue_depth:
            raise IscsiError(
                f"the LUN has {lun_bytes} bytes: too few for {asked.sessions} sessions with "
                f"{shape.queue_depth} commands of {shape.transfer_bytes} bytes",
                "use a larger lun_size",
            )
        first_block = (asked.start_bytes + number * transfers * shape.transfer_bytes) // block_bytes
        return QueuedLoad(
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

    def _carried_bytes(self) -> tuple[int, int, int]:
        return (
            sum(session.sent_bytes for session in self._sessions),
            sum(session.received_bytes for session in self._sessions) - self._set_up_bytes,
            self._set_up_bytes,
        )

    def _tcp_infos(self) -> Iterator[bytes]:
        for session in self._sessions:
            yield session.connection.option(socket.IPPROTO_TCP, socket.TCP_INFO, counts.TCP_INFO_BYTES)

    def _settings(self) -> InitiatorReady:
        session = self._sessions[0]
        size = session.connection.option(socket.SOL_SOCKET, socket.SO_SNDBUF, 4)
        congestion_control = session.connection.option(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
        limits = session.negotiated
        return InitiatorReady(
            *in_force(size, congestion_control),
            negotiated={
                name: getattr(limits, name)
                for name in limits.__dataclass_fields__
                if name not in ("cmd_sn", "max_cmd_sn", "exp_stat_sn")
            },
            target_product=self._product,
        )

    def close(self) -> None:
        """A session that is left is logged out, once its last command is through: no target keeps it then."""
        for load in self._loads:
            load.stop()
        until_s = time.monotonic() + _DRAIN_S
        while not self._drained() and self._alive() and time.monotonic() < until_s:
            time.sleep(0.01)
        for session in self._sessions:
            if not session.over and not session.failure:
                with contextlib.suppress(IscsiError):
                    session.logout(_LOGOUT_S)
            session.close()

    def _alive(self) -> bool:
        return not any(session.over for session in self._sessions)


def main() -> None:
    # a name of its own: a stray python on the measured CPU shows in the profile as what it is
    comms.take(comms.INITIATOR)
    # as if our input had been closed: sessions are ended in order
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    desk = Desk(IscsiError)
    with desk.reporting(hint="see `dmesg` and the target's log"):
        initiator = UserInitiator(desk, desk.first(OpenInitiator))
        try:
            with desk.reporting(hint="see `dmesg` and the target's log"):
                initiator.open()
                initiator.run()
        finally:
            initiator.close()


if __name__ == "__main__":
    main()
