"""The processes of a run, which inherit its mark; the header of its journal is their record."""

from __future__ import annotations

import os
import shlex
from typing import Annotated

from msgspec import Meta

from offloadbench.changes.change import Change, Tell
from offloadbench.kernel.system import processes


class RunProcesses(Change, frozen=True, kw_only=True, tag="processes"):
    """All that this process starts from now on, and what those start."""

    run_id: Annotated[str, Meta(min_length=1, max_length=255)]

    def apply(self) -> None:
        os.environ[processes.MARKER] = self.run_id

    def undo(self, tell: Tell) -> None:
        for ended in processes.end_of_run(self.run_id):
            tell(f"ended {ended}")
        if os.environ.get(processes.MARKER) == self.run_id:
            del os.environ[processes.MARKER]

    @property
    def command(self) -> str:
        mark = shlex.quote(f"{processes.MARKER}={self.run_id}")
        return f"kill $(grep -lzx {mark} /proc/[0-9]*/environ | cut -d/ -f3)"

    def distrust(self, run_id: str) -> str:
        return "" if self.run_id == run_id else f"processes of run {self.run_id} are not of run {run_id}"
