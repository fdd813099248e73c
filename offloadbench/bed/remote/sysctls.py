"""sysctl values of the load host, as a role there: set for the length of a run, and put back however it ends.

Orders: `set` (values, and what was found before where that is known), answered by `set` (what was found, what is in
force); `put back`, answered by `back`. When the agent goes, whoever killed it, this role's input closes: it puts back
and ends. Standard library of Python 3.7.
"""

from __future__ import annotations

import json
import signal
import sys
from types import FrameType
from typing import Any

from offloadbench.base import comms
from offloadbench.bed.remote import host_facts


def _answer(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


class _Values:
    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def set(self, values: dict[str, str], found: dict[str, str]) -> None:
        for name, value in values.items():
            was = found.get(name) or host_facts.sysctl(name)
            if was is None:
                raise OSError(f"{name}: this kernel has no such sysctl")
            self._found.setdefault(name, was)
            host_facts.set_sysctl(name, value)
        _answer({"event": "set", "found": self._found, "taken": {name: host_facts.sysctl(name) for name in values}})

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
    try:
        for line in sys.stdin:
            order = json.loads(line)
            if order["do"] == "put back":
                _answer({"event": "back", "problems": values.put_back()})
                continue
            try:
                values.set(order["values"], order["found"])
            except OSError as error:
                _answer({"event": "error", "message": error.strerror or str(error), "hint": "log in as root there"})
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        values.put_back()


if __name__ == "__main__":
    main()
