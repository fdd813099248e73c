"""A target that follows a script, at the other end of a socket pair."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from offloadbench.traffic.iscsi.iscsi_connection import IscsiConnection, Pdu
from offloadbench.traffic.iscsi.iscsi_session import LoggedInSession
from offloadbench.traffic.iscsi.login import Negotiated
from offloadbench.traffic.iscsi.negotiation import decode_text, encode_text
from offloadbench.traffic.iscsi.pdu import FINAL, RESERVED_TAG, Opcode, PduHeader

Script = Callable[["ScriptedTarget"], object]
INITIATOR_TIMEOUT_S = 0.3


class ScriptedTarget:
    """What a script uses to play the target; its own numbers are always right unless it says otherwise."""

    def __init__(self, connection: IscsiConnection) -> None:
        self.connection = connection
        self.stat_sn = 1
        self.exp_cmd_sn = 1
        self.window = 8

    def take(self, opcode: Opcode) -> Pdu:
        """The initiator's next PDU, which must be of this kind."""
        received = self.connection.receive()
        assert received.header.opcode == opcode, received.header
        if opcode == Opcode.SCSI_COMMAND:
            assert received.header.stat_sn == self.exp_cmd_sn
            self.exp_cmd_sn += 1
        return received

    def say(
        self,
        opcode: Opcode,
        *,
        task_tag: int = RESERVED_TAG,
        flags: int = FINAL,
        code: int = 0,
        tag: int = RESERVED_TAG,
        rest: tuple[int, int, int] = (0, 0, 0),
        data: bytes = b"",
        counts: bool = True,
        lun: int = 0,
    ) -> None:
        """Send a PDU; `counts` if it uses up a StatSN."""
        numbers = (self.stat_sn, self.exp_cmd_sn, self.exp_cmd_sn + self.window - 1)
        self.stat_sn += counts
        header = PduHeader(
            opcode,
            flags=flags,
            code=code,
            data_bytes=len(data),
            lun=lun,
            task_tag=task_tag,
            words=(tag, *numbers, *rest),
        )
        self.connection.send(header, data)

    def respond(self, command: Pdu, status: int = 0, sense: bytes = b"", residual: int = 0, flags: int = FINAL) -> None:
        self.say(
            Opcode.SCSI_RESPONSE,
            task_tag=command.header.task_tag,
            code=status,
            data=sense,
            flags=flags,
            rest=(0, 0, residual),
        )

    def r2t(self, command: Pdu, number: int, offset: int, length: int) -> None:
        self.say(Opcode.R2T, task_tag=command.header.task_tag, tag=0x77, rest=(number, offset, length), counts=False)

    def log_in(
        self, stage: int, pairs: list[tuple[str, str]], *, transit: bool = True, failure: int = 0
    ) -> list[tuple[str, str]]:
        """Answer a login request; returns what it said."""
        request = self.take(Opcode.LOGIN_REQUEST)
        asked = bool(request.header.flags & 0x80)
        flags = stage << 2 | ((0x80 | request.header.flags & 3) if transit and asked else 0)
        self.say(
            Opcode.LOGIN_RESPONSE,
            task_tag=request.header.task_tag,
            flags=flags,
            tag=0,
            rest=(failure << 16, 0, 0),
            data=encode_text(pairs),
            lun=request.header.lun | 1,
        )
        return decode_text(bytes(request.data))

    def log_out(self) -> None:
        request = self.take(Opcode.LOGOUT_REQUEST)
        self.say(Opcode.LOGOUT_RESPONSE, task_tag=request.header.task_tag)


class Stage:
    """Both ends; `failure` is what the script itself tripped over."""

    def __init__(self, script: Script, negotiated: Negotiated | None = None) -> None:
        ours, theirs = socket.socketpair()
        self.connection = IscsiConnection(ours, INITIATOR_TIMEOUT_S)
        self.connection.max_receive_bytes = 1 << 20
        self.target = ScriptedTarget(IscsiConnection(theirs, 5.0))
        self.target.connection.max_receive_bytes = 1 << 20
        self.failure: BaseException | None = None
        self.failed = threading.Event()
        self._thread = threading.Thread(target=self._play, args=(script,), daemon=True)
        self._thread.start()
        self._session = LoggedInSession(self.connection, negotiated, self.failed.set) if negotiated else None

    def _play(self, script: Script) -> None:
        try:
            script(self.target)
        except BaseException as error:
            self.failure = error
        finally:
            self.target.connection.interrupt()

    @property
    def session(self) -> LoggedInSession:
        assert self._session is not None
        return self._session

    def close(self) -> None:
        """End both; a script that tripped fails the test."""
        if self._session:
            self._session.close()
        else:
            self.connection.interrupt()
            self.connection.close()
        self._thread.join(5)
        self.target.connection.close()
        if self.failure:
            raise self.failure
