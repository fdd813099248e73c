"""sysctl values of the load host, as a role there: set for the length of a run, and put back however it ends.

When the agent goes, whoever killed it, this role's input closes: it puts back and ends. Standard library of Python 3.7.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

from offloadbench.base import comms
from offloadbench.bed.remote import host_facts
from offloadbench.roles.messages import PutBackSysctls, SetSysctls, SysctlsBack, SysctlsSet
from offloadbench.roles.orders import Desk, RefusedOrder


class _Values:
    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def set(self, order: SetSysctls) -> SysctlsSet:
        for name, value in order.values.items():
            was = order.found.get(name) or host_facts.sysctl(name)
            if was is None:
                raise RefusedOrder(f"sysctl {name}", value, "this kernel has no such sysctl", "leave it out")
            self._found.setdefault(name, was)
            try:
                host_facts.set_sysctl(name, value)
            except OSError as error:
                why = os.strerror(error.errno) if error.errno else str(error)
                raise RefusedOrder(f"sysctl {name}", value, why, "log in as root there") from error
        return SysctlsSet(dict(self._found), {name: host_facts.sysctl(name) for name in order.values})

    def put_back(self) -> dict[str, str]:
        """What did not go back: name -> why."""
        problems = {}
        for name, value in self._found.items():
            try:
                if host_facts.sysctl(name) != value:
                    host_facts.set_sysctl(name, value)
            except OSError as error:
                problems[name] = error.strerror or str(error)
        return problems


def _leave(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise SystemExit


def main() -> None:
    """Follow orders until the input closes."""
    comms.take(comms.SYSCTLS)
    signal.signal(signal.SIGTERM, _leave)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    values = _Values()
    desk = Desk()
    desk.on(SetSysctls, values.set)
    desk.on(PutBackSysctls, lambda order: SysctlsBack(values.put_back()))
    try:
        desk.serve()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        values.put_back()


if __name__ == "__main__":
    main()
