"""An end that is a network namespace of this machine, or the first one."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from offloadbench.changes.change import ChangeLog
from offloadbench.changes.made_namespace import MadeNamespace
from offloadbench.changes.sysctl_value import SysctlValue
from offloadbench.kernel.counters import device_statistics
from offloadbench.kernel.netdev import device_state, irq
from offloadbench.kernel.system import cpu_ticks, netns, sysctl
from offloadbench.model import PeerReport
from offloadbench.roles.ends import ProcessRole, Role, python_role

# RFC 2544 reserves 198.18.0.0/15 for benchmarks: never a user's own network
DUT_ADDRESS, PEER_ADDRESS, PREFIX_LENGTH = "198.18.0.1", "198.18.0.2", 30


@dataclass(frozen=True, slots=True)
class LocalEnd:
    """The `End` whose roles are processes of this machine."""

    name: str
    address: str
    ifname: str
    namespace: str | None
    server_cpus: frozenset[int]

    def launch(self, module: str, title: str, cpus: frozenset[int] | None = None) -> Role:
        where = f"this host, {self.name}"
        return ProcessRole(title, lambda *streams: self._start(module, cpus or self.server_cpus, streams), where)

    def missing(self, tools: Iterable[str]) -> list[str]:
        return [tool for tool in tools if shutil.which(tool) is None]

    def available_memory_bytes(self) -> int:
        return int(psutil.virtual_memory().available)

    def is_folder(self, path: str) -> bool:
        return Path(path).is_dir()

    def state(self, sysctls: Iterable[str]) -> device_state.State:
        found = device_state.read(self.ifname, self.namespace)
        return found | device_state.of_sysctls(sysctls, self.namespace)

    def counted(self) -> device_statistics.Reading:
        return device_statistics.read(self.ifname, self.namespace)

    def _start(self, module: str, chosen: frozenset[int], streams: tuple[int, int, int]) -> subprocess.Popen[bytes]:
        # a child inherits namespace and CPUs of the thread that forks it
        home = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(0, chosen)
            with netns.entered(self.namespace):
                # a session of its own: Ctrl-C at the terminal is for the engine, which ends its roles in order
                return subprocess.Popen(
                    python_role(module),
                    stdin=streams[0],
                    stdout=streams[1],
                    stderr=streams[2],
                    start_new_session=True,
                    # one that is set fixes the layout of dicts and sets for every trial of every run
                    env={key: value for key, value in os.environ.items() if key != "PYTHONHASHSEED"},
                )
        finally:
            os.sched_setaffinity(0, home)


class LoadSide:
    """CPU time of the load side's CPUs where both ends are this machine; an emulator and the tool may share them."""

    def __init__(self, cpus: frozenset[int]) -> None:
        self._cpus = cpus
        self._first: tuple[float, dict[str, float], int | None] | None = None

    def mark(self) -> None:
        """Begin a window."""
        self._first = self._read()

    def report(self) -> PeerReport | None:
        """The time since `mark`; None before it."""
        if self._first is None:
            return None
        (began_s, first, woken), (now_s, last, woken_now) = self._first, self._read()
        grown = {name: last[name] - value for name, value in first.items()}
        return PeerReport(
            interval_s=now_s - began_s,
            cpus=len(self._cpus),
            cpu_busy_s=grown["cpu_ticks_s"] - grown["cpu_idle_s"] - grown["cpu_steal_s"],
            cpu_stolen_s=grown["cpu_steal_s"],
            woken=None if woken is None or woken_now is None else woken_now - woken,
        )

    def _read(self) -> tuple[float, dict[str, float], int | None]:
        return time.monotonic(), cpu_ticks.read(self._cpus), irq.from_other_cpus(self._cpus)


def peer_namespace(run_id: str) -> str:
    """Name of the namespace that a run makes for its load side."""
    return f"offloadbench-{run_id}-peer"


def dut_namespace(run_id: str) -> str:
    """Name of the namespace that holds a lab's device under test."""
    return f"offloadbench-{run_id}-dut"


def make_namespace(namespace: str, sysctls: Mapping[str, str], changes: ChangeLog) -> None:
    """Make a namespace with these values; it shows as writable only what is its own, so they vanish with it.

    Raises:
        RefusedError: the kernel refuses a value.
    """
    changes.make(MadeNamespace(namespace=namespace))
    # no router solicitations or duplicate address detection among the measured packets
    sysctl.write("net.ipv6.conf.all.disable_ipv6", "1", namespace)
    sysctl.write("net.ipv6.conf.default.disable_ipv6", "1", namespace)
    for name, value in sysctls.items():
        sysctl.write(name, value, namespace)


def set_sysctls(values: Mapping[str, str], namespace: str | None, changes: ChangeLog) -> None:
    """Set values that outlive the run, and therefore must be put back.

    Raises:
        RefusedError: the kernel refuses a value.
    """
    for name, value in values.items():
        changes.make(SysctlValue.of(name, value, namespace))


def buffer_limits(dut: str, peer: str) -> dict[str, str | None]:
    """How far the kernel may tune the buffers of the two ends: at a long RTT this is a limit of its own."""
    return {
        "dut_tcp_wmem": sysctl.read("net.ipv4.tcp_wmem", dut),
        "peer_tcp_rmem": sysctl.read("net.ipv4.tcp_rmem", peer),
    }
