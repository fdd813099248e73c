"""The FTP server under test, as a role (see offloadbench.roles.ends): pyftpdlib in one thread, sendfile(2)."""

from __future__ import annotations

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
from offloadbench.roles.messages import (
    DrainFtpServer,
    FtpServerReady,
    FtpServerReport,
    OpenFtpServer,
    ReportFtpServer,
)
from offloadbench.roles.orders import Desk, RefusedOrder, refusing


def _with_congestion_control(listener: socket.socket, name: str) -> None:
    # On the listening socket, before any connection: a connection that begins under bbr keeps pacing by timer
    # even after a change to cubic (sk_pacing_status is never cleared), which cost 40 % of a CPU here.
    if not name:
        return
    with refusing("congestion_control", name, "see net.ipv4.tcp_available_congestion_control"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())


class _Counts:
    """What all data connections of this server have sent."""

    bytes_sent = 0
    complete = 0
    cut = 0


def make_handler(order: OpenFtpServer) -> type[FTPHandler]:
    """An FTPHandler class for one user, read only, on the test address only."""

    class PassiveListener(FTPHandler.passive_dtp):  # type: ignore[misc]
        def create_socket(self, *args: Any, **kwargs: Any) -> None:
            super().create_socket(*args, **kwargs)
            _with_congestion_control(self.socket, order.congestion_control)

    class DataConnection(DTPHandler):  # type: ignore[misc]
        # pyftpdlib gives this number to sendfile(2) as its block size
        ac_out_buffer_size = order.sendfile_block_bytes

        def close(self) -> None:
            if not self._closed:
                _Counts.bytes_sent += self.tot_bytes_sent
                _Counts.complete += self.transfer_finished
                _Counts.cut += not self.transfer_finished
            super().close()

    class Handler(FTPHandler):  # type: ignore[misc]
        passive_dtp = PassiveListener
        dtp_handler = DataConnection
        passive_ports = range(order.first_passive_port, order.last_passive_port + 1)
        banner = "offloadbench"
        timeout = 3600

    authorizer = DummyAuthorizer()
    authorizer.add_user(order.user, order.password, order.folder, perm="elr")
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


class _OrderMember:
    """The desk as a member of pyftpdlib's event loop."""

    def __init__(self, server: FTPServer, desk: Desk) -> None:
        self._server, self._desk = server, desk
        desk.on(ReportFtpServer, self._report)
        desk.on(DrainFtpServer, self._drain)
        server.ioloop.register(desk.reading, self, select.EPOLLIN)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        self._desk.take()
        if self._desk.over:
            self.handle_close()

    def _report(self, order: ReportFtpServer | None = None) -> FtpServerReport:
        del order
        return FtpServerReport(
            bytes_sent=_Counts.bytes_sent,
            complete=_Counts.complete,
            cut=_Counts.cut,
            cpu_s=sum(os.times()[:2]),
            disk_read_bytes=page_cache.disk_read_bytes(),
        )

    def _drain(self, order: DrainFtpServer) -> FtpServerReport:
        """Stop sending; what the sockets hold still goes out, and then the end of the stream."""
        del order
        members = list(self._server.ioloop.socket_map.values())
        for member in members:
            if isinstance(member, DTPHandler):
                # as if the client had gone: the reply is 426, never an early 226
                member.handle_close()
        return self._report()

    def handle_close(self) -> None:
        # the engine is gone, or done with us
        raise SystemExit(0)

    def handle_error(self) -> None:
        traceback.print_exc()
        raise SystemExit(1)


def _open(order: OpenFtpServer) -> FTPServer:
    folder = Path(order.folder)
    if not folder.is_dir():
        raise RefusedOrder("folder", order.folder, "there is no such folder", "the served files went away: start again")
    # pyftpdlib takes any port where none is in the range
    if order.first_passive_port > order.last_passive_port:
        raise RefusedOrder("first_passive_port", order.first_passive_port, f"above {order.last_passive_port}, the last")
    ports = order.last_passive_port - order.first_passive_port + 1
    # a client has a control and a data connection, a file, and for a moment a listening socket: two a port
    open_files.allow(2 * ports)
    with refusing("address", order.address, "see `ip address` on that host"):
        # all clients come at once: one that finds the queue full takes itself for connected, and waits for the greeting
        # until the kernel's next SYN-ACK, which may be half a minute off
        server = AcceptingServer((order.address, 0), make_handler(order), backlog=ports)
    # 512 by default, which 256 clients with a data connection each exceed; the workload sets the limit
    server.max_cons = 0
    _with_congestion_control(server.socket, order.congestion_control)
    return server


def main() -> None:
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    comms.take(comms.FTP_SERVER)
    desk = Desk()
    with desk.reporting():
        order = desk.first(OpenFtpServer)
        server = _open(order)
        with refusing("files", f"{len(order.files)} of {order.folder}", "the served files went away: start again"):
            unlocked = page_cache.hold([Path(order.folder, name) for name in order.files])
        _OrderMember(server, desk)
        desk.answer(FtpServerReady(server.address[1], unlocked))
        server.serve_forever(handle_exit=False)


if __name__ == "__main__":
    main()
