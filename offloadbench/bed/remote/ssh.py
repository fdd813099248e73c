"""The stream to a load host by the system's OpenSSH, with the user's own configuration, keys and known hosts."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from offloadbench.base.errors import HostError, TrafficError, UsageError
from offloadbench.bed.remote import sources
from offloadbench.bed.remote.sealed_connection import AgentConnection
from offloadbench.kernel.system import processes

PREFIX = "ssh://"
# as git's GIT_SSH_COMMAND: another ssh, or options that do not belong into ~/.ssh/config
COMMAND = "OFFLOADBENCH_SSH"
_FORM = "write 'ssh://user@host', or 'ssh://user@host:2222?nic=eth1&address=192.0.2.2'"
_CONNECT_S = 10
_END_S = 3.0
# what ssh and sshd say before what matters
_NO_REASON = ("Warning: Permanently added", "Could not chdir to home directory")
_START = (
    "import sys;sys.version_info<(3,7) and sys.exit('Python 3.7 or newer is needed, this is '+sys.version.split()[0]);"
    "f=open(0,'rb',closefd=False);exec(f.read(int(f.readline())))"
)


@dataclass(frozen=True, slots=True)
class SshHost:
    """A host as `--peer` names it.

    Attributes:
        nic, address: of the load host on the test link; empty where they are to be found out.
        python: interpreter to start there.
    """

    destination: str
    port: int = 0
    nic: str = ""
    address: str = ""
    python: str = "python3"

    @property
    def where(self) -> str:
        return f"{PREFIX}{self.destination}" + (f":{self.port}" if self.port else "")

    def connect(self) -> AgentConnection:
        """Start an agent there.

        Raises:
            HostError: ssh is not installed.
            TrafficError: the host cannot be reached, or lets nobody in, or has no python3.
        """
        try:
            return AgentConnection(
                _Ssh(command(self, [self.python, "-I", "-c", _START]), sources.agent("agent.serve(0, 1)")), self.where
            )
        except TrafficError as error:
            hint = f"this must work by itself: {shlex.join(command(self, [self.python, '-V']))}"
            raise TrafficError(error.message, hint) from error

    def close(self) -> None:
        """Nothing is kept beside the connection."""


def require() -> None:
    """Raise HostError unless ssh is installed."""
    _words()


def _words() -> list[str]:
    words = shlex.split(os.environ.get(COMMAND, "ssh"))
    if not words or shutil.which(words[0]) is None:
        raise HostError(f"{words[0] if words else 'ssh'} is not installed", "apt-get install openssh-client")
    return words


def command(host: SshHost, words: list[str]) -> list[str]:
    """The argument list that runs a program there."""
    port = ["-p", str(host.port)] if host.port else []
    # nobody is there to type a password
    return [
        *_words(),
        "-T",
        "-o",
        "BatchMode=yes",
        "-o",
        f"ConnectTimeout={_CONNECT_S}",
        *port,
        "--",
        host.destination,
        # ssh hands its words to a shell at the other end, joined by spaces
        shlex.join(words),
    ]


def parse(text: str, option: str = "--peer") -> SshHost:
    """`ssh://user@host:port?nic=eth1&address=192.0.2.2&python=/usr/bin/python3.9`.

    Raises:
        UsageError: it is not of this form.
    """
    try:
        parts = urlsplit(text)
        port = parts.port or 0
        options = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError as error:
        raise UsageError(f"{option} {text}: {error}", _FORM) from error
    unknown = set(options) - {"nic", "address", "python"}
    if not parts.hostname or parts.password or parts.path.strip("/") or parts.fragment or unknown:
        raise UsageError(f"{option} {text}: not a host", _FORM)
    destination = f"{parts.username}@{parts.hostname}" if parts.username else parts.hostname
    return SshHost(destination, port, **options)


class _Ssh:
    """An ssh process as a `Stream`; its standard error is kept for the message when it ends."""

    def __init__(self, command: list[str], program: bytes) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the stream
        # a session of its own: Ctrl-C at the terminal is for the engine, which ends its roles in order
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            start_new_session=True,
        )
        with contextlib.suppress(OSError):
            self.write(b"%d\n" % len(program) + program)

    def read(self) -> bytes:
        assert self._process.stdout is not None
        return os.read(self._process.stdout.fileno(), 1 << 16)

    def write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        while data:
            data = data[self._process.stdin.write(data) or 0 :]

    def words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        size = os.fstat(self._errors.fileno()).st_size
        lines = os.pread(self._errors.fileno(), size, 0).decode(errors="replace").strip().splitlines()
        said = [line.strip() for line in lines if line.strip() and not line.startswith(_NO_REASON)]
        return said[-1] if said else ""

    def ended(self) -> str:
        return f"ssh ended with status {self._process.poll()}"

    def close(self) -> None:
        processes.end(self._process, _END_S)
