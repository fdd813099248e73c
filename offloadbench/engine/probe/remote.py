"""The probe against a server that is not ours: it asks for a file by HTTP or FTP, and only observes.

It speaks from this machine's own address, so that any router brings the answers back. A policy rule keeps this
machine's TCP, which knows nothing of the connection, from resetting it; a bound socket keeps the port from others.
"""

from __future__ import annotations

import ftplib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from offloadbench.base.errors import OffloadbenchError, TrafficError, UsageError
from offloadbench.changes.reset_rule import ResetRule
from offloadbench.engine.probe.observe import MERGING, NOT_OURS, ample_window_bytes, flight
from offloadbench.engine.probe.probe_client import Client
from offloadbench.engine.probe.probe_frames import Endpoint
from offloadbench.engine.putting_back.journal import Journal
from offloadbench.engine.run import offloads
from offloadbench.kernel.netdev import link, neighbour, route
from offloadbench.kernel.netdev.packet_socket import PacketSocket
from offloadbench.model import FlightTrial

_PORTS = {"http": 80, "ftp": 21}
_TIMEOUT_S = 10.0
_IP_TCP_BYTES = 40
_HINT = "HOST[:PORT], http://HOST[:PORT]/FILE or ftp://[USER:PASSWORD@]HOST[:PORT]/FILE"


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """What is asked for, and where."""

    scheme: str
    host: str
    port: int
    path: str
    user: str = "anonymous"
    password: str = "anonymous@"  # noqa: S105 - what anonymous FTP wants

    @property
    def name(self) -> str:
        """Without the password."""
        return f"{self.scheme}://{self.host}:{self.port}{self.path}"


def target(text: str) -> ProbeTarget:
    """`--server` as it was typed; port 21 is FTP's, every other HTTP's.

    Raises:
        UsageError: not such an address.
    """
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        port = parts.port
    except ValueError as error:
        raise UsageError(f"--server {text}: {error}", _HINT) from error
    scheme = parts.scheme or ("ftp" if port == _PORTS["ftp"] else "http")
    if scheme not in _PORTS or not parts.hostname:
        raise UsageError(f"--server {text}: not a server that can be asked", _HINT)
    if scheme == "ftp" and parts.path in ("", "/"):
        raise UsageError(f"--server {text}: FTP needs a file to ask for", "for example: ftp://HOST/pub/FILE")
    query = f"?{parts.query}" if parts.query else ""
    found = ProbeTarget(scheme, parts.hostname, port or _PORTS[scheme], (parts.path or "/") + query)
    if parts.username:
        found = ProbeTarget(found.scheme, found.host, found.port, found.path, parts.username, parts.password or "")
    if any(character.isspace() for character in found.path):
        raise UsageError(f"--server {text!r}: white space in the path", "write %20")
    return found


class RemoteServer:
    """A server that is not ours, as this NIC reaches it.

    Raises:
        UsageError: it is reached by another NIC.
        HostError: no route, or the next hop does not answer.
        TrafficError: no such host.
    """

    def __init__(self, journal: Journal, ifname: str, asked: ProbeTarget) -> None:
        self._journal, self._ifname, self._asked = journal, ifname, asked
        try:
            found = socket.getaddrinfo(asked.host, asked.port, socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:
            raise TrafficError(f"{asked.host}: {error.strerror}", "an IPv4 address or a name that has one") from error
        self.address = str(found[0][4][0])
        way = route.to(self.address)
        if way.ifname != ifname:
            raise UsageError(f"{self.address} is reached by {way.ifname}, not by {ifname}", f"use --nic {way.ifname}")
        self._offered_mss_bytes = link.read(ifname).mtu_bytes - _IP_TCP_BYTES
        self._mac = neighbour.mac_of(ifname, None)
        self._next_mac = neighbour.resolve(way.gateway or self.address, ifname, None)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as choosing:
            choosing.connect((self.address, asked.port))
            self._own_address = str(choosing.getsockname()[0])
        offloads.ask(journal, ifname, None, MERGING)

    def observe(self, repeat: int, initcwnd: int | None, window_bytes: int) -> FlightTrial:
        """One connection and its flight.

        Args:
            initcwnd: expected; None where there is nothing to compare with.
            window_bytes: the client's; 0: twice what is expected, at least 65535.
        """
        planned = FlightTrial(
            repeat=repeat, case="", congestion_control="", metrics="", pattern="response", initcwnd=initcwnd
        )
        window_bytes = window_bytes or ample_window_bytes((initcwnd or 0) * self._offered_mss_bytes)
        mark = self._journal.mark
        try:
            return (
                self._http(planned, window_bytes) if self._asked.scheme == "http" else self._ftp(planned, window_bytes)
            )
        except OffloadbenchError as error:
            return msgspec.structs.replace(planned, problem=error.message)
        finally:
            self._journal.undo_to(mark, lambda _: None)

    def _http(self, planned: FlightTrial, window_bytes: int) -> FlightTrial:
        asked = self._asked
        # nothing that is compressed or generated in pieces: a file, as it is
        request = (
            f"GET {asked.path} HTTP/1.1\r\nHost: {asked.host}:{asked.port}\r\n"
            "User-Agent: offloadbench\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"
        ).encode()
        with self._connection(asked.port, window_bytes) as (client, wire):
            return flight(client, wire, planned, lambda: client.request(request), lambda: NOT_OURS)

    def _ftp(self, planned: FlightTrial, window_bytes: int) -> FlightTrial:
        """The file's data connection is ours, the control connection an ordinary one."""
        asked = self._asked
        control = ftplib.FTP(timeout=_TIMEOUT_S)  # noqa: S321 - to see what a server sends first
        try:
            control.connect(self.address, asked.port)
            control.login(asked.user, asked.password)
            control.voidcmd("TYPE I")
            _, port = control.makepasv()
            with self._connection(port, window_bytes) as (client, wire):

                def ask() -> None:
                    client.expect()
                    control.sendcmd(f"RETR {asked.path.lstrip('/')}")

                return flight(client, wire, planned, ask, lambda: NOT_OURS)
        except (ftplib.Error, OSError, EOFError) as error:
            raise TrafficError(f"FTP: {error}", "see the server's log") from error
        finally:
            # no farewell: the transfer is cut, and the server may say so first
            control.close()

    @contextmanager
    def _connection(self, port: int, window_bytes: int) -> Iterator[tuple[Client, PacketSocket]]:
        with socket.socket() as keeping:
            keeping.bind((self._own_address, 0))
            local_port = keeping.getsockname()[1]
            self._journal.make(ResetRule(address=self.address, port=port, local_port=local_port, namespace=None))
            wire = PacketSocket(self._ifname, None, (self.address, port), local_port)
            try:
                client = Client(
                    wire,
                    Endpoint(self._mac, self._own_address, local_port),
                    Endpoint(self._next_mac, self.address, port),
                    mss_bytes=self._offered_mss_bytes,
                    window_bytes=window_bytes,
                )
                client.connect()
                try:
                    yield client, wire
                finally:
                    client.reset()
            finally:
                wire.close()
