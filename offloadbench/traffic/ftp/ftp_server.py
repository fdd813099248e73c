"""The FTP server under test, as a role (see offloadbench.roles.ends): pyftpdlib, one process, one thread, sendfile(2).

Orders: the configuration; then `drain` (stop sending, close the data connections) and `report`.
"""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import DTPHandler, FTPHandler
from pyftpdlib.servers import FTPServer

from offloadbench.base import comms
from offloadbench.kernel.system import open_files, page_cache


def _answer(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _with_congestion_control(listener: socket.socket, name: str) -> None:
    # On the listening socket, before any connection: a connection that begins under bbr keeps pacing by timer
    # even after a change to cubic (sk_pacing_status is never cleared), which cost 40 % of a CPU here.
    if not name:
        return
    try:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
    except OSError as error:
        raise OSError(error.errno, f"congestion control {name}: {error.strerror}") from error


class _Counts:
    """What all data connections of this server have sent."""

    bytes_sent = 0
    complete = 0
    cut = 0


def make_handler(config: dict[str, Any]) -> type[FTPHandler]:
    """An FTPHandler class for one user, read only, on the test address only."""

    class PassiveListener(FTPHandler.passive_dtp):  # type: ignore[misc]
        def create_socket(self, *args: Any, **kwargs: Any) -> None:
            super().create_socket(*args, **kwargs)
            _with_congestion_control(self.socket, config["congestion_control"])

    class DataConnection(DTPHandler):  # type: ignore[misc]
        # pyftpdlib gives this number to sendfile(2) as its block size
        ac_out_buffer_size = config["sendfile_block_bytes"]

        def close(self) -> None:
            if not self._closed:
                _Counts.bytes_sent += self.tot_bytes_sent
                _Counts.complete += self.transfer_finished
                _Counts.cut += not self.transfer_finished
            super().close()

    class Handler(FTPHandler):  # type: ignore[misc]
        passive_dtp = PassiveListener
        dtp_handler = DataConnection
        passive_ports = range(config["first_passive_port"], config["last_passive_port"] + 1)
        banner = "offloadbench"
        timeout = 3600

    authorizer = DummyAuthorizer()
    authorizer.add_user(config["user"], config["password"], config["folder"], perm="elr")
    Handler.authorizer = authorizer
    return Handler


class AcceptingServer(FTPServer):  # type: ignore[misc]
    """Accepts all clients that wait, not one in each round of the event loop.

    A round takes a block of every transfer that has begun: the last of a thousand clients would wait for minutes.
    """

    _accepted = False

    def handle_accept(self) -> None:
        self._accepted = True
        while self._accepted:
            self._accepted = False
            super().handle_accept()

    def handle_accepted(self, *connection: Any) -> Any:
        self._accepted = True
        return super().handle_accepted(*connection)


class _Orders:
    """Standard input as a member of pyftpdlib's event loop."""

    def __init__(self, server: FTPServer) -> None:
        self._server = server
        server.ioloop.register(sys.stdin.fileno(), self, select.EPOLLIN)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        line = sys.stdin.readline()
        if not line:
            self.handle_close()
        order = json.loads(line)["do"]
        if order == "drain":
            self._drain()
        _answer(
            {
                "event": "report",
                "bytes_sent": _Counts.bytes_sent,
                "complete": _Counts.complete,
                "cut": _Counts.cut,
                "cpu_s": sum(os.times()[:2]),
                "disk_read_bytes": page_cache.disk_read_bytes(),
            }
        )

    def _drain(self) -> None:
        """Stop sending; what the sockets hold still goes out, and then the end of the stream."""
        members = list(self._server.ioloop.socket_map.values())
        for member in members:
            if isinstance(member, DTPHandler):
                # as if the client had gone: the reply is 426, never an early 226
                member.handle_close()

    def handle_close(self) -> None:
        # the engine is gone, or done with us
        raise SystemExit(0)

    def handle_error(self) -> None:
        traceback.print_exc()
        raise SystemExit(1)


def main() -> None:
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    comms.take(comms.FTP_SERVER)
    config = json.loads(sys.stdin.readline())
    ports = config["last_passive_port"] - config["first_passive_port"] + 1
    # a client has a control and a data connection, a file, and for a moment a listening socket: two a port
    open_files.allow(2 * ports)
    try:
        # all clients come at once: one that finds the queue full takes itself for connected, and waits for the greeting
        # until the kernel's next SYN-ACK, which may be half a minute off
        server = AcceptingServer((config["address"], 0), make_handler(config), backlog=ports)
        # 512 by default, which 256 clients with a data connection each exceed; the workload sets the limit
        server.max_cons = 0
        _with_congestion_control(server.socket, config["congestion_control"])
    except OSError as error:
        _answer({"event": "error", "message": str(error), "hint": "see net.ipv4.tcp_available_congestion_control"})
        return
    try:
        unlocked = page_cache.hold([Path(config["folder"], name) for name in config["files"]])
    except OSError as error:
        _answer({"event": "error", "message": str(error), "hint": "the served files went away: start again"})
        return
    _Orders(server)
    _answer({"event": "ready", "port": server.address[1], "unlocked": unlocked})
    server.serve_forever(handle_exit=False)


if __name__ == "__main__":
    main()
