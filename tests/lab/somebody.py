"""Somebody else at work in the namespaces of a run: one disturbance a trial, none in the first."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence

from offloadbench.engine.progress_events import Event, Phase, Sampled

# what is done to a NIC: namespace, interface
Act = Callable[[str, str], object]


def _namespaces() -> list[str]:
    words = subprocess.check_output(["ip", "netns", "list"], text=True).split()
    return [word for word in words if word.startswith("offloadbench-")]


class Somebody:
    """Acts once in each trial's window from the second on.

    Args:
        acts: end (`dut` or `peer`) and what is done to its NIC, a trial each.
    """

    def __init__(self, acts: Sequence[tuple[str, Act]]) -> None:
        self._acts = acts
        self._trial = -1
        self._acted = False
        # of other runs
        self._there = set(_namespaces())

    def hear(self, event: Event) -> None:
        """To be given to the engine as its listener."""
        if isinstance(event, Phase) and event.name == "preparing":
            self._trial, self._acted = self._trial + 1, False
        if isinstance(event, Sampled) and not self._acted and 0 < self._trial <= len(self._acts):
            self._acted = True
            end, act = self._acts[self._trial - 1]
            found = next(name for name in _namespaces() if name not in self._there and name.endswith(f"-{end}"))
            links = subprocess.check_output(["ip", "-n", found, "-br", "link"], text=True).splitlines()
            act(found, next(line.split()[0].partition("@")[0] for line in links if not line.startswith("lo ")))
