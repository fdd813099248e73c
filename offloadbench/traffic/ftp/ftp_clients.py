"""Virtual FTP clients, as a role (see offloadbench.roles.ends): many in one process on one selector.

Each logs in and repeats RETR over the files. Standard library only, so that a load host needs nothing installed.
Orders: the configuration; `mark` (count the payload now); `finish` (begin no new transfer, say
`settled`, read every data connection to its end, quit).
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from offloadbench.base import comms
from offloadbench.kernel.system import open_files
from offloadbench.roles.orders import answer, read_configuration, read_orders

READ_BYTES = 4 << 20
STALL_S = 30.0
# from look to look at all clients: while they are measured, and while somebody waits for them to begin or to end
_LOOK_S, _SOON_S = 0.1, 0.005


class ClientError(Exception):
    """A virtual client cannot go on."""


class ReceivedCounts:
    """What all clients of this process have received."""

    def __init__(self) -> None:
        self.payload_bytes = 0
        self.complete = 0
        self.cut = 0


class VirtualClient:
    """One client: a control connection that steps through login and RETR, and its data connection.

    A reply moves the client on; it never waits by itself, so that a long round trip of one does not hold up
    the others.
    """

    def __init__(
        self, number: int, config: dict[str, Any], selector: selectors.BaseSelector, counts: ReceivedCounts
    ) -> None:
        self._number = number
        self._config = config
        self._selector = selector
        self._counts = counts
        self._files: list[str] = config["files"]
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
        self._control = socket.create_connection((config["address"], config["port"]), timeout=STALL_S)
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
        self._send(f"USER {self._config['user']}", self._named)

    def _named(self, code: int, text: str) -> None:
        self._require(code, text, 331)
        self._send(f"PASS {self._config['password']}", self._logged_in)

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
        if self._config["window_bytes"]:
            data.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._config["window_bytes"])
        # one wake-up for many segments
        data.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, self._config["wake_at_bytes"])
        data.setblocking(False)
        data.connect_ex((self._config["address"], port))
        self._data = data
        self._received = 0
        self._data_ended = self._reply_226 = False
        self._selector.register(data, selectors.EVENT_READ, self._on_data)

    def _on_data(self) -> None:
        assert self._data is not None
        try:
            # MSG_TRUNC makes the kernel drop the bytes instead of copying them (tcp(7))
            count = self._data.recv_into(self._config["buffer"], READ_BYTES, self._config["flags"])
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
        whole = self._reply_226 and self._received == self._config["file_bytes"]
        self._counts.complete += whole
        self._counts.cut += not whole
        if self.finishing:
            self.done = True
            return
        if not whole:
            name = self._files[self._next_file]
            raise ClientError(
                f"client {self._number}: {name} ended after {self._received} of {self._config['file_bytes']} bytes"
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

    def __init__(self, config: dict[str, Any]) -> None:
        config["buffer"] = bytearray(READ_BYTES)
        config["flags"] = 0 if config["discard"] == "copy" else socket.MSG_TRUNC
        self._counts = ReceivedCounts()
        self._selector = selectors.DefaultSelector()
        self._clients = [
            VirtualClient(number, config, self._selector, self._counts) for number in range(config["clients"])
        ]
        self._told_ready = self._told_settled = False
        self._look_s = _SOON_S
        self._selector.register(sys.stdin, selectors.EVENT_READ, self._on_order)
        self._over = False

    def run(self) -> None:
        """Serve the selector until finished or until the engine is gone."""
        looked_at = time.monotonic()
        while not self._over:
            for key, _ in self._selector.select(self._look_s):
                key.data()
            now = time.monotonic()
            if now - looked_at > self._look_s:
                looked_at = now
                self._look(now)

    def _look(self, now: float) -> None:
        if not self._told_ready and all(client.receiving for client in self._clients):
            self._told_ready = True
            self._look_s = _LOOK_S
            answer({"event": "ready"})
        for client in self._clients:
            if not client.done and client.silent_s(now) > STALL_S:
                raise ClientError(f"no progress for {STALL_S:.0f} s")
        if not self._told_settled and all(client.settled for client in self._clients):
            self._told_settled = True
            answer({"event": "settled"})
        if self._told_settled and all(client.done for client in self._clients):
            answer({"event": "finished", **self._totals()})
            self._over = True

    def _totals(self) -> dict[str, Any]:
        return {
            "t_ns": time.monotonic_ns(),
            "payload_bytes": self._counts.payload_bytes,
            "complete": self._counts.complete,
            "cut": self._counts.cut,
            "cpu_s": sum(os.times()[:2]),
        }

    def _on_order(self) -> None:
        orders = read_orders()
        if orders is None:
            self._over = True
        for order in orders or ():
            if order == "mark":
                answer({"event": "mark", **self._totals()})
            elif order == "finish":
                self._look_s = _SOON_S
                for client in self._clients:
                    client.finish()

    def close(self) -> None:
        for client in self._clients:
            client.close()


def main() -> None:
    comms.take(comms.FTP_CLIENTS)
    try:
        config = read_configuration()
        # a control and a data connection each
        open_files.allow(2 * config["clients"])
        fleet = VirtualClients(config)
        fleet.run()
        fleet.close()
    except (ClientError, OSError) as error:
        answer({"event": "error", "message": str(error), "hint": "see the server's log and `dmesg`"})


if __name__ == "__main__":
    main()
