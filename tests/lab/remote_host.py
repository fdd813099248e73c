"""A load host for tests: a network namespace with an sshd of its own, joined to this one by a veth pair."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

_ROOT = Path(__file__).parents[2]
SSHD = "/usr/sbin/sshd"
PORT = 2222
# two test runs may go on at a time
DUT_ADDRESS, HOST_ADDRESS = (f"10.93.{os.getpid() % 256}.{number}" for number in (1, 2))


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


class RemoteHost:
    """Stands until `close`; names are this process's own.

    Args:
        dut_namespace: a namespace to make for the device under test; empty for this one.
    """

    def __init__(self, folder: Path, dut_namespace: str = "") -> None:
        self.dut_namespace = dut_namespace
        self.namespace = f"ob-host-{os.getpid()}"
        self.nic = f"obd{os.getpid()}"
        self.peer_nic = f"obp{os.getpid()}"
        self._folder = folder
        ip("netns", "add", self.namespace)
        if dut_namespace:
            ip("netns", "add", dut_namespace)
        here = ["-n", dut_namespace] if dut_namespace else []
        ip(*here, "link", "add", self.nic, "type", "veth", "peer", "name", self.peer_nic, "netns", self.namespace)
        ip(*here, "addr", "add", f"{DUT_ADDRESS}/24", "dev", self.nic)
        ip(*here, "link", "set", self.nic, "up")
        ip("-n", self.namespace, "addr", "add", f"{HOST_ADDRESS}/24", "dev", self.peer_nic)
        ip("-n", self.namespace, "link", "set", self.peer_nic, "up")
        ip("-n", self.namespace, "link", "set", "lo", "up")
        self._sshd: subprocess.Popen[bytes] | None = None

    @property
    def peer(self) -> str:
        return f"ssh://root@{HOST_ADDRESS}:{PORT}"

    @property
    def ssh(self) -> str:
        """The ssh command that knows this host and its key, and nothing of the user's."""
        return f"ssh -F {self._folder / 'client'}"

    def start_sshd(self) -> None:
        """With keys, configuration and port of its own."""
        folder = self._folder
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        shutil.copy(folder / "user.pub", folder / "authorized")
        (folder / "known").write_text(f"[{HOST_ADDRESS}]:{PORT} {(folder / 'host.pub').read_text()}")
        (folder / "client").write_text(
            f"Host *\n IdentityFile {folder / 'user'}\n IdentitiesOnly yes\n UserKnownHostsFile {folder / 'known'}\n"
        )
        (folder / "server").write_text(
            f"Port {PORT}\nListenAddress {HOST_ADDRESS}\nHostKey {folder / 'host'}\nUsePAM no\n"
            f"AuthorizedKeysFile {folder / 'authorized'}\nPasswordAuthentication no\nStrictModes no\nPidFile none\n"
            # where this host runs offloadbench itself
            f"SetEnv PYTHONPATH={_ROOT} OFFLOADBENCH_STATE={folder / 'state'}\n"
        )
        # where sshd keeps nothing, and yet wants it (sshd(8), FILES)
        Path("/run/sshd").mkdir(exist_ok=True)
        self._sshd = self.start([SSHD, "-D", "-e", "-f", str(folder / "server")])
        deadline = time.monotonic() + 10
        while f"{HOST_ADDRESS}:{PORT}" not in self.output(["ss", "-Hltn"]):
            assert time.monotonic() < deadline, "sshd does not listen"
            time.sleep(0.05)

    def start(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Run a command on this host."""
        return subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def output(self, command: list[str]) -> str:
        return subprocess.check_output(["ip", "netns", "exec", self.namespace, *command], text=True)

    def processes(self) -> list[int]:
        """Pids of what runs on this host beside its sshd."""
        own = self._sshd.pid if self._sshd else 0
        return [pid for pid in map(int, ip("netns", "pids", self.namespace).split()) if pid != own]

    def wait_for(self, words: str, seconds: float = 60.0) -> None:
        """Return when a process with these words in its command line runs on this host."""
        deadline = time.monotonic() + seconds
        while not any(words.encode() in _command_line(pid) for pid in self.processes()):
            assert time.monotonic() < deadline, f"no process with {words!r} in {self.namespace}"
            time.sleep(0.02)

    def freeze(self) -> None:
        """Stop everything, the sshd too: the host is there and silent, as behind a link that is down."""
        for pid in map(int, ip("netns", "pids", self.namespace).split()):
            os.kill(pid, signal.SIGSTOP)

    def kill(self) -> int:
        """End everything but the sshd itself, as a crash would; how many there were."""
        found = self.processes()
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        return len(found)

    def quiet_within(self, seconds: float) -> bool:
        """Whether nothing runs on this host any more, by then."""
        deadline = time.monotonic() + seconds
        while self.processes():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def close(self) -> None:
        self.kill()
        if self._sshd:
            self._sshd.kill()
            self._sshd.wait()
        ip("netns", "del", self.namespace)
        if self.dut_namespace:
            ip("netns", "del", self.dut_namespace)
        # a veth pair ends with either of its namespaces, a little later
        subprocess.run(["ip", "link", "del", self.nic], check=False, capture_output=True)
