"""The full feature phase of a session with one connection, at error recovery level 0, for its owner."""

from __future__ import annotations

import threading
from collections.abc import Callable

from offloadbench.base import comms
from offloadbench.traffic.iscsi import pdu, scsi
from offloadbench.traffic.iscsi.command import Command, Tasks
from offloadbench.traffic.iscsi.iscsi_connection import IscsiConnection
from offloadbench.traffic.iscsi.login import Negotiated
from offloadbench.traffic.iscsi.pdu import IscsiError
from offloadbench.traffic.iscsi.pdu_sender import Sender
from offloadbench.traffic.iscsi.receiver import Receiver

_MAX_UNIT_ATTENTIONS = 10


class LoggedInSession:
    """A logged-in session: one thread sends, one receives.

    Args:
        on_failure: called once, by whichever thread meets the failure; `failure` says what it was.
    """

    def __init__(
        self, connection: IscsiConnection, negotiated: Negotiated, on_failure: Callable[[], None] = lambda: None
    ) -> None:
        self.connection = connection
        self.negotiated = negotiated
        self.failure: IscsiError | None = None
        self._on_failure = on_failure
        self._tasks = Tasks(negotiated)
        self._sender = Sender(connection, negotiated, self._tasks)
        self._receiver = Receiver(connection, negotiated, self._tasks, self._sender)
        self._threads = [
            threading.Thread(target=self._run, args=(loop,), name=comms.INITIATOR, daemon=True)
            for loop in (self._sender.loop, self._receiver.loop)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def over(self) -> bool:
        """Whether it has ended, in order or not."""
        return self._tasks.over

    @property
    def sent_bytes(self) -> int:
        """Payload of all commands as handed to the socket."""
        return self._sender.sent_bytes

    @property
    def received_bytes(self) -> int:
        """Payload of all commands as taken from the socket."""
        return self._receiver.received_bytes

    def submit(self, command: Command) -> None:
        """Queue a command; it is sent as soon as the target's window allows."""
        self._sender.submit(command)

    def call(self, command: Command) -> Command:
        """Submit and wait for the status; the receiving thread watches the time.

        Raises:
            IscsiError: the session failed.
        """
        self.submit(command)
        command.done.wait()
        if command.status < 0:
            raise self.failure or IscsiError("the session is over")
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

    def logout(self, timeout_s: float | None = None) -> None:
        """Close the session in order; nothing may be outstanding.

        Args:
            timeout_s: wait no longer for the answer; None: as long as the receiving thread watches the time.

        Raises:
            IscsiError: the session failed instead.
        """
        with self._tasks.changed:
            tag = self._tasks.take_tag()
        self._sender.reply(pdu.logout_request(tag, self._tasks.cmd_sn, self._tasks.exp_stat_sn))
        self._receiver.logged_out.wait(timeout_s)
        if self.failure:
            raise self.failure
        self.close()

    def fail(self, error: IscsiError) -> None:
        """End the session because of an error; the first one counts. Whoever waits is woken."""
        with self._tasks.changed:
            if self._tasks.over:
                return
            self.failure = error
            self._tasks.over = True
            left = [*self._tasks.outstanding.values(), *self._sender.waiting()]
            self._tasks.changed.notify_all()
        self.connection.interrupt()
        for command in left:
            command.done.set()
        self._receiver.logged_out.set()
        self._on_failure()

    def close(self) -> None:
        """End both threads and the connection. Safe to call twice."""
        with self._tasks.changed:
            self._tasks.over = True
            self._tasks.changed.notify_all()
        self.connection.interrupt()
        for thread in self._threads:
            thread.join()
        self.connection.close()

    def _run(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except IscsiError as error:
            self.fail(error)
