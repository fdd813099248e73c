"""Virtual FTP clients, as a role (see offloadbench.roles.ends): many in one process on one selector.

Each logs in and repeats RETR over the files. Standard library of Python 3.7, so that a load host needs nothing else.
"""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Callable

from offloadbench.base import comms
from offloadbench.kernel.system import open_files
from offloadbench.roles.messages import (
    CountNow,
    FinishFtpClients,
    FtpClientsCounted,
    FtpClientsFinished,
    FtpClientsReady,
    FtpClientsSettled,
    OpenFtpClients,
)
from offloadbench.roles.orders import Desk, RefusedOrder, refusing

READ_BYTES = 4 << 20
STALL_S = 30.0
# from look to look at all clients: while they are measured, and while somebody waits for them to begin or to end
_LOOK_S, _SOON_S = 0.1, 0.005
# what the receiving call does with the payload: MSG_TRUNC makes the kernel drop it instead of copying it (tcp(7))
_FLAGS = {"kernel": socket.MSG_TRUNC, "copy": 0}


class ClientError(Exception):
    """A virtual client cannot go on."""


class ReceivedCounts:
    """What all clients of this process have received, and the buffer that they share."""

    def __init__(self) -> None:
        self.buffer = bytearray(READ_BYTES)
        self.payload_bytes = 0
        self.complete = 0
        self.cut = 0


class VirtualClient:
    """One client: a control connection that steps through login and RETR, and its data connection.

    A reply moves the client on; it never waits by itself, so that a long round trip of one does not hold up
    the others.
    """

    def __init__(
        self, number: int, order: OpenFtpClients, selector: selectors.BaseSelector, counts: ReceivedCounts
    ) -> None:
        self._number = number
        self._asked = order
        self._flags = _FLAGS[order.discard]
        self._selector = selector
        self._counts = counts
        self._files = order.files
        self._next_file = number % len(self._files)
        self._text = b""
        self._data: socket.socket | None = None
        self._received = 0
        self._data_ended = False
        self._reply_226 = False
        self.finishing = False
        self.done = False
        self.moved_at = time.monotonic()
        self.receiving = False
        self._expect: Callable[[int, str], None] = self._greeted
        self._control = socket.create_connection((order.address, order.port), timeout=STALL_S)
        self._control.setblocking(False)
        selector.register(self._control, selectors.EVENT_READ, self._on_control)

    # ------------------------------------------------------------ control connection

    def _send(self, line: str, expect: Callable[[int, str], None]) -> None:
        self._expect = expect
        self._control.sendall(line.encode() + b"\r\n")

    def _on_control(self) -> None:
        data = self._control.recv(65536)
        if not data and not self.done:
            raise ClientError(f"client {self._number}: the server closed the control connection")
        self._text += data
        while b"\r\n" in self._text:
            line, _, self._text = self._text.partition(b"\r\n")
            text = line.decode(errors="replace")
            # a multi-line reply ends with its code and a space (RFC 959, 4.2)
            if text[:3].isdigit() and text[3:4] == " ":
                self.moved_at = time.monotonic()
                self._expect(int(text[:3]), text)

    def _require(self, code: int, text: str, *allowed: int) -> None:
        if code not in allowed:
            raise ClientError(f"client {self._number}: the server answered {text!r}")

    def _greeted(self, code: int, text: str) -> None:
        self._require(code, text, 220)
        self._send(f"USER {self._asked.user}", self._named)

    def _named(self, code: int, text: str) -> None:
        self._require(code, text, 331)
        self._send(f"PASS {self._asked.password}", self._logged_in)

    def _logged_in(self, code: int, text: str) -> None:
        self._require(code, text, 230)
        self._send("TYPE I", self._binary)

    def _binary(self, code: int, text: str) -> None:
        self._require(code, text, 200)
        self._begin()

    def _begin(self) -> None:
        self._send("PASV", self._passive)

    def _passive(self, code: int, text: str) -> None:
        self._require(code, text, 227)
        numbers = text[text.index("(") + 1 : text.index(")")].split(",")
        self._connect(int(numbers[4]) << 8 | int(numbers[5]))
        self._send(f"RETR {self._files[self._next_file]}", self._started)

    def _started(self, code: int, text: str) -> None:
        self._require(code, text, 150, 125)
        self._expect = self._transferred

    def _transferred(self, code: int, text: str) -> None:
        # 426 is the answer to a transfer that the server was told to stop
        self._require(code, text, 226, *((426,) if self.finishing else ()))
        self._reply_226 = code == 226
        self._expect = self._unexpected
        if self._data_ended:
            self._end_of_transfer()

    def _unexpected(self, code: int, text: str) -> None:
        del code
        if not self.finishing:
            raise ClientError(f"client {self._number}: unexpected answer {text!r}")

    # ------------------------------------------------------------ data connection

    def _connect(self, port: int) -> None:
        data = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if self._asked.window_bytes:
            with refusing("window_bytes", self._asked.window_bytes):
                data.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._asked.window_bytes)
        # one wake-up for many segments
        with refusing("wake_at_bytes", self._asked.wake_at_bytes):
            data.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, self._asked.wake_at_bytes)
        data.setblocking(False)
        data.connect_ex((self._asked.address, port))
        self._data = data
        self._received = 0
        self._data_ended = self._reply_226 = False
        self._selector.register(data, selectors.EVENT_READ, self._on_data)

    def _on_data(self) -> None:
        assert self._data is not None
        try:
            count = self._data.recv_into(self._counts.buffer, READ_BYTES, self._flags)
        except BlockingIOError:
            return
        if count:
            self._received += count
            self._counts.payload_bytes += count
            self.receiving = True
            self.moved_at = time.monotonic()
            return
        self._selector.unregister(self._data)
        self._data.close()
        self._data = None
        self._data_ended = True
        if self._expect == self._unexpected:
            self._end_of_transfer()

    def _end_of_transfer(self) -> None:
        whole = self._reply_226 and self._received == self._asked.file_bytes
        self._counts.complete += whole
        self._counts.cut += not whole
        if self.finishing:
            self.done = True
            return
        if not whole:
            name = self._files[self._next_file]
            raise ClientError(
                f"client {self._number}: {name} ended after {self._received} of {self._asked.file_bytes} bytes"
            )
        self._next_file = (self._next_file + 1) % len(self._files)
        self._begin()

    def finish(self) -> None:
        """Begin no new transfer after this one."""
        self.finishing = True

    @property
    def settled(self) -> bool:
        """Finishing, and past the point where the server begins to send: only the end of a transfer can follow."""
        return self.finishing and (self.done or self._expect in (self._transferred, self._unexpected))

    def silent_s(self, now: float) -> float:
        return now - self.moved_at

    def close(self) -> None:
        for connection in (self._data, self._control):
            if connection is not None:
                connection.close()


