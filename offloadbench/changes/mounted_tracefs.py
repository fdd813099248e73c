"""tracefs, which perf mounts by itself when it needs it."""

from __future__ import annotations

from offloadbench.changes.change import Change, Tell
from offloadbench.kernel.trace import tracefs


class MountedTracefs(Change, frozen=True, kw_only=True, tag="tracefs"):
    """tracefs was not mounted before the run."""

    def undo(self, tell: Tell) -> None:
        if tracefs.unmount_tracefs():
            tell("tracefs unmounted")

    @property
    def command(self) -> str:
        return f"umount {tracefs.TRACEFS}"
