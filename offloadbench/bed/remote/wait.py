"""The stream to a load host that calls us, for where no ssh leads: a line is printed to be started there.

It names the SHA-256 of the program that it will run, and carries a token made for this run; both sides prove by it
that every line is theirs (see seal.py). What goes over the link is not secret.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from offloadbench.base.errors import HostError, TrafficError, UsageError
from offloadbench.bed.remote import sources
from offloadbench.bed.remote.seal import session_key
from offloadbench.bed.remote.sealed_connection import AgentConnection

PREFIX = "wait"
DEFAULT_PORT = 7878
ASKING = "start this line on the load host"
FIRST_S, AGAIN_S = 600.0, 30.0
_HANDSHAKE_S = 10.0
_NONCE_BYTES = 64


def parse_port(text: str) -> int:
    """`wait` or `wait:7878`.

    Raises:
        UsageError: it is neither.
    """
    try:
        port = urlsplit(f"//{text}").port
    except ValueError:
        port = -1
    if port == -1 or text not in (PREFIX, f"{PREFIX}:{port}"):
        raise UsageError(f"--peer {text}: not a port to wait at", f"write --peer wait, or --peer wait:{DEFAULT_PORT}")
    return port or DEFAULT_PORT


def program() -> bytes:
    """What the load host runs once it has called."""
    return sources.agent("agent.serve_with_token(s, f, sys.stdin.readline().strip())")


def caller(address: str, port: int) -> str:
    """A Python program that calls, and runs what it is given if that is `program`; its input is the token."""
    return (
        f'import hashlib,socket,sys;s=socket.create_connection(("{address}",{port}));f=s.makefile("rb");'
        f'b=f.read(int(f.readline()));exec(b if hashlib.sha256(b).hexdigest()=="{sources.sha256(program())}" '
        'else "sys.exit(\\"this is not the program that was announced\\")")'
    )


def line(address: str, port: int, token: str) -> str:
    """What to type at the load host; the token goes by a pipe, so that `ps` does not show it."""
    return f"echo {token} | python3 -I -c '{caller(address, port)}'"


def asked_for(text: str) -> tuple[str, int, str] | None:
    """(address, port, token) of a `line` that this version would print itself, to the letter; None for any other."""
    found = re.match(r"echo ([\w-]+) \| python3 .*create_connection\(\(\"([0-9.]+)\",(\d+)\)\)", text)
    if not found or line(found[2], int(found[3]), found[1]) != text:
        return None
    return found[2], int(found[3]), found[1]


class WaitingHost:
    """A load host that is yet to call at an address of ours.

    Args:
        tell: shows the line to start there.

    Raises:
        HostError: the port is taken.
    """

    nic = ""

    def __init__(self, address: str, port: int, tell: Callable[[str], None]) -> None:
        self.where = "the load host"
        self.address = ""
        self._tell = tell
        self._token = secrets.token_urlsafe(24)
        self._program = program()
        self._patience_s = FIRST_S
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind((address, port))
        except OSError as error:
            self._listener.close()
            raise HostError(f"{address}:{port}: {error.strerror}", "wait at another port: --peer wait:7879") from error
        self._listener.listen()
        self.line = line(address, self._listener.getsockname()[1], self._token)

    def connect(self) -> AgentConnection:
        """Wait until the line is started, for the first time or again.

        Raises:
            TrafficError: nobody calls.
        """
        self._tell(f"{ASKING}, within {self._patience_s / 60:.2g} minutes:\n{self.line}")
        deadline_s = time.monotonic() + self._patience_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            self._listener.settimeout(left_s)
            try:
                caller, (address, _) = self._listener.accept()
            except TimeoutError:
                break
            try:
                found = self._greet(caller, address)
            except (TrafficError, OSError, ValueError) as error:
                self._tell(f"{address} called, but does not know the line: {error}")
                caller.close()
                continue
            self.address, self.where, self._patience_s = address, f"load host {address}", AGAIN_S
            return found
        raise TrafficError("nobody started the line on the load host", "does a firewall stand between the two?")

    def _greet(self, caller: socket.socket, address: str) -> AgentConnection:
        nonce = secrets.token_hex(16)
        caller.settimeout(_HANDSHAKE_S)
        caller.sendall(b"%d\n" % len(self._program) + self._program + nonce.encode() + b"\n")
        theirs = b""
        while not theirs.endswith(b"\n"):
            data = caller.recv(1)
            if not data or len(theirs) > _NONCE_BYTES:
                raise ValueError("it said nothing that an agent says")
            theirs += data
        caller.settimeout(None)
        key = session_key(self._token, nonce, theirs.decode().strip())
        return AgentConnection(_Socket(caller), f"load host {address}", key)

    def close(self) -> None:
        self._listener.close()


class _Socket:
    """A TCP connection as a `Stream`."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self) -> bytes:
        return self._connection.recv(1 << 16)

    def write(self, data: bytes) -> None:
        self._connection.sendall(data)

    def words(self) -> str:
        return ""

    def ended(self) -> str:
        return "the connection was closed"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            # wakes the thread that reads
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()