class VirtualClients:
    """All virtual clients of this process."""

    def __init__(self, desk: Desk, order: OpenFtpClients) -> None:
        if order.discard not in _FLAGS:
            raise RefusedOrder("discard", order.discard, "there is no such way", f"write {' or '.join(_FLAGS)}")
        if not order.files:
            raise RefusedOrder("files", list(order.files), "there is nothing to ask for", "name a file at least")
        self._desk = desk
        self._counts = ReceivedCounts()
        self._selector = selectors.DefaultSelector()
        self._clients = [VirtualClient(number, order, self._selector, self._counts) for number in range(order.clients)]
        self._told_ready = self._told_settled = False
        self._looked_s = time.monotonic()
        desk.on(CountNow, self._count)
        desk.on(FinishFtpClients, self._finish)

    def run(self) -> None:
        """Serve the selector until finished or until the engine is gone."""
        self._desk.serve(self._selector, self._look, _SOON_S)

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked_s <= self._desk.every_s:
            return
        self._looked_s = now
        if not self._told_ready and all(client.receiving for client in self._clients):
            self._told_ready = True
            self._desk.every_s = _LOOK_S
            self._desk.answer(FtpClientsReady())
        stalled = sum(not client.done and client.silent_s(now) > STALL_S for client in self._clients)
        if stalled:
            raise ClientError(
                f"{stalled} of {len(self._clients)} clients made no progress for {STALL_S:.0f} s, after "
                f"{self._counts.payload_bytes} bytes of all"
            )
        if not self._told_settled and all(client.settled for client in self._clients):
            self._told_settled = True
            self._desk.answer(FtpClientsSettled())
        if self._told_settled and all(client.done for client in self._clients):
            self._desk.answer(FtpClientsFinished(*self._totals()))
            self._desk.over = True

    def _totals(self) -> tuple[int, int, int, int, float]:
        """The fields of `FtpClientsCounted`."""
        counts = self._counts
        return time.monotonic_ns(), counts.payload_bytes, counts.complete, counts.cut, sum(os.times()[:2])

    def _count(self, order: CountNow) -> FtpClientsCounted:
        del order
        return FtpClientsCounted(*self._totals())

    def _finish(self, order: FinishFtpClients) -> None:
        del order
        self._desk.every_s = _SOON_S
        for client in self._clients:
            client.finish()

    def close(self) -> None:
        for client in self._clients:
            client.close()


def main() -> None:
    comms.take(comms.FTP_CLIENTS)
    desk = Desk(ClientError)
    with desk.reporting(hint="see the server's log and `dmesg`"):
        order = desk.first(OpenFtpClients)
        # a control and a data connection each
        open_files.allow(2 * order.clients)
        fleet = VirtualClients(desk, order)
        fleet.run()
        fleet.close()


if __name__ == "__main__":
    main()
