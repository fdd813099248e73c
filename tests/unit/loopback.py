"""Both ends of the traffic on the loopback device, in this machine's first namespace."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from offloadbench.kernel.counters.device_statistics import Reading
from offloadbench.roles.ends import ProcessRole, python_role
from offloadbench.roles.messages import Order

ADDRESS = "127.0.0.1"


class LoopbackEnd:
    """An end on the loopback device; its roles are told what `spoil` makes of their orders."""

    name = "loopback"
    address = ADDRESS
    ifname = "lo"
    namespace: str | None = None
    server_cpus: frozenset[int] = frozenset()

    def __init__(self, spoil: Callable[[Order], Order] = lambda order: order) -> None:
        self.roles: list[ProcessRole] = []
        self._spoil = spoil

    def missing(self, tools: Iterable[str]) -> list[str]:
        raise NotImplementedError(tools)

    def is_folder(self, path: str) -> bool:
        return Path(path).is_dir()

    def state(self, sysctls: Iterable[str]) -> dict[str, str | int]:
        del sysctls
        return {}

    def counted(self) -> Reading:
        raise NotImplementedError

    def available_memory_bytes(self) -> int:
        raise NotImplementedError

    def launch(self, module: str, title: str, cpus: frozenset[int] | None = None) -> ProcessRole:
        del cpus
        spoil = self._spoil

        class Told(ProcessRole):
            def send(self, order: Order) -> None:
                super().send(spoil(order))

        def start(stdin: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
            return subprocess.Popen(python_role(module), stdin=stdin, stdout=stdout, stderr=stderr)

        self.roles.append(Told(title, start))
        return self.roles[-1]
