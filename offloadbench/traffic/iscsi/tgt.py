"""tgt, the user-space SCSI target: its daemon as a child of ours, configured by tgtadm.

Standard library only, of Python 3.9: a load host has nothing else.

tgtd takes the password of an account on tgtadm's command line only, where `ps` shows it for the milliseconds that
tgtadm runs. So the account is made for one trial, and the target lets in one initiator name only. (An address beside
the name would not narrow that: tgt 1.0.85 lets in whoever matches either. The portal keeps to the test link.)
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from offloadbench.base.errors import HostError, TrafficError
from offloadbench.kernel.system import borrowed_sockets, processes
from offloadbench.roles.orders import refusing

# include/uapi/asm-generic/socket.h: beyond net.core.rmem_max, with CAP_NET_ADMIN
_SO_RCVBUFFORCE = 33
_START_TIMEOUT_S = 10.0
_ADMIN_S = 30.0
_END_TIMEOUT_S = 3.0
_LOGOUT_S = 8.0
_LOG_TAIL_BYTES = 4096
_AVAILABLE = "see net.ipv4.tcp_available_congestion_control there"
# program -> Debian package
TOOLS = {"tgtd": "tgt", "tgtadm": "tgt", "setpriv": "util-linux"}
_TARGET_ID, LUN = "1", "1"
# what it says at every start, and whenever a connection ends
_USUAL_WORDS = (
    "iser_ib_init",
    "oom-killer",
    "nr_open",
    "work_timer_start",
    "bs_init",
    "device_mgmt",
    "bs_thread_open",
    "conn_close",
)


# slots came with Python 3.10
@dataclass(frozen=True)
class ChapAccount:
    """Who may use the target."""

    initiator_name: str
    user: str
    password: str


def require() -> None:
    """Raise HostError unless tgtd and tgtadm are installed."""
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            raise HostError(f"{tool} is not installed", f"apt-get install {package}")


def version() -> str:
    return subprocess.run(["tgtadm", "--version"], capture_output=True, text=True, check=True).stdout.strip()


def free_port(address: str) -> int:
    """A TCP port that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


