"""An end that is a network namespace of this machine, or the first one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psutil

from offloadbench.bed.base import Remember
from offloadbench.ends import ProcessRole, Role, python_role
from offloadbench.kernel import netns, sysctl

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
        return ProcessRole(title, lambda *streams: self._start(module, cpus or self.server_cpus, streams))

    def missing(self, tools: Iterable[str]) -> list[str]:
        return [tool for tool in tools if shutil.which(tool) is None]

    def available_memory_bytes(self) -> int:
        return int(psutil.virtual_memory().available)

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


def peer_namespace(run_id: str) -> str:
    """Name of the namespace that a run makes for its load side."""
    return f"offloadbench-{run_id}-peer"


def dut_namespace(run_id: str) -> str:
    """Name of the namespace that holds a lab's device under test."""
    return f"offloadbench-{run_id}-dut"


def make_namespace(namespace: str, sysctls: Mapping[str, str], remember: Remember) -> None:
    """Make a namespace with these values; it shows as writable only what is its own, so they vanish with it.

    Raises:
        RefusedError: the kernel refuses a value.
    """
    remember("namespace", namespace=namespace)
    netns.create(namespace)
    # no router solicitations or duplicate address detection among the measured packets
    sysctl.write("net.ipv6.conf.all.disable_ipv6", "1", namespace)
    sysctl.write("net.ipv6.conf.default.disable_ipv6", "1", namespace)
    for name, value in sysctls.items():
        sysctl.write(name, value, namespace)


def buffer_limits(dut: str, peer: str) -> dict[str, str | None]:
    """How far the kernel may tune the buffers of the two ends: at a long RTT this is a limit of its own."""
    return {
        "dut_tcp_wmem": sysctl.read("net.ipv4.tcp_wmem", dut),
        "peer_tcp_rmem": sysctl.read("net.ipv4.tcp_rmem", peer),
    }
