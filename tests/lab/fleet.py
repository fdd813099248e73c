"""Load hosts for tests: a scheduler and workers of Dask, each in a network namespace of its own, on one bridge."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.lab.remote_host import ip

# two test runs may go on at a time
NETWORK = f"10.94.{os.getpid() % 256}"
LAST_ADDRESS = f"{NETWORK}.14"
DUT_ADDRESS = f"{NETWORK}.1"
SCHEDULER = f"tcp://{NETWORK}.100:8786"
# far more than Dask says to its workers at the start
_FLOWING_BYTES = 20_000_000
_PYTHON = [sys.executable, "-m"]


class Cluster:
    """Stands until `close`; names are this process's own. `nic` is the port of this machine's first namespace."""

    def __init__(self, folder: Path, workers: int) -> None:
        self._folder = folder
        self._switch = f"ob-switch-{os.getpid()}"
        self.nic = f"obf{os.getpid()}"
        self._namespaces = [self._switch]
        self._processes: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        # what a load host has: nothing of this program
        self._preload = folder / "without_offloadbench.py"
        self._preload.write_text("import sys\nsys.modules['offloadbench'] = None\n")
        ip("netns", "add", self._switch)
        ip("-n", self._switch, "link", "add", "br0", "type", "bridge")
        ip("-n", self._switch, "link", "set", "br0", "up")
        ip("link", "add", self.nic, "type", "veth", "peer", "name", "dut", "netns", self._switch)
        ip("-n", self._switch, "link", "set", "dut", "master", "br0", "up")
        ip("addr", "add", f"{DUT_ADDRESS}/24", "dev", self.nic)
        ip("link", "set", self.nic, "up")
        self._start("scheduler", 100, ["distributed.cli.dask_scheduler", "--host", f"{NETWORK}.100", "--no-dashboard"])
        for number in range(1, workers + 1):
            self.workers.append(self.start_worker(number))

    def start_worker(self, number: int) -> subprocess.Popen[bytes]:
        address = f"{NETWORK}.{10 + number}"
        words = ["distributed.cli.dask_worker", SCHEDULER, "--host", address, "--nthreads", "1", "--no-nanny"]
        words += ["--no-dashboard", "--local-directory", str(self._folder), "--preload", str(self._preload)]
        return self._start(f"worker{number}", 10 + number, words)

    def _start(self, name: str, host: int, words: list[str]) -> subprocess.Popen[bytes]:
        namespace = f"ob-{name}-{os.getpid()}"
        if namespace not in self._namespaces:
            self._namespaces.append(namespace)
            ip("netns", "add", namespace)
            ip("link", "add", "eth0", "netns", namespace, "type", "veth", "peer", "name", name, "netns", self._switch)
            ip("-n", self._switch, "link", "set", name, "master", "br0", "up")
            ip("-n", namespace, "addr", "add", f"{NETWORK}.{host}/24", "dev", "eth0")
            ip("-n", namespace, "link", "set", "eth0", "up")
            ip("-n", namespace, "link", "set", "lo", "up")
        log = (self._folder / f"{name}.log").open("ab")
        process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, *_PYTHON, *words], cwd=self._folder, stdout=log, stderr=log,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        log.close()
        self._processes.append(process)
        return process

    def wait_for_workers(self, count: int) -> None:
        from distributed import Client

        with Client(SCHEDULER, timeout=30, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=60)

    def lose_worker(self) -> None:
        """Kill the last worker, as a crash of its host would; what it runs ends with it."""
        worker = self.workers.pop()
        worker.kill()
        worker.wait()

    def return_worker(self) -> None:
        """Start the last worker again, and wait until the scheduler has all of them."""
        self.workers.append(self.start_worker(len(self.workers) + 1))
        self.wait_for_workers(len(self.workers))

    def call_back(self, process: subprocess.Popen[str], said: list[str]) -> None:
        """Start the line that a run with `--peer wait` prints, on the first load host."""
        deadline = time.monotonic() + 30
        while not (lines := [line for line in said if line.startswith("echo ")]):
            assert process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        caller = subprocess.Popen(
            ["ip", "netns", "exec", f"ob-worker1-{os.getpid()}", "sh", "-c", lines[0]], start_new_session=True
        )
        self._processes.append(caller)

    def roles(self) -> list[int]:
        """Pids of the role processes at the workers."""
        found = []
        for namespace in self._namespaces:
            for pid in map(int, ip("netns", "pids", namespace).split()):
                try:
                    if b"given=json.load" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        found.append(pid)
                except OSError:
                    continue
        return found

    def wait_for_roles(self, count: int, seconds: float = 60.0) -> None:
        """Return when so many role processes run at the workers."""
        deadline = time.monotonic() + seconds
        while len(self.roles()) != count:
            assert time.monotonic() < deadline, f"{len(self.roles())} roles, not {count}"
            time.sleep(0.05)

    def wait_for_traffic(self, seconds: float = 60.0) -> None:
        """Return when the load flows."""
        counter = Path(f"/sys/class/net/{self.nic}/statistics/tx_bytes")
        first = int(counter.read_text())
        deadline = time.monotonic() + seconds
        while int(counter.read_text()) - first < _FLOWING_BYTES:
            assert time.monotonic() < deadline, "no traffic"
            time.sleep(0.05)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        for namespace in self._namespaces:
            ip("netns", "del", namespace)
        # a veth pair ends with either of its namespaces, a little later
        subprocess.run(["ip", "link", "del", self.nic], check=False, capture_output=True)