class Daemon:
    """A tgtd with one target and no relation to any other tgtd of the machine: it has a control socket of its own.

    It stays in the foreground, so in the namespace, on the CPUs and under the marker of whoever starts it, and is
    killed by the kernel when that process dies.

    Raises:
        TrafficError: it does not come up.
    """

    def __init__(self, address: str) -> None:
        require()
        self.address, self.port = address, free_port(address)
        of_run = processes.folder_of_run(os.environ.get(processes.MARKER, ""))
        self._folder = tempfile.TemporaryDirectory(prefix="offloadbench-tgt-", dir=of_run if of_run.is_dir() else None)
        self._environment = {**os.environ, "TGT_IPC_SOCKET": str(Path(self._folder.name) / "control")}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        arguments = ["setpriv", "--pdeathsig", "KILL", "tgtd", "-f", "-C", "0"]
        arguments += ["--iscsi", f"portal={address}:{self.port}"]
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, env=self._environment
        )
        try:
            self._wait_until_it_listens()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def running(self) -> bool:
        return self._process.poll() is None

    def words(self) -> str:
        """The last thing it said that it does not say every time."""
        # pread(2): the daemon writes at the file position that a seek of ours would move
        number = self._log.fileno()
        text = os.pread(number, _LOG_TAIL_BYTES, max(0, os.fstat(number).st_size - _LOG_TAIL_BYTES))
        lines = [line.strip() for line in text.decode(errors="replace").splitlines()]
        said = [line for line in lines if line and not any(word in line for word in _USUAL_WORDS)]
        return said[-1] if said else ""

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        refused = False
        while time.monotonic() < deadline and self.running():
            try:
                with self._listeners() as listeners:
                    up = bool(listeners)
                refused = False
                if up:
                    self._admin("--mode", "system", "--op", "show")
                    return
            except OSError as error:
                # a process that is about to become the daemon may refuse for a moment
                refused = isinstance(error, PermissionError)
            time.sleep(0.02)
        if refused and self.running():
            raise TrafficError(
                "the sockets of tgtd may not be looked into: pidfd_getfd(2) is refused",
                "in a container: --cap-add SYS_PTRACE",
            )
        raise TrafficError(
            f"tgtd does not listen on {self.address}:{self.port}: {self.words() or 'it says nothing'}",
            "is the address there?",
        )

    @contextlib.contextmanager
    def _listeners(self) -> Iterator[list[socket.socket]]:
        """Its portal, for the length of the block: a duplicate that stayed open would outlive it as a listener."""
        found = borrowed_sockets.listening(self.pid)
        try:
            yield [one for one in found if one.getsockname() == (self.address, self.port)]
        finally:
            for one in found:
                one.close()

    def _admin(self, *arguments: str) -> str:
        command = ["tgtadm", "-C", "0", "--lld", "iscsi", *arguments]
        try:
            done = subprocess.run(command, env=self._environment, capture_output=True, timeout=_ADMIN_S, check=False)
        except subprocess.TimeoutExpired:
            # an account's arguments hold its password, which the error's own text would show
            raise TrafficError("tgtd does not answer tgtadm", "see its log") from None
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise TrafficError(f"tgtadm {' '.join(arguments[:4])}: {said}", "see tgtadm(8)")
        return done.stdout.decode(errors="replace")

    def tune_listener(self, receive_window_bytes: int, congestion_control: str) -> int | None:
        """Set what accepted connections inherit.

        Args:
            receive_window_bytes: given to SO_RCVBUFFORCE, which doubles it: about half a buffer is window; 0 leaves
                the kernel's tuning.
            congestion_control: matters where the target sends; empty leaves the namespace's own.

        Returns:
            The receive buffer that is in force, in bytes; None where it is the kernel's.
        """
        receive_buffer_bytes: int | None = None
        with self._listeners() as listeners:
            for listener in listeners:
                if receive_window_bytes:
                    with refusing("receive_window_bytes", receive_window_bytes):
                        listener.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_window_bytes)
                    receive_buffer_bytes = listener.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
                if congestion_control:
                    with refusing("congestion_control", congestion_control, _AVAILABLE):
                        name = congestion_control.encode()
                        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name)
        return receive_buffer_bytes

    def serve(self, name: str, backing_store: str | None, parameters: dict[str, str], account: ChapAccount) -> None:
        """Make the target: its LUN 1, its limits, and the one who may use it.

        Args:
            name: iSCSI qualified name.
            backing_store: path of a file; None drops what is written (bstype null, a disk of 1 TiB).
            parameters: keys of RFC 7143 as tgtadm names them.
        """
        target = ("--mode", "target", "--tid", _TARGET_ID)
        self._admin(*target, "--op", "new", "--targetname", name)
        # tgtadm wants a path even where none is opened
        store = ("--bstype", "rdwr" if backing_store else "null", "--backing-store", backing_store or "null")
        self._admin("--mode", "logicalunit", "--op", "new", "--tid", _TARGET_ID, "--lun", LUN, *store)
        for key, value in parameters.items():
            self._admin(*target, "--op", "update", "--name", key, "--value", value)
        self._admin("--mode", "account", "--op", "new", "--user", account.user, "--password", account.password)
        self._admin("--mode", "account", "--op", "bind", "--tid", _TARGET_ID, "--user", account.user)
        self._admin(*target, "--op", "bind", "--initiator-name", account.initiator_name)

    def moved_bytes(self) -> tuple[int, int]:
        """(read, written) bytes of the LUN, of the sessions that are logged in are logged in, as tgtd counts them."""
        return count_moved_bytes(self._admin("--mode", "target", "--op", "stat", "--tid", _TARGET_ID))

    def _wait_for_logout(self) -> None:
        """Let an initiator go first: one in the kernel that loses its target keeps its session and tries again."""
        deadline = time.monotonic() + _LOGOUT_S
        while time.monotonic() < deadline and _connected(self.port):
            time.sleep(0.05)

    def close(self) -> None:
        """End it: in order if it listens, else by force; it ignores SIGTERM while it has a target. Safe to call twice.

        Raises:
            TrafficError: it is still there.
        """
        if self.running():
            self._wait_for_logout()
            with contextlib.suppress(TrafficError):
                self._admin("--mode", "target", "--op", "delete", "--force", "--tid", _TARGET_ID)
                self._admin("--mode", "system", "--op", "delete")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_TIMEOUT_S)
        if self.running():
            self._process.send_signal(signal.SIGKILL)
            try:
                self._process.wait(_END_TIMEOUT_S)
            except subprocess.TimeoutExpired as error:
                raise TrafficError(f"tgtd (pid {self.pid}) does not end", f"kill -9 {self.pid}") from error
        self._log.close()
        self._folder.cleanup()


def _connected(port: int) -> bool:
    """Whether a connection is established at a local port of this namespace (proc_net(5): state 01)."""
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return any(int(row[1].rpartition(":")[2], 16) == port and row[3] == "01" for row in rows)


def count_moved_bytes(table: str) -> tuple[int, int]:
    """(read, written) sums of tgtd's table of statistics over the sessions on the LUN.

    A row is target, LUN, session, then bytes and commands of reads submitted, reads done, writes submitted, writes
    done, and errors (tgt_stat_line in tgt's usr/target.c).
    """
    rows = [line.split() for line in table.splitlines()[1:]]
    ours = [row for row in rows if len(row) == 12 and row[1] == LUN]
    return sum(int(row[5]) for row in ours), sum(int(row[9]) for row in ours)
